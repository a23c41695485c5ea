"""Whose turn it is when several runs want the reactor. Pure rule: it knows no clock and no loop."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

TURN = 0.0025
"""Seconds after which a turn ends, as soon as the callback that runs has returned."""

FREE = 4 * TURN
"""Seconds that the callbacks of all runs together take between two looks at the network before any waits."""

CREDIT = 8 * TURN
"""Seconds that a run which did not want the reactor may catch up, at most."""

R = TypeVar("R", bound=Hashable)


class FairOrder(NamedTuple, Generic[R]):
    """The runs that wait for the reactor, and how much of its time each has had.

    The next turn belongs to the run that has had least time, and among equals to the one that waits longest.
    So runs that always wait take turns one after the other. A run that seldom waits comes first when it does.
    It may catch up :data:`CREDIT`, so that no run saves time for hours and then keeps out the others.
    """

    had: Mapping[R, float] = MappingProxyType({})
    """The seconds that each waiting run has had, in the order in which they began to wait."""
    level: float = 0.0
    """The seconds that the run with the latest turn had before it. It never falls."""

    def joined(self, who: R, had: float | None = None) -> FairOrder[R]:
        """Return the order in which ``who`` waits too.

        :param had: what it had when it waited last; None if it never did.
        """
        least = self.level - CREDIT
        had = least if had is None or had < least else had
        return FairOrder({**self.had, who: had}, self.level)

    def next(self) -> R:
        """Return whose turn it is.

        :raises ValueError: if nobody waits.
        """
        return min(self.had, key=self.had.__getitem__)

    def begun(self, who: R) -> FairOrder[R]:
        """Return the order when the turn of ``who`` begins: it waits no longer.

        If it wants more after its turn, it joins again, and is the last of its equals.
        """
        others = dict(self.had)
        return FairOrder(others, max(self.level, others.pop(who)))

    def is_behind(self, who: R) -> bool:
        """Return whether a waiting run has had less than those that always wait."""
        return self.had[who] < self.level
