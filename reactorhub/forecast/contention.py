"""Measures the slots in a simulation: how many are in use, and when runs have to wait for a slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf


@dataclass(slots=True)
class Period:
    """What happened between two moments.

    ``starts`` counts the runs that got a slot, and ``busy`` the seconds that slots were in use. ``peak`` is
    the highest number of runs that had or wanted a slot at once. ``short`` names the limits that made runs
    wait.
    """

    begin: float
    end: float
    starts: int = 0
    busy: float = 0.0
    peak: int = 0
    short: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Contention:
    """A time during which at least one run always waited because of the same limit.

    ``names`` are the schedules of the runs involved. ``wanted`` is the highest number of runs that had or
    wanted a slot at once, ``longest`` the longest wait in seconds, and ``waiting`` how many runs wait now.
    """

    limit: str
    begin: float
    names: set[str]
    wanted: int = 0
    longest: float = 0.0
    waiting: int = 0


class ContentionMeter:
    """Adds up the use of the slots. ``periods`` and ``contentions`` (only ended ones) are the result."""

    def __init__(self, edges: Sequence[float]) -> None:
        """:param edges: the seconds at which periods begin, and the end of the last period."""
        self.second = edges[0]
        self.periods = [Period(*pair) for pair in pairwise(edges)]
        self.contentions: list[Contention] = []
        self._open: dict[str, Contention] = {}
        self._rest: Iterator[Period] = iter([*self.periods, Period(edges[-1], inf)])
        self._period = next(self._rest)

    def advance(self, second: float, used: int, wanted: int) -> None:
        """Advance the time to ``second``. Until then ``used`` slots are in use and ``wanted`` are wanted."""
        while second >= self._period.end:
            self._period.busy += used * (self._period.end - self.second)
            self.second = self._period.end
            self._period = next(self._rest)
            self._period.short.update(self._open)
            self.note_wanted(wanted)
        self._period.busy += used * (second - self.second)
        self.second = second

    def close(self) -> None:
        """Add nothing more to the periods. Contentions are still measured."""
        self._period = Period(self.second, inf)

    def count_start(self) -> None:
        """Count a run that gets its slot."""
        self._period.starts += 1

    def note_wanted(self, wanted: int) -> None:
        """Note how many runs have or want a slot at present."""
        self._period.peak = max(self._period.peak, wanted)

    def is_contended(self, limit: str) -> bool:
        """Whether a run waits because of this limit."""
        return limit in self._open

    def begin_wait(self, limit: str, names: Iterable[str], wanted: int) -> None:
        """Note that one more run waits because of a limit.

        :param names: the schedules involved: that of the run, and those that hold the slots.
        :param wanted: how many runs have or want a slot under this limit.
        """
        contention = self._open.get(limit)
        if contention is None:
            contention = self._open[limit] = Contention(limit, self.second, set())
            self._period.short.add(limit)
        contention.names.update(names)
        contention.waiting += 1
        contention.wanted = max(contention.wanted, wanted)

    def end_wait(self, limit: str, since: float) -> None:
        """Note that a run that has waited for a limit since a second waits no longer."""
        contention = self._open[limit]
        contention.waiting -= 1
        contention.longest = max(contention.longest, self.second - since)
        if not contention.waiting:
            self.contentions.append(self._open.pop(limit))
