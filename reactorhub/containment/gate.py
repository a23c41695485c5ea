"""Lets the code of one run at a time have the reactor, in short turns.

asyncio runs every callback that is ready before it looks at the network again. Beside crawls that parse large
pages a request to the API would wait for hundreds of callbacks. So callbacks of runs pass a gate. It lets
them through for one turn; those that come later wait until the loop has looked at the network again. Then the
run that has had least time has the next turn. Callbacks of the hub itself never wait. While they
go on, such as those of a request that has come, the next turn waits for them, up to :data:`MAX_LOOKS`.

As long as the runs want less than four turns between two looks at the network, nothing waits.
"""

from __future__ import annotations

from asyncio import Handle
from collections import OrderedDict
from collections.abc import Callable

from reactorhub.containment.contexts import RunContext
from reactorhub.containment.fair_order import FREE, TURN, FairOrder

SHORT = 0.001
"""Seconds of callbacks that are not worth knowing when the loop has looked at the network."""

MAX_LOOKS = 8
"""How often the loop looks at the network for the hub between two turns, at most."""


class FairGate:
    """The gate of one event loop.

    What runs a callback of a run while the gate is :attr:`open` adds the seconds to :attr:`spent` and, above
    :data:`SHORT`, calls :meth:`count`. While the gate is closed it asks :meth:`keeps` first. What runs a
    callback of anybody else adds 1 to :attr:`hub_calls`.
    """

    def __init__(self, soon: Callable[[Callable[[], None]], object], seconds: Callable[[], float]) -> None:
        """
        :param soon: lets the loop call a function after its next look at the network, outside of any run.
        :param seconds: the clock.
        """
        self.open = True
        self.spent = 0.0
        self.hub_calls = 0
        self._looks = 0
        self._limit = FREE
        self._soon = soon
        self._seconds = seconds
        self._called_soon = False
        self._waiting: dict[RunContext, OrderedDict[int, Handle]] = {}
        self._order: FairOrder[RunContext] = FairOrder()

    def count(self) -> None:
        """Close the gate once the time is used up, until the loop has looked at the network."""
        if not self._called_soon:
            self._called_soon = True
            self._soon(self._looked)
        if self.spent >= self._limit:
            self.open = False

    def keeps(self, run: RunContext, handle: Handle) -> bool:
        """Keep a callback of a run for one of its turns. Return False if it is to run now.

        The loop hands in the handle of a socket again and again until it has run; it is kept once. What is
        left to do for a run that is over does not wait, unless something that came before it does.
        """
        handles = self._waiting.get(run)
        if handles is None:
            if run.over:
                return False
            handles = self._waiting[run] = OrderedDict()
            self._order = self._order.joined(run, run.reactor_seconds)
        handles[id(handle)] = handle
        return True

    def emptied(self) -> list[Handle]:
        """Return everything that waits, and forget it."""
        handles = [handle for each in self._waiting.values() for handle in each.values()]
        self._waiting.clear()
        self._order = FairOrder()
        return handles

    def _looked(self) -> None:
        """Let runs have the reactor for the time of one turn, now that the loop has looked at the network."""
        if self._waiting and self._hub_goes_on():
            self._soon(self._looked)
            return
        self.open, self.spent = True, 0.0
        if not self._waiting:
            self._called_soon = False
            return
        self._limit = TURN
        try:
            self._serve()
        finally:  # whatever happens here, the other runs have turns too
            self._limit = FREE
            self.open = not self._waiting and self.spent < FREE
            self._soon(self._look_again if self._waiting else self._looked)

    def _hub_goes_on(self) -> bool:
        """Return whether the hub has had callbacks since the last look, beside those of the gate itself."""
        busy = self.hub_calls > 1 and self._looks < MAX_LOOKS  # one is the gate's own, which asks
        self.hub_calls = 0
        self._looks = self._looks + 1 if busy else 0
        return busy

    def _look_again(self) -> None:
        """Let the loop look at the network a second time.

        What it found the first time is dealt with after this call, and so before the next turn.
        """
        self.hub_calls -= 1  # this call is not the hub's
        self._soon(self._looked)

    def _serve(self) -> None:
        """Serve one run, and more of them while time is left.

        A run that is behind the others may have more to do at once, after a look at the network: it is asked
        again before those that always wait.
        """
        behind = False
        while self._waiting and self.open:
            run = self._order.next()
            before, behind = behind, self._order.is_behind(run)
            if before and not behind:
                return
            self._turn(run)

    def _turn(self, run: RunContext) -> None:
        handles, had = self._waiting[run], self._order.had[run]
        self._order = self._order.begun(run)
        start = self._seconds()
        try:
            while handles and self.open:
                _, handle = handles.popitem(last=False)
                if not handle.cancelled():
                    handle._run()
        finally:
            run.reactor_seconds = had + (self._seconds() - start)
            if handles:
                self._order = self._order.joined(run, run.reactor_seconds)
            else:
                del self._waiting[run]
