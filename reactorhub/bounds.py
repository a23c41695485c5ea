"""What narrows a trigger: a first and a last moment, and times that are left out.

A narrowed trigger is itself a trigger, so whoever asks for the next tick need not know of any of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from reactorhub.cron_expressions import covered
from reactorhub.triggers import INSTANT, Trigger, change_of_offset, wall_time, zone

MOST_STRETCHES = 5_000
"""How many stretches of left-out time in a row are looked past. A stretch is a range of dates, or at most a
day of a cron; who leaves out more than that has no ticks any more."""


class Exclusion(Protocol):
    """A rule that says which moments are left out. Its implementations are hashable and equal by fields."""

    @property
    def text(self) -> str:
        """The rule as the schedule file writes it."""

    @property
    def timezone(self) -> str:
        """The zone whose wall clock the rule reads."""

    def until(self, moment: datetime) -> datetime | None:
        """Up to which later moment all is left out from ``moment`` on; None if ``moment`` itself is not."""


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of a zone, from ``first`` to ``last``.

    :raises ValueError: if the last comes before the first.
    """

    first: date
    last: date
    timezone: str

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"{self.text} ends before it begins; write the earlier date first")

    @property
    def text(self) -> str:
        """``2026-12-24``, or ``2026-12-24..2027-01-02`` for several days."""
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def until(self, moment: datetime) -> datetime | None:
        where = zone(self.timezone)
        wall = wall_time(moment, where)
        if not self.first <= wall.date() <= self.last:
            return None
        end = datetime.combine(self.last, time()) + timedelta(days=1)
        return _later(moment, end - wall, where)


@dataclass(frozen=True, slots=True)
class Times:
    """Every moment whose wall time in a zone a cron expression names: whole minutes where it has five
    fields, seconds where it has six. The expression has been checked before."""

    expression: str
    timezone: str

    @property
    def text(self) -> str:
        """The expression."""
        return self.expression

    def until(self, moment: datetime) -> datetime | None:
        where = zone(self.timezone)
        stretch = covered(self.expression, wall_time(moment, where))
        return _later(moment, stretch, where) if stretch else None


@dataclass(frozen=True, slots=True)
class Bounded:
    """Those ticks of ``rule`` that lie in [``start``, ``end``] and that no exclusion leaves out.

    :raises ValueError: if the end comes before the start.
    """

    rule: Trigger
    start: datetime | None = None
    end: datetime | None = None
    exclude: tuple[Exclusion, ...] = ()

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError("end_time lies before start_time; write a later end_time")

    @property
    def kind(self) -> str:
        """Which rule it narrows."""
        return self.rule.kind

    @property
    def text(self) -> str:
        """The rule that is narrowed."""
        return self.rule.text

    @property
    def timezone(self) -> str | None:
        """The zone of the rule that is narrowed."""
        return self.rule.timezone

    def next_after(self, moment: datetime) -> datetime | None:
        if self.start is not None and moment < self.start:
            moment = self.start - INSTANT
        tick = self.rule.next_after(moment)
        if tick is None or not self.exclude:
            return tick if self.reaches(tick) else None
        return _first_left(self, tick)

    def reaches(self, tick: datetime | None) -> bool:
        """Whether a tick of the rule, None for no tick, lies no later than the end."""
        return tick is not None and (self.end is None or tick <= self.end)


def end_of(trigger: Trigger | None) -> datetime | None:
    """The moment after which a trigger was told to have no ticks; None if it was told of none."""
    return trigger.end if isinstance(trigger, Bounded) else None


@lru_cache(maxsize=16384)
def _first_left(bounded: Bounded, tick: datetime) -> datetime | None:
    """The first tick from ``tick`` on that is not left out."""
    ahead: datetime | None = tick
    for _ in range(MOST_STRETCHES):
        if ahead is None or not bounded.reaches(ahead):
            return None
        ends = [end for rule in bounded.exclude if (end := _until(rule, ahead)) is not None]
        if not ends:
            return ahead
        ahead = bounded.rule.next_after(max(ends) - INSTANT)
    return None


def _until(rule: Exclusion, moment: datetime) -> datetime | None:
    try:
        return rule.until(moment)
    except OverflowError:  # at the end of time
        return datetime.max.replace(tzinfo=moment.tzinfo)


def _later(moment: datetime, stretch: timedelta, where: ZoneInfo) -> datetime:
    """The end of a stretch of wall time that begins at ``moment``, but not beyond a change of the clocks."""
    begin, end = moment.replace(microsecond=0), moment + stretch
    if begin.astimezone(where).utcoffset() == end.astimezone(where).utcoffset():
        return end
    return min(end, change_of_offset(where, begin, end))
