"""What is seen of the slots in a rehearsal: how much they are used, and where somebody has to wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf


@dataclass(slots=True)
class Stretch:
    """What happened in a stretch of time: starts, seconds of slots in use, the most runs that wanted a slot
    at once, and the limits that were too small."""

    begin: float
    end: float
    starts: int = 0
    busy: float = 0.0
    peak: int = 0
    short: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Jam:
    """A time during which somebody always waited for a limit: who was in it, how many runs wanted a slot at
    most, and how long the longest wait was."""

    limit: str
    begin: float
    names: set[str]
    wanted: int = 0
    longest: float = 0.0
    waiting: int = 0


class Pressure:
    """Keeps the time. ``stretches`` and ``jams``, those that are over, are what was seen."""

    def __init__(self, edges: Sequence[float]) -> None:
        """:param edges: the seconds where stretches begin, and the end of the last one."""
        self.second = edges[0]
        self.stretches = [Stretch(*pair) for pair in pairwise(edges)]
        self.jams: list[Jam] = []
        self._open: dict[str, Jam] = {}
        self._rest: Iterator[Stretch] = iter([*self.stretches, Stretch(edges[-1], inf)])
        self._stretch = next(self._rest)

    def go_on(self, second: float, used: int, wanted: int) -> None:
        """Let time pass, in which so many slots are used and wanted."""
        while second >= self._stretch.end:
            self._stretch.busy += used * (self._stretch.end - self.second)
            self.second = self._stretch.end
            self._stretch = next(self._rest)
            self._stretch.short.update(self._open)
            self.look(wanted)
        self._stretch.busy += used * (second - self.second)
        self.second = second

    def close(self) -> None:
        """Keep to the stretches no more what happens from now on."""
        self._stretch = Stretch(self.second, inf)

    def start(self) -> None:
        """Note that a run gets its slot."""
        self._stretch.starts += 1

    def look(self, wanted: int) -> None:
        """Note that so many runs want a slot, or have one."""
        self._stretch.peak = max(self._stretch.peak, wanted)

    def is_jammed(self, limit: str) -> bool:
        """Whether somebody waits for a limit."""
        return limit in self._open

    def jam(self, limit: str, names: Iterable[str], wanted: int) -> None:
        """Note that one more run waits for a limit, of these names, while so many want what it limits."""
        jam = self._open.get(limit)
        if jam is None:
            jam = self._open[limit] = Jam(limit, self.second, set())
            self._stretch.short.add(limit)
        jam.names.update(names)
        jam.waiting += 1
        jam.wanted = max(jam.wanted, wanted)

    def release(self, limit: str, since: float) -> None:
        """Note that a run waits for a limit no longer."""
        jam = self._open[limit]
        jam.waiting -= 1
        jam.longest = max(jam.longest, self.second - since)
        if not jam.waiting:
            self.jams.append(self._open.pop(limit))
