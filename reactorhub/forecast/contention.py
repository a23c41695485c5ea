"""What is seen of the slots in a rehearsal: how much they are used, and where somebody has to wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf


@dataclass(slots=True)
class Period:
    """What happened in a stretch of time: starts, seconds of slots in use, the most runs that wanted a slot
    at once, and the limits that were too small."""

    begin: float
    end: float
    starts: int = 0
    busy: float = 0.0
    peak: int = 0
    short: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Contention:
    """A time during which somebody always waited for a limit: who was in it, how many runs wanted a slot at
    most, and how long the longest wait was."""

    limit: str
    begin: float
    names: set[str]
    wanted: int = 0
    longest: float = 0.0
    waiting: int = 0


class ContentionMeter:
    """Keeps the time. ``stretches`` and ``jams``, those that are over, are what was seen."""

    def __init__(self, edges: Sequence[float]) -> None:
        """:param edges: the seconds where stretches begin, and the end of the last one."""
        self.second = edges[0]
        self.periods = [Period(*pair) for pair in pairwise(edges)]
        self.contentions: list[Contention] = []
        self._open: dict[str, Contention] = {}
        self._rest: Iterator[Period] = iter([*self.periods, Period(edges[-1], inf)])
        self._period = next(self._rest)

    def go_on(self, second: float, used: int, wanted: int) -> None:
        """Let time pass, in which so many slots are used and wanted."""
        while second >= self._period.end:
            self._period.busy += used * (self._period.end - self.second)
            self.second = self._period.end
            self._period = next(self._rest)
            self._period.short.update(self._open)
            self.look(wanted)
        self._period.busy += used * (second - self.second)
        self.second = second

    def close(self) -> None:
        """Keep to the stretches no more what happens from now on."""
        self._period = Period(self.second, inf)

    def start(self) -> None:
        """Note that a run gets its slot."""
        self._period.starts += 1

    def look(self, wanted: int) -> None:
        """Note that so many runs want a slot, or have one."""
        self._period.peak = max(self._period.peak, wanted)

    def is_contended(self, limit: str) -> bool:
        """Whether somebody waits for a limit."""
        return limit in self._open

    def contention(self, limit: str, names: Iterable[str], wanted: int) -> None:
        """Note that one more run waits for a limit, of these names, while so many want what it limits."""
        contention = self._open.get(limit)
        if contention is None:
            contention = self._open[limit] = Contention(limit, self.second, set())
            self._period.short.add(limit)
        contention.names.update(names)
        contention.waiting += 1
        contention.wanted = max(contention.wanted, wanted)

    def release(self, limit: str, since: float) -> None:
        """Note that a run waits for a limit no longer."""
        contention = self._open[limit]
        contention.waiting -= 1
        contention.longest = max(contention.longest, self.second - since)
        if not contention.waiting:
            self.contentions.append(self._open.pop(limit))
