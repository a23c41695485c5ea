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

from reactorhub.forecast.contention import Pressure
from reactorhub.model.schedule import Overlap
from reactorhub.policies.limits import Limits
from reactorhub.policies.overlap import WAITING

HUB = "max_concurrent_runs"
"""The name of the limit of all runs together; that of a queue is ``queues.NAME``."""

MOST_HOLDERS = 20
"""So many of the newest runs that hold slots are named as part of a jam that they cause."""

_END, _TICK = range(2)  # of what comes in the same moment, runs end first


@dataclass(eq=False, slots=True)
class Actor:
    """A schedule on the stage, and how it fares. ``most`` is how many of its runs may go on at once, ``left``
    how many of its ticks may still become runs; None stands for any number."""

    name: str
    queue: str
    priority: int
    seconds: float
    overlap: Overlap
    most: int | None
    left: int | None = None
    followers: list[Actor] = field(default_factory=list)
    ticks: int = 0
    skipped: int = 0
    runs: dict[Act, None] = field(default_factory=dict)
    line: deque[Act] = field(default_factory=deque)
    slotless: int = 0


@dataclass(eq=False, slots=True)
class Act:
    """A run on the stage. ``waits`` says that it wants a slot, since ``since``, and ``short`` which limit
    there is to wait for."""

    actor: Actor
    since: float = 0.0
    short: str = ""
    waits: bool = False
    going: bool = False
    over: bool = False


