"""The right to run now: a DeferredSemaphore that can be resized, knows priority, and has lanes."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Self, cast

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reactorhub.model.run import DEFAULT_QUEUE


class _Waiter(Deferred["Slots"]):
    """An acquire that has not been granted; ``rank`` sorts higher priority first, then earlier first."""

    def __init__(self, forget: Callable[[Any], None], queue: str, rank: tuple[int, int]) -> None:
        super().__init__(forget)
        self.queue = queue
        self.rank = rank


def _rank(waiter: _Waiter) -> tuple[int, int]:
    return waiter.rank


class Slots(DeferredSemaphore):
    """A pool of ``limit`` slots, of which each queue may hold at most its own limit.

    ``limit``, ``tokens`` and ``waiting`` mean what they mean in Twisted. Two things differ: an acquire is
    never granted within the call, and grants come one a reactor turn. So a thousand waiters that release at
    once neither recurse nor keep the reactor from other work, and crawls do not all start in one turn.
    ``tokens`` is negative while more slots are held than a lowered limit allows.
    """

    def __init__(self, clock: IReactorTime, limit: int, queues: Mapping[str, int] | None = None) -> None:
        """:param queues: the limit of each queue; a queue without one is bounded by ``limit`` alone."""
        super().__init__(limit)
        self._clock = clock
        self._queues = dict(queues or {})
        self._used: Counter[str] = Counter()
        self._arrivals = count()
        self._line: list[_Waiter] = []
        self.waiting = cast("list[Deferred[Self]]", self._line)  # the same list, under Twisted's name
        self._wake: IDelayedCall | None = None
        self._held = False

    @property
    def used(self) -> int:
        """How many slots are held."""
        return self._used.total()

    @property
    def queues(self) -> Mapping[str, int]:
        """The limit of each queue that has one."""
        return dict(self._queues)

    def used_by(self, queue: str) -> int:
        """How many slots the runs of ``queue`` hold."""
        return self._used[queue]

    def acquire(self, queue: str = DEFAULT_QUEUE, priority: int = 0) -> Deferred[Self]:
        """Wait for a slot. Cancelling the Deferred gives the place in the line up.

        :param priority: higher goes first; among equals, who came first.
        """
        waiter = _Waiter(self._forget, queue, (-priority, next(self._arrivals)))
        insort(self._line, waiter, key=_rank)
        self._wake_soon()
        return cast("Deferred[Self]", waiter)

    def release(self, queue: str = DEFAULT_QUEUE) -> None:
        """Give a slot of ``queue`` back. Must be called exactly once for each granted acquire."""
        if self._used[queue] < 1:
            raise ValueError(f"no slot of queue {queue!r} is held")
        self._used[queue] -= 1
        self.tokens += 1
        self._wake_soon()

    def resize(self, limit: int, queues: Mapping[str, int] | None = None) -> None:
        """Change the limits, in force at once. Slots that are held stay held."""
        if limit < 1:
            raise ValueError("the limit must be at least 1")
        self.tokens += limit - self.limit
        self.limit = limit
        self._queues = dict(self._queues if queues is None else queues)
        self._wake_soon()

    def hold(self, held: bool) -> None:
        """Grant nothing while held: all who wait stay in line."""
        self._held = held
        self._wake_soon()

    def _forget(self, waiter: _Waiter) -> None:
        self._line.remove(waiter)

    def _wake_soon(self) -> None:
        if self._wake is None and self._line and self.tokens > 0 and not self._held:
            self._wake = self._clock.callLater(0, self._grant)

    def _grant(self) -> None:
        self._wake = None
        waiter = next((each for each in self._line if self._has_room(each.queue)), None)
        if waiter is None or self.tokens < 1 or self._held:
            return
        self._line.remove(waiter)
        self._used[waiter.queue] += 1
        self.tokens -= 1
        self._wake_soon()
        waiter.callback(self)

    def _has_room(self, queue: str) -> bool:
        return self._used[queue] < self._queues.get(queue, self.limit)
