"""What was measured, and what follows from it. Pure values: nothing here measures anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bench.fairness import Fairness
    from bench.feed import Feed
    from bench.timetable import Timetable

MEGABYTE = 1_000_000


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of all values do not exceed (nearest rank).

    :raises ValueError: if there are no values.
    """
    if not values:
        raise ValueError("there is no percentile of nothing; measure something first")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One load on one contender: ``wall`` and ``cpu`` in seconds, ``peak`` memory in bytes."""

    runs: int
    wall: float
    cpu: float
    peak: int

    @property
    def runs_per_minute(self) -> float:
        """The rate of this round."""
        return self.runs / self.wall * 60

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per run."""
        return self.cpu / self.runs * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """All rounds of one contender. ``delays`` are the seconds from submit to first request."""

    name: str
    rounds: Sequence[Round]
    delays: Sequence[float] = ()

    @property
    def runs(self) -> int:
        """Runs in a round."""
        return self.rounds[0].runs

    @property
    def runs_per_minute(self) -> float:
        """The median rate."""
        return median(each.runs_per_minute for each in self.rounds)

    @property
    def cpu_ms(self) -> float:
        """The median of CPU milliseconds per run."""
        return median(each.cpu_ms for each in self.rounds)

    @property
    def peak_mb(self) -> float:
        """The most megabytes (10^6 bytes) that were occupied at any time in any round."""
        return max(each.peak for each in self.rounds) / MEGABYTE

    def delay_ms(self, percent: float) -> float:
        """Return a percentile of the delays in milliseconds."""
        return percentile(self.delays, percent) * 1000


def ratio(ours: Contest, theirs: Contest) -> float:
    """Return how many times the CPU per run of ``theirs`` is that of ``ours``.

    Where both had as many rounds, taken in turns, it is the median of the rounds' own ratios: what disturbed
    a round disturbed both.
    """
    if len(ours.rounds) == len(theirs.rounds):
        pairs = zip(ours.rounds, theirs.rounds, strict=True)
        return median(one.cpu_ms / other.cpu_ms for one, other in pairs)
    return ours.cpu_ms / theirs.cpu_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What one ledger call took, in seconds: with a short history, and with a long one."""

    name: str
    few: Sequence[float]
    many: Sequence[float]

    @property
    def ms(self) -> tuple[float, float]:
        """The median milliseconds with the short history, and with the long one."""
        return median(self.few) * 1000, median(self.many) * 1000

    @property
    def added_ms(self) -> float:
        """How many milliseconds the long history adds to a call."""
        return self.ms[1] - self.ms[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a long history costs: ``many`` runs and as many ticks, beside ``few``.

    ``prune`` are the seconds of each step that removed old rows; ``delays`` those from submit to first
    request with ``few`` and ``many`` rows, and with many that are ``pruned`` meanwhile.
    """

    few: int
    many: int
    calls: Sequence[Growth]
    prune: Sequence[float]
    delays: Mapping[str, Sequence[float]]

    @property
    def worst(self) -> Growth:
        """The call that a long history costs most."""
        return max(self.calls, key=lambda call: call.added_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one bench has found: the short crawls by contender, the long ones by contender.

    ``fsyncs`` are the seconds that the disk took for each fsync while the hub's delays were measured.
    ``timetable`` is what was found of a hub with thousands of schedules, ``fairness`` how crawls share one,
    ``redis`` what is done with Redis, ``feed`` what feeding spiders from it costs.
    """

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    at_once: int
    short: Mapping[str, Contest]
    long: Mapping[str, Contest] = field(default_factory=dict)
    fsyncs: Sequence[float] = ()
    history: History | None = None
    timetable: Timetable | None = None
    fairness: Fairness | None = None
    feed: Feed | None = None
    redis: Sequence[Part] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was to be reached: ``value`` measured against ``limit``; which side is good, ``at_most`` says."""

    text: str
    value: float
    limit: float
    at_most: bool = True
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether it was."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


class Part(Protocol):
    """Something that was measured by itself."""

    def rows(self) -> list[tuple[str, str]]:
        """Return what is not a target, as text."""

    def targets(self) -> list[Target]:
        """Return what was to be reached."""


def targets(report: Report) -> list[Target]:
    """Return the targets that the report has figures for."""
    short, long = report.short, report.long
    rules: list[tuple[Callable[[], Target], bool]] = [
        (lambda: _against_bare(short), "bare" in short),
        (lambda: _cpu_against_scrapyd(short), "scrapyd" in short),
        (lambda: _memory_against_scrapyd(short), "scrapyd" in short),
        (lambda: _delay(short["hub"]), True),
        (lambda: _long(long), bool(long)),
    ]
    found = [rule() for rule, known in rules if known]
    found += [*isolation_targets(short), *history_targets(report.history)]
    for part in (report.timetable, report.fairness, report.feed, *report.redis):
        found += [] if part is None else part.targets()
    return found


def isolation_targets(short: Mapping[str, Contest]) -> list[Target]:
    """Return the targets of runs that have a process of their own; none where they were not measured."""
    if "isolated" not in short or "scrapyd" not in short:
        return []
    isolated, scrapyd = short["isolated"], short["scrapyd"]
    return [
        Target(text="CPU per isolated run, with the hub's part", value=isolated.cpu_ms, limit=45, unit=" ms"),
        Target(text="the same, against scrapyd", value=ratio(isolated, scrapyd), limit=1 / 15, unit=" x"),
        Target(
            text="runs a minute, isolated against scrapyd",
            value=isolated.runs_per_minute / scrapyd.runs_per_minute,
            limit=8,
            at_most=False,
            unit=" x",
        ),
        Target(
            text="submit to first request of an isolated run, p99",
            value=isolated.delay_ms(99),
            limit=250,
            unit=" ms",
        ),
    ]


def history_targets(history: History | None) -> list[Target]:
    """Return the targets that a history is measured for."""
    if history is None:
        return []
    rows = f"{history.many:,} rows"
    pruned, not_pruned = (percentile(history.delays[name], 90) for name in ("pruned", "many"))
    return [
        Target(text=f"what {rows} add to a ledger call", value=history.worst.added_ms, limit=5, unit=" ms"),
        Target(
            text=f"submit to first request, p90: while {rows} are pruned against while they are not",
            value=pruned / not_pruned,
            limit=1.5,
            unit=" x",
        ),
    ]


def _against_bare(short: Mapping[str, Contest]) -> Target:
    value = ratio(short["hub"], short["bare"])
    return Target(text="CPU per run, hub against the bare script", value=value, limit=1.2, unit=" x")


def _cpu_against_scrapyd(short: Mapping[str, Contest]) -> Target:
    value = ratio(short["scrapyd"], short["hub"])
    return Target(
        text="CPU per run, scrapyd against the hub", value=value, limit=50, at_most=False, unit=" x"
    )


def _memory_against_scrapyd(short: Mapping[str, Contest]) -> Target:
    value = short["hub"].peak_mb / short["scrapyd"].peak_mb
    return Target(text="peak memory, hub against scrapyd", value=value, limit=1 / 8, unit=" x")


def _delay(hub: Contest) -> Target:
    text = "submit to first request in the hub, p99"
    return Target(text=text, value=hub.delay_ms(99), limit=100, unit=" ms")


def _long(long: Mapping[str, Contest]) -> Target:
    value = ratio(long["hub"], long["bare"])
    return Target(text="CPU of a long crawl, hub against the bare script", value=value, limit=1.0, unit=" x")
