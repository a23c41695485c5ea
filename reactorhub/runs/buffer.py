"""Makes the runs of one schedule wait for each other, in the order in which they arrived."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    run_id: str
    limit: int
    ready: Deferred[None]


@dataclass(slots=True)
class _Line:
    """The runs of one schedule: those that may run, and those that wait, the earliest first."""

    going: set[str] = field(default_factory=set)
    waiting: deque[_Waiter] = field(default_factory=deque)


class OverlapBuffer:
    """Tracks the unfinished runs of each schedule and releases the waiting ones in order.

    Call :meth:`enter` or :meth:`wait` once for each run. Call :meth:`leave` once when the run has ended, even
    if the run still waits.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def enter(self, schedule: str, run_id: str) -> None:
        """Count a run that may start without waiting for the schedule's other runs."""
        self._line(schedule).going.add(run_id)

    def wait(self, schedule: str, run_id: str, limit: int) -> Deferred[None]:
        """Return a Deferred that fires once fewer than ``limit`` runs may run and no earlier run waits."""
        ready: Deferred[None] = Deferred()
        self._line(schedule).waiting.append(_Waiter(run_id, limit, ready))
        self._go_on(schedule)
        return ready

    def leave(self, schedule: str, run_id: str) -> None:
        """Forget a run, and release the next waiting run if there is room for it."""
        line = self._line(schedule)
        if run_id in line.going:
            line.going.remove(run_id)
        else:
            line.waiting = deque(waiter for waiter in line.waiting if waiter.run_id != run_id)
        self._go_on(schedule)
        if not line.going and not line.waiting:
            self._lines.pop(schedule, None)

    def _line(self, schedule: str) -> _Line:
        return self._lines.setdefault(schedule, _Line())

    def _go_on(self, schedule: str) -> None:
        line = self._line(schedule)
        while line.waiting and len(line.going) < line.waiting[0].limit:
            waiter = line.waiting.popleft()
            line.going.add(waiter.run_id)
            if not waiter.ready.called:  # a cancelled wait has failed already; its run calls leave()
                waiter.ready.callback(None)
