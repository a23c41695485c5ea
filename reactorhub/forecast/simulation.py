"""Plays ticks to come through the slots ahead of time, with runs that last as long as they are said to.

Seconds count from the moment at which the rehearsal begins. What becomes of a tick, and whose turn it is,
follows :mod:`reactorhub.policies.overlap`; who gets a slot follows :class:`reactorhub.runs.slots.Slots`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, islice
from math import inf

from reactorhub.forecast.contention import ContentionMeter
from reactorhub.model.schedule import Overlap
from reactorhub.policies.limits import Limits
from reactorhub.policies.overlap import Decision, buffers, decide

HUB = "max_concurrent_runs"
"""The name of the limit of all runs together; that of a queue is ``queues.NAME``."""

MAX_HOLDERS = 20
"""So many of the newest runs that hold slots are named as part of a jam that they cause."""

_END, _TICK = range(2)  # of what comes in the same moment, runs end first


@dataclass(eq=False, slots=True)
class SimulatedSchedule:
    """A schedule on the stage, and how it fares. ``most`` is how many of its runs may go on at once, ``left``
    how many of its ticks may still become runs; None stands for any number."""

    name: str
    queue: str
    priority: int
    seconds: float
    overlap: Overlap
    limit: int | None
    left: int | None = None
    followers: list[SimulatedSchedule] = field(default_factory=list)
    ticks: int = 0
    skipped: int = 0
    runs: dict[SimulatedRun, None] = field(default_factory=dict)
    line: deque[SimulatedRun] = field(default_factory=deque)
    slotless: int = 0


@dataclass(eq=False, slots=True)
class SimulatedRun:
    """A run on the stage. ``waits`` says that it wants a slot, since ``since``, and ``short`` which limit
    there is to wait for."""

    simulated: SimulatedSchedule
    since: float = 0.0
    short: str = ""
    waits: bool = False
    going: bool = False
    over: bool = False


class Rehearsal:
    """The stage. Give it ticks with :meth:`tick`, let time pass with :meth:`play`, in the end :meth:`finish`.

    ``pressure`` is what was seen of the slots; actors know what became of their ticks.
    """

    def __init__(self, limits: Limits, max_waiting: int, edges: Sequence[float]) -> None:
        """
        :param most_waiting: how many queued runs the hub takes; beyond it ticks are skipped.
        :param edges: where stretches begin, and the end of the last one.
        """
        self._limit = limits.max_concurrent_runs
        self._queues = limits.queues
        self._most_waiting = max_waiting
        self.meter = ContentionMeter(edges)
        self._numbers = count()
        self._events: list[tuple[float, int, int, SimulatedSchedule | SimulatedRun]] = []
        self._holding: dict[SimulatedRun, None] = {}
        self._used: Counter[str] = Counter()
        self._lines: dict[str, list[tuple[int, int, SimulatedRun]]] = {}
        self._waiting: Counter[str] = Counter()
        self._queued = 0
        self._arrived: list[SimulatedRun] = []
        self._closed = False

    def tick(self, second: float, simulated: SimulatedSchedule) -> None:
        """Announce a tick to come."""
        heappush(self._events, (second, _TICK, next(self._numbers), simulated))

    def holds(self, simulated: SimulatedSchedule, left: float) -> None:
        """Say that a run has its slot already, and for how long it still goes on."""
        simulated_run = SimulatedRun(simulated, going=True)
        simulated.runs[simulated_run] = None
        self._hold(simulated_run, left)

    def waits(self, simulated: SimulatedSchedule) -> None:
        """Say that a run is queued already."""
        self._take(SimulatedRun(simulated))

    def play(self, until: float) -> None:
        """Let happen what comes before a moment."""
        while self._next() < until:
            self._step()

    def finish(self, until: float) -> None:
        """End the last stretch here. Who waits then still goes on, to know for how long; nothing ticks."""
        self.play(until)
        self._go_on(until)
        self.meter.close()
        self._closed = True
        while self._next() < inf and self._queued:
            self._step()

    def _next(self) -> float:
        """When something happens next. What belongs to the present moment has happened before that."""
        if not self._events or self._events[0][0] > self.meter.second:
            self._settle()
        return self._events[0][0] if self._events else inf

    def _step(self) -> None:
        second, _, _, subject = heappop(self._events)
        self._go_on(second)
        if isinstance(subject, SimulatedSchedule):
            self._arrive(subject)
        elif not subject.over:
            self._leave(subject, followed=True)

    def _go_on(self, second: float) -> None:
        self.meter.go_on(second, len(self._holding), self._wanted())

    def _wanted(self) -> int:
        return len(self._holding) + self._waiting.total()

    def _arrive(self, simulated: SimulatedSchedule) -> None:
        """A tick becomes a run, or is skipped."""
        if self._closed or simulated.left == 0:
            return
        simulated.ticks += 1
        if self._queued >= self._most_waiting or _is_skipped(simulated):
            simulated.skipped += 1
            return
        if simulated.left is not None:
            simulated.left -= 1
        simulated_run = SimulatedRun(simulated)
        if simulated.overlap is Overlap.CANCEL_OTHER:
            for other in reversed(tuple(simulated.runs)):  # so that none that waits has its turn in between
                self._leave(other, followed=False)
        self._take(simulated_run)

    def _take(self, simulated_run: SimulatedRun) -> None:
        """A run waits for its turn, if its policy says so, then for its slot."""
        simulated = simulated_run.simulated
        simulated.runs[simulated_run] = None
        simulated.slotless += 1
        self._queued += 1
        if buffers(simulated.overlap):
            simulated.line.append(simulated_run)
            self._turn(simulated)
        else:
            self._want(simulated_run)

    def _turn(self, simulated: SimulatedSchedule) -> None:
        while simulated.line and (simulated.limit is None or _going(simulated) < simulated.limit):
            self._want(simulated.line.popleft())

    def _want(self, simulated_run: SimulatedRun) -> None:
        simulated_run.going = simulated_run.waits = True
        simulated_run.since = self.meter.second
        queue, rank = simulated_run.simulated.queue, -simulated_run.simulated.priority
        heappush(self._lines.setdefault(queue, []), (rank, next(self._numbers), simulated_run))
        self._waiting[queue] += 1
        self._arrived.append(simulated_run)

    def _settle(self) -> None:
        """Hand out slots once all that belongs to a moment has happened, and see who has to wait."""
        self.meter.look(self._wanted())
        self._grant()
        arrived, self._arrived = self._arrived, []
        for simulated_run in arrived:
            if simulated_run.waits:
                self._jam(simulated_run)

    def _missing(self, queue: str) -> str:
        """The limit that leaves no slot for a queue, the narrower one where both do; empty if none does."""
        limit = self._queues.get(queue, self._limit)
        if limit < self._limit and self._used[queue] >= limit:
            return f"queues.{queue}"
        return HUB if len(self._holding) >= self._limit else ""

    def _jam(self, simulated_run: SimulatedRun) -> None:
        """A run has to wait for a limit, because of those that hold the slots of it."""
        names, queue = {simulated_run.simulated.name}, simulated_run.simulated.queue
        simulated_run.short = self._missing(queue)
        if not self.meter.is_contended(simulated_run.short):
            holders = (other.simulated for other in islice(reversed(self._holding), MAX_HOLDERS))
            names |= {each.name for each in holders if simulated_run.short == HUB or each.queue == queue}
        of_queue = self._used[queue] + self._waiting[queue]
        self.meter.contention(
            simulated_run.short, names, self._wanted() if simulated_run.short == HUB else of_queue
        )

    def _unjam(self, simulated_run: SimulatedRun) -> None:
        """A run waits no longer, be it that it starts or that it is over."""
        simulated_run.waits = False
        self._waiting[simulated_run.simulated.queue] -= 1
        if simulated_run.short:
            self.meter.release(simulated_run.short, simulated_run.since)

    def _start(self, simulated_run: SimulatedRun) -> None:
        simulated_run.simulated.slotless -= 1
        self._queued -= 1
        self.meter.start()
        self._hold(simulated_run, simulated_run.simulated.seconds)

    def _hold(self, simulated_run: SimulatedRun, left: float) -> None:
        self._holding[simulated_run] = None
        self._used[simulated_run.simulated.queue] += 1
        self.meter.look(self._wanted())
        heappush(self._events, (self.meter.second + left, _END, next(self._numbers), simulated_run))

    def _leave(self, simulated_run: SimulatedRun, *, followed: bool) -> None:
        """A run is over: others have their turns and slots, and its followers tick."""
        simulated = simulated_run.simulated
        simulated_run.over = True
        del simulated.runs[simulated_run]
        if simulated_run in self._holding:
            del self._holding[simulated_run]
            self._used[simulated.queue] -= 1
        else:
            simulated.slotless -= 1
            self._queued -= 1
            if simulated_run.waits:
                self._unjam(simulated_run)
            elif not simulated_run.going:
                simulated.line.remove(simulated_run)
        self._turn(simulated)
        for follower in simulated.followers if followed else ():
            self._arrive(follower)

    def _grant(self) -> None:
        """Hand free slots to those who wait: higher priority first, among equals who came first."""
        while len(self._holding) < self._limit:
            for line in self._lines.values():
                while line and line[0][-1].over:
                    heappop(line)
            ready = [line for queue, line in self._lines.items() if line and self._has_room(queue)]
            if not ready:
                return
            *_, simulated_run = heappop(min(ready))
            self._unjam(simulated_run)
            self._start(simulated_run)

    def _has_room(self, queue: str) -> bool:
        return self._used[queue] < self._queues.get(queue, self._limit)


def _going(simulated: SimulatedSchedule) -> int:
    return len(simulated.runs) - len(simulated.line)


def _is_skipped(simulated: SimulatedSchedule) -> bool:
    unfinished, waiting = len(simulated.runs), simulated.slotless
    return decide(simulated.overlap, simulated.limit, unfinished, waiting) is Decision.SKIP
