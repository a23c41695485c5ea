"""Whose turn it is among the runs of one schedule: so many at once, in the order in which they came."""

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
    """The runs of one schedule: those whose turn it is, and those that wait, first come first."""

    going: set[str] = field(default_factory=set)
    waiting: deque[_Waiter] = field(default_factory=deque)


class OverlapBuffer:
    """Counts the unfinished runs of each schedule, and lets those that wait go on one after the other.

    A run enters or waits, and leaves once, when it is over, be it while it waits.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def enter(self, schedule: str, run_id: str) -> None:
        """Count a run that waits for nobody."""
        self._line(schedule).going.add(run_id)

    def wait(self, schedule: str, run_id: str, limit: int) -> Deferred[None]:
        """Return what fires once fewer than ``most`` runs go on and none that came before still waits."""
        ready: Deferred[None] = Deferred()
        self._line(schedule).waiting.append(_Waiter(run_id, limit, ready))
        self._go_on(schedule)
        return ready

    def leave(self, schedule: str, run_id: str) -> None:
        """Forget a run, and let the next one go on if that makes room."""
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
            if not waiter.ready.called:  # a cancelled wait has failed already, and its run will leave
                waiter.ready.callback(None)
