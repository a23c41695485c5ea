"""Simulates the hub ahead of time: future ticks, runs of an assumed duration, and the slots they share.

Seconds count from the start of the simulation. :mod:`reactorhub.policies.overlap` decides what becomes of a
tick and which runs wait for earlier ones, as in the hub. Slots are given out in the same order as by
:class:`reactorhub.runs.slots.Slots`.

The simulation keeps two kinds of heap. One heap has the events: ends of runs and future ticks, by time. And
each queue has a heap of the runs that want a slot in it, by priority and then by arrival.
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
"""The name of the limit on all runs together. The limit of a queue is called ``queues.NAME``."""

MAX_HOLDERS = 20
"""A contention names at most this many runs that hold the slots, newest first: enough to see a pattern, and
independent of how many slots there are."""

_END, _TICK = range(2)  # events of the same second: runs end first, so that their slots are free


@dataclass(eq=False, slots=True)
class SimulatedSchedule:
    """A schedule in the simulation, and what became of its ticks.

    ``seconds`` is how long its runs last. ``limit`` is how many of its runs may go on at once, and ``left``
    how many of its ticks may still become runs; None means any number. ``runs`` are its unfinished runs, in
    order; those in ``buffer`` wait for earlier ones. ``queued`` counts the runs without a slot.
    """

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
    buffer: deque[SimulatedRun] = field(default_factory=deque)
    queued: int = 0


@dataclass(eq=False, slots=True)
class SimulatedRun:
    """A run in the simulation.

    ``waits`` says that the run has asked for a slot, at second ``since``, and has none yet. ``short`` is the
    limit it waits for, or empty if it does not have to wait.
    """

    schedule: SimulatedSchedule
    since: float = 0.0
    short: str = ""
    waits: bool = False
    over: bool = False


class Simulation:
    """Add ticks with :meth:`tick`, advance the time with :meth:`advance`, and at last call :meth:`finish`.

    ``meter`` has the use of the slots. Each :class:`SimulatedSchedule` has what became of its ticks.
    """

    def __init__(self, limits: Limits, max_waiting: int, edges: Sequence[float]) -> None:
        """
        :param max_waiting: how many queued runs the hub accepts; further ticks are skipped.
        :param edges: the seconds at which periods begin, and the end of the last period.
        """
        self._limit = limits.max_concurrent_runs
        self._queues = limits.queues
        self._max_waiting = max_waiting
        self.meter = ContentionMeter(edges)
        self._numbers = count()
        self._events: list[tuple[float, int, int, SimulatedSchedule | SimulatedRun]] = []
        self._holding: dict[SimulatedRun, None] = {}
        self._used: Counter[str] = Counter()
        self._heaps: dict[str, list[tuple[int, int, SimulatedRun]]] = {}
        self._waiting: Counter[str] = Counter()
        self._queued = 0
        self._arrived: list[SimulatedRun] = []
        self._closed = False

    def tick(self, second: float, schedule: SimulatedSchedule) -> None:
        """Add a future tick."""
        heappush(self._events, (second, _TICK, next(self._numbers), schedule))

    def add_running(self, schedule: SimulatedSchedule, left: float) -> None:
        """Add a run that already has its slot, and ends in ``left`` seconds."""
        run = SimulatedRun(schedule)
        schedule.runs[run] = None
        self._hold(run, left)

    def add_queued(self, schedule: SimulatedSchedule) -> None:
        """Add a run that is already queued."""
        self._enqueue(SimulatedRun(schedule))

    def advance(self, until: float) -> None:
        """Process all events before a second."""
        while self._next() < until:
            self._step()

    def finish(self, until: float) -> None:
        """End the last period.

        The simulation goes on, without ticks, until the runs that still wait have their slots: then it is
        known how long they have waited.
        """
        self.advance(until)
        self._advance_meter(until)
        self.meter.close()
        self._closed = True
        while self._next() < inf and self._queued:
            self._step()

    def _next(self) -> float:
        """The second of the next event. Slots of the present second are given out before time moves on."""
        if not self._events or self._events[0][0] > self.meter.second:
            self._settle()
        return self._events[0][0] if self._events else inf

    def _step(self) -> None:
        second, _, _, subject = heappop(self._events)
        self._advance_meter(second)
        if isinstance(subject, SimulatedSchedule):
            self._process_tick(subject)
        elif not subject.over:
            self._end(subject, followed=True)

    def _advance_meter(self, second: float) -> None:
        self.meter.advance(second, len(self._holding), self._wanted())

    def _wanted(self) -> int:
        return len(self._holding) + self._waiting.total()

    def _process_tick(self, schedule: SimulatedSchedule) -> None:
        """Turn a tick into a run, or skip it."""
        if self._closed or schedule.left == 0:
            return
        schedule.ticks += 1
        if self._queued >= self._max_waiting or _is_skipped(schedule):
            schedule.skipped += 1
            return
        if schedule.left is not None:
            schedule.left -= 1
        run = SimulatedRun(schedule)
        if schedule.overlap is Overlap.CANCEL_OTHER:
            for other in reversed(tuple(schedule.runs)):  # newest first, so that none of them is released
                self._end(other, followed=False)
        self._enqueue(run)

    def _enqueue(self, run: SimulatedRun) -> None:
        """Put a run into the buffer of its schedule, if its policy has one; else let it ask for a slot."""
        schedule = run.schedule
        schedule.runs[run] = None
        schedule.queued += 1
        self._queued += 1
        if buffers(schedule.overlap):
            schedule.buffer.append(run)
            self._release(schedule)
        else:
            self._ask_for_slot(run)

    def _release(self, schedule: SimulatedSchedule) -> None:
        """Let buffered runs ask for slots, as many as the limit of their schedule allows."""
        while schedule.buffer and (schedule.limit is None or _released(schedule) < schedule.limit):
            self._ask_for_slot(schedule.buffer.popleft())

    def _ask_for_slot(self, run: SimulatedRun) -> None:
        run.waits = True
        run.since = self.meter.second
        queue, rank = run.schedule.queue, -run.schedule.priority
        heappush(self._heaps.setdefault(queue, []), (rank, next(self._numbers), run))
        self._waiting[queue] += 1
        self._arrived.append(run)

    def _settle(self) -> None:
        """Give out slots at the end of a second, and note the runs that have to wait."""
        self.meter.note_wanted(self._wanted())
        self._grant()
        arrived, self._arrived = self._arrived, []
        for run in arrived:
            if run.waits:
                self._begin_wait(run)

    def _missing(self, queue: str) -> str:
        """The limit that leaves no slot for a queue, its own limit first; empty if there is a slot."""
        limit = self._queues.get(queue, self._limit)
        if limit < self._limit and self._used[queue] >= limit:
            return f"queues.{queue}"
        return HUB if len(self._holding) >= self._limit else ""

    def _begin_wait(self, run: SimulatedRun) -> None:
        """Note that a run has to wait for a limit, and which schedules hold the slots."""
        names, queue = {run.schedule.name}, run.schedule.queue
        run.short = self._missing(queue)
        if not self.meter.is_contended(run.short):
            holders = (other.schedule for other in islice(reversed(self._holding), MAX_HOLDERS))
            names |= {each.name for each in holders if run.short == HUB or each.queue == queue}
        of_queue = self._used[queue] + self._waiting[queue]
        self.meter.begin_wait(run.short, names, self._wanted() if run.short == HUB else of_queue)

    def _end_wait(self, run: SimulatedRun) -> None:
        """Note that a run waits no longer: it starts, or it is over."""
        run.waits = False
        self._waiting[run.schedule.queue] -= 1
        if run.short:
            self.meter.end_wait(run.short, run.since)

    def _start(self, run: SimulatedRun) -> None:
        run.schedule.queued -= 1
        self._queued -= 1
        self.meter.count_start()
        self._hold(run, run.schedule.seconds)

    def _hold(self, run: SimulatedRun, left: float) -> None:
        self._holding[run] = None
        self._used[run.schedule.queue] += 1
        self.meter.note_wanted(self._wanted())
        heappush(self._events, (self.meter.second + left, _END, next(self._numbers), run))

    def _end(self, run: SimulatedRun, *, followed: bool) -> None:
        """End a run. Its slot is free, buffered runs are released, and if ``followed`` its followers tick."""
        schedule = run.schedule
        run.over = True
        del schedule.runs[run]
        if run in self._holding:
            del self._holding[run]
            self._used[schedule.queue] -= 1
        else:
            schedule.queued -= 1
            self._queued -= 1
            if run.waits:
                self._end_wait(run)
            else:
                schedule.buffer.remove(run)
        self._release(schedule)
        for follower in schedule.followers if followed else ():
            self._process_tick(follower)

    def _grant(self) -> None:
        """Give free slots to waiting runs: higher priority first, then first come, first served.

        A run that was cancelled while it waited stays in its heap, because a heap cannot remove from its
        middle; it is dropped when it gets to the top.
        """
        while len(self._holding) < self._limit:
            for heap in self._heaps.values():
                while heap and heap[0][-1].over:
                    heappop(heap)
            ready = [heap for queue, heap in self._heaps.items() if heap and self._has_room(queue)]
            if not ready:
                return
            *_, run = heappop(min(ready))
            self._end_wait(run)
            self._start(run)

    def _has_room(self, queue: str) -> bool:
        return self._used[queue] < self._queues.get(queue, self._limit)


def _released(schedule: SimulatedSchedule) -> int:
    return len(schedule.runs) - len(schedule.buffer)


def _is_skipped(schedule: SimulatedSchedule) -> bool:
    unfinished, waiting = len(schedule.runs), schedule.queued
    return decide(schedule.overlap, schedule.limit, unfinished, waiting) is Decision.SKIP