class Rehearsal:
    """The stage. Give it ticks with :meth:`tick`, let time pass with :meth:`play`, in the end :meth:`finish`.

    ``pressure`` is what was seen of the slots; actors know what became of their ticks.
    """

    def __init__(self, limits: Limits, most_waiting: int, edges: Sequence[float]) -> None:
        """
        :param most_waiting: how many queued runs the hub takes; beyond it ticks are skipped.
        :param edges: where stretches begin, and the end of the last one.
        """
        self._limit = limits.max_concurrent_runs
        self._queues = limits.queues
        self._most_waiting = most_waiting
        self.pressure = Pressure(edges)
        self._numbers = count()
        self._events: list[tuple[float, int, int, Actor | Act]] = []
        self._holding: dict[Act, None] = {}
        self._used: Counter[str] = Counter()
        self._lines: dict[str, list[tuple[int, int, Act]]] = {}
        self._waiting: Counter[str] = Counter()
        self._queued = 0
        self._arrived: list[Act] = []
        self._closed = False

    def tick(self, second: float, actor: Actor) -> None:
        """Announce a tick to come."""
        heappush(self._events, (second, _TICK, next(self._numbers), actor))

    def holds(self, actor: Actor, left: float) -> None:
        """Say that a run has its slot already, and for how long it still goes on."""
        act = Act(actor, going=True)
        actor.runs[act] = None
        self._hold(act, left)

    def waits(self, actor: Actor) -> None:
        """Say that a run is queued already."""
        self._take(Act(actor))

    def play(self, until: float) -> None:
        """Let happen what comes before a moment."""
        while self._next() < until:
            self._step()

    def finish(self, until: float) -> None:
        """End the last stretch here. Who waits then still goes on, to know for how long; nothing ticks."""
        self.play(until)
        self._go_on(until)
        self.pressure.close()
        self._closed = True
        while self._next() < inf and self._queued:
            self._step()

    def _next(self) -> float:
        """When something happens next. What belongs to the present moment has happened before that."""
        if not self._events or self._events[0][0] > self.pressure.second:
            self._settle()
        return self._events[0][0] if self._events else inf

    def _step(self) -> None:
        second, _, _, subject = heappop(self._events)
        self._go_on(second)
        if isinstance(subject, Actor):
            self._arrive(subject)
        elif not subject.over:
            self._leave(subject, followed=True)

    def _go_on(self, second: float) -> None:
        self.pressure.go_on(second, len(self._holding), self._wanted())

    def _wanted(self) -> int:
        return len(self._holding) + self._waiting.total()

    def _arrive(self, actor: Actor) -> None:
        """A tick becomes a run, or is skipped."""
        if self._closed or actor.left == 0:
            return
        actor.ticks += 1
        if self._queued >= self._most_waiting or _is_refused(actor):
            actor.skipped += 1
            return
        if actor.left is not None:
            actor.left -= 1
        act = Act(actor)
        if actor.overlap is Overlap.CANCEL_OTHER:
            for other in reversed(tuple(actor.runs)):  # so that none that waits has its turn in between
                self._leave(other, followed=False)
        self._take(act)

    def _take(self, act: Act) -> None:
        """A run waits for its turn, if its policy says so, then for its slot."""
        actor = act.actor
        actor.runs[act] = None
        actor.slotless += 1
        self._queued += 1
        if actor.overlap in WAITING:
            actor.line.append(act)
            self._turn(actor)
        else:
            self._want(act)

    def _turn(self, actor: Actor) -> None:
        while actor.line and (actor.most is None or _going(actor) < actor.most):
            self._want(actor.line.popleft())

    def _want(self, act: Act) -> None:
        act.going = act.waits = True
        act.since = self.pressure.second
        queue, rank = act.actor.queue, -act.actor.priority
        heappush(self._lines.setdefault(queue, []), (rank, next(self._numbers), act))
        self._waiting[queue] += 1
        self._arrived.append(act)

    def _settle(self) -> None:
        """Hand out slots once all that belongs to a moment has happened, and see who has to wait."""
        self.pressure.look(self._wanted())
        self._grant()
        arrived, self._arrived = self._arrived, []
        for act in arrived:
            if act.waits:
                self._jam(act)

    def _missing(self, queue: str) -> str:
        """The limit that leaves no slot for a queue, the narrower one where both do; empty if none does."""
        limit = self._queues.get(queue, self._limit)
        if limit < self._limit and self._used[queue] >= limit:
            return f"queues.{queue}"
        return HUB if len(self._holding) >= self._limit else ""

    def _jam(self, act: Act) -> None:
        """A run has to wait for a limit, because of those that hold the slots of it."""
        names, queue = {act.actor.name}, act.actor.queue
        act.short = self._missing(queue)
        if not self.pressure.is_jammed(act.short):
            holders = (other.actor for other in islice(reversed(self._holding), MOST_HOLDERS))
            names |= {each.name for each in holders if act.short == HUB or each.queue == queue}
        of_queue = self._used[queue] + self._waiting[queue]
        self.pressure.jam(act.short, names, self._wanted() if act.short == HUB else of_queue)

    def _unjam(self, act: Act) -> None:
        """A run waits no longer, be it that it starts or that it is over."""
        act.waits = False
        self._waiting[act.actor.queue] -= 1
        if act.short:
            self.pressure.release(act.short, act.since)

    def _start(self, act: Act) -> None:
        act.actor.slotless -= 1
        self._queued -= 1
        self.pressure.start()
        self._hold(act, act.actor.seconds)

    def _hold(self, act: Act, left: float) -> None:
        self._holding[act] = None
        self._used[act.actor.queue] += 1
        self.pressure.look(self._wanted())
        heappush(self._events, (self.pressure.second + left, _END, next(self._numbers), act))

    def _leave(self, act: Act, *, followed: bool) -> None:
        """A run is over: others have their turns and slots, and its followers tick."""
        actor = act.actor
        act.over = True
        del actor.runs[act]
        if act in self._holding:
            del self._holding[act]
            self._used[actor.queue] -= 1
        else:
            actor.slotless -= 1
            self._queued -= 1
            if act.waits:
                self._unjam(act)
            elif not act.going:
                actor.line.remove(act)
        self._turn(actor)
        for follower in actor.followers if followed else ():
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
            *_, act = heappop(min(ready))
            self._unjam(act)
            self._start(act)

    def _has_room(self, queue: str) -> bool:
        return self._used[queue] < self._queues.get(queue, self._limit)


def _going(actor: Actor) -> int:
    return len(actor.runs) - len(actor.line)


def _is_refused(actor: Actor) -> bool:
    """What :func:`reactorhub.policies.overlap.refusal` says, of runs that are only counted."""
    if actor.most is None or len(actor.runs) < actor.most:
        return False
    if actor.overlap is Overlap.BUFFER_ONE:
        return actor.slotless > 0
    return actor.overlap not in WAITING
