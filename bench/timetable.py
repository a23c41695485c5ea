"""What was measured of a hub with thousands of schedules, and what follows from it. Pure values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from bench.figures import Target, percentile

CRAWLING = "crawling"
"""The burst in which crawls begin once all ticks are handed on: these are in the way of calls, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Something that took the hub so many ``seconds``, and the ``worst`` of the calls made meanwhile."""

    seconds: float
    worst: float

    @property
    def worst_ms(self) -> float:
        """How long the slowest call took."""
        return self.worst * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Ticks that were due at one moment: by how many seconds they were handed on late, after how many all
    were on disk, and the slowest call of the API meanwhile."""

    ticks: int
    p50: float
    p99: float
    watched: Watched

    @classmethod
    def of(cls, lateness: Sequence[float], watched: Watched) -> Self:
        """Sum up the lateness of each tick, in seconds."""
        p50, p99 = (percentile(lateness, percent) for percent in (50, 99))
        return cls(ticks=len(lateness), p50=p50, p99=p99, watched=watched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """Everything that was measured: with ``schedules`` of them, of which ``reloaded`` were for the reloads.

    ``start`` and ``checks`` are in seconds, ``idle`` is the share of one core, ``memory`` is in bytes for
    each schedule, ``worst_stall`` is the hub's own figure after all reloads, in seconds.
    """

    schedules: int
    reloaded: int
    start: float
    idle: float
    memory: float
    listed: Watched
    bursts: Mapping[str, Burst]
    reloads: Mapping[str, Watched]
    worst_stall: float
    checks: Mapping[str, float]

    def targets(self) -> Iterator[Target]:
        """Judge what has a target."""
        many, some = f"{self.schedules:,} schedules", f"{self.reloaded:,} schedules"
        yield Target(text=f"idle CPU with {many}", value=self.idle * 100, limit=3, unit=" %")
        together = f"{max(burst.ticks for burst in self.bursts.values()):,} ticks due at once"
        late = max(burst.p99 for burst in self.bursts.values()) * 1000
        yield Target(text=f"{together}: handed on late by, p99", value=late, limit=100, unit=" ms")
        worst = max(burst.watched.worst_ms for name, burst in self.bursts.items() if name != CRAWLING)
        text = f"{together}: slowest API call, crawls apart"
        yield Target(text=text, value=worst, limit=100, unit=" ms")
        yield Target(
            text=f"list of {many}: slowest call beside it", value=self.listed.worst_ms, limit=100, unit=" ms"
        )
        stall = max([self.worst_stall * 1000, *(reload.worst_ms for reload in self.reloads.values())])
        yield Target(text=f"reload of {some}: longest stall", value=stall, limit=100, unit=" ms")
        slowest = max(self.checks.values())
        yield Target(text=f"check of {some}", value=slowest, limit=4, unit=" s")

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """Return what was measured, as (what, figure, unit)."""
        yield f"start with {self.schedules:,} schedules", self.start, "s"
        yield "memory of each", self.memory / 1000, "kB"
        yield "idle CPU with them", self.idle * 100, "% of a core"
        yield "list of them", self.listed.seconds * 1000, "ms"
        yield "slowest call beside the list", self.listed.worst_ms, "ms"
        for name, burst in self.bursts.items():
            which = f"{burst.ticks:,} ticks due at once, {name}"
            yield f"{which}: handed on late by, p50", burst.p50 * 1000, "ms"
            yield f"{which}: handed on late by, p99", burst.p99 * 1000, "ms"
            yield f"{which}: all on disk after", burst.watched.seconds * 1000, "ms"
            yield f"{which}: slowest API call", burst.watched.worst_ms, "ms"
        for name, reload in self.reloads.items():
            yield f"reload of {self.reloaded:,} schedules, {name}", reload.seconds * 1000, "ms"
            yield f"slowest call beside it, {name}", reload.worst_ms, "ms"
        yield "longest stall of the reactor in all reloads", self.worst_stall * 1000, "ms"
        for name, seconds in self.checks.items():
            yield f"check of {self.reloaded:,} schedules, {name}", seconds, "s"
