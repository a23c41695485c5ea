"""The pool of slots: a DeferredSemaphore with priorities, a limit for each queue, and a variable size."""

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
    """A request for a slot that has not been granted. ``rank`` sorts by priority, then by arrival."""

    def __init__(self, forget: Callable[[Any], None], queue: str, rank: tuple[int, int]) -> None:
        super().__init__(forget)
        self.queue = queue
        self.rank = rank


def _rank(waiter: _Waiter) -> tuple[int, int]:
    return waiter.rank


class Slots(DeferredSemaphore):
    """A pool of ``limit`` slots. Each queue may hold at most its own limit of them.

    ``limit``, ``tokens`` and ``waiting`` mean the same as in Twisted. Two things differ: ``acquire`` never
    grants a slot within the call, and one slot at most is granted in each turn of the reactor. So a thousand
    releases at once do not recurse, do not block the reactor, and do not start all crawls in one turn.
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
        """The number of slots that are held."""
        return self._used.total()

    @property
    def queues(self) -> Mapping[str, int]:
        """The limit of each queue that has one."""
        return dict(self._queues)

    def used_by(self, queue: str) -> int:
        """Return the number of slots that runs of ``queue`` hold."""
        return self._used[queue]

    def acquire(self, queue: str = DEFAULT_QUEUE, priority: int = 0) -> Deferred[Self]:
        """Wait for a slot. Cancel the Deferred to stop waiting.

        :param priority: a higher priority is served first; equal priorities are served in order of arrival.
        """
        waiter = _Waiter(self._forget, queue, (-priority, next(self._arrivals)))
        insort(self._line, waiter, key=_rank)
        self._wake_soon()
        return cast("Deferred[Self]", waiter)

    def release(self, queue: str = DEFAULT_QUEUE) -> None:
        """Give back a slot of ``queue``. Call this exactly once for each slot that was granted."""
        if self._used[queue] < 1:
            raise ValueError(f"no slot of queue {queue!r} is held")
        self._used[queue] -= 1
        self.tokens += 1
        self._wake_soon()

    def resize(self, limit: int, queues: Mapping[str, int] | None = None) -> None:
        """Change the limits at once. Slots that are held stay held."""
        if limit < 1:
            raise ValueError("the limit must be at least 1")
        self.tokens += limit - self.limit
        self.limit = limit
        self._queues = dict(self._queues if queues is None else queues)
        self._wake_soon()

    def hold(self, held: bool) -> None:
        """Grant no slots while ``held`` is true."""
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
