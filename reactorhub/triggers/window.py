"""What narrows a trigger: a first and a last moment, and times that are left out.

A narrowed trigger is a trigger too, so code that asks for the next tick need not know about windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, reduce
from operator import or_
from typing import Protocol
from zoneinfo import ZoneInfo

from reactorhub.triggers.cron import Cron
from reactorhub.triggers.cron_fields import bits_covered, bits_named, covered, names_all_days
from reactorhub.triggers.durations import INSTANT, SECOND
from reactorhub.triggers.rules import Interval, Trigger
from reactorhub.triggers.wall_clock import change_of_offset, wall_time, zone

MAX_PERIODS = 1_500
"""The search for the next tick gives up after this many excluded periods in a row. A period is a range of
dates, or the rest of a day without ticks: so this is about four years of excluded days."""

SOME_PERIODS = 100
"""After this many excluded periods the search also gives up once it is ``MAX_PERIODS`` days ahead: a weekly
tick is not searched for over decades."""

FEW_PERIODS = 8
"""This many excluded periods are skipped one by one, which is faster for a few periods. After that the search
goes day by day, with bits."""

WHOLE_DAY = (1 << 86_400) - 1  # a bit for each second of a day


class Exclusion(Protocol):
    """A rule that excludes moments. Implementations are hashable, and equal if their fields are equal."""

    @property
    def text(self) -> str:
        """The rule as the schedule file writes it."""

    @property
    def timezone(self) -> str:
        """The zone whose wall clock the rule reads."""

    def until(self, moment: datetime) -> datetime | None:
        """The end of the excluded period that ``moment`` lies in; None if ``moment`` is not excluded."""

    def bits(self, day: date) -> int:
        """The excluded seconds of a day on that wall clock, as bits: bit ``n`` stands for second ``n``."""


@dataclass(frozen=True, slots=True)
class ExcludedDays:
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

    def bits(self, day: date) -> int:
        return WHOLE_DAY if self.first <= day <= self.last else 0


@dataclass(frozen=True, slots=True)
class ExcludedTimes:
    """Every moment whose wall time in a zone matches a cron expression: whole minutes for an expression of
    five fields, seconds for one of six. The expression must be valid."""

    expression: str
    timezone: str

    @property
    def text(self) -> str:
        """The expression."""
        return self.expression

    def until(self, moment: datetime) -> datetime | None:
        where = zone(self.timezone)
        span = covered(self.expression, wall_time(moment, where))
        return _later(moment, span, where) if span else None

    def bits(self, day: date) -> int:
        return bits_covered(self.expression, day)


@dataclass(frozen=True, slots=True)
class Window:
    """The ticks of ``rule`` that lie in [``start``, ``end``] and are not excluded.

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
        """Whether there is a tick and it is not after the end."""
        return tick is not None and (self.end is None or tick <= self.end)


def end_of(trigger: Trigger | None) -> datetime | None:
    """Return the end of a trigger's window; None if it has none."""
    return trigger.end if isinstance(trigger, Window) else None


@lru_cache(maxsize=16384)
def _first_left(window: Window, tick: datetime) -> datetime | None:
    """The first tick from ``tick`` on that is not excluded."""
    ahead: datetime | None = tick
    for passed in range(MAX_PERIODS):
        if ahead is None or not window.reaches(ahead):
            return None
        ends = [end for rule in window.exclude if (end := _until(rule, ahead)) is not None]
        if not ends:
            return ahead
        if passed == FEW_PERIODS and _leaves_nothing(window.exclude):
            return None
        if passed >= SOME_PERIODS and (ahead - tick).days >= MAX_PERIODS:
            return None
        past = _after_period if passed < FEW_PERIODS else _after_day
        ahead = past(window, ahead, max(ends))
    return None


def _leaves_nothing(exclude: tuple[Exclusion, ...]) -> bool:
    """Whether the crons that match on all days exclude every second of a day together."""
    always = [rule for rule in exclude if isinstance(rule, ExcludedTimes) and names_all_days(rule.expression)]
    one_clock = len({rule.timezone for rule in always}) == 1
    return one_clock and _union(always, date(2000, 1, 1)) == WHOLE_DAY


def _after_period(window: Window, _: datetime, end: datetime) -> datetime | None:
    return window.rule.next_after(end - INSTANT)


def _after_day(window: Window, tick: datetime, end: datetime) -> datetime | None:
    """The first tick of the rule in the rest of the day that is not excluded, or else the first tick after
    that day. A change of the clocks also ends a day.

    All ticks and all exclusions of the rest of the day are compared at once, as integers with a bit for each
    second. Crons that exclude nearly every second of a day would otherwise cost a step for each of them.

    :param tick: an excluded tick of the rule.
    :param end: the end of the excluded period that ``tick`` lies in, by one exclusion.
    """
    where = zone(window.exclude[0].timezone)
    wall = wall_time(tick, where)
    passed = wall - datetime.combine(wall.date(), time())
    over = _later(tick, timedelta(days=1) - passed, where)
    if end < over and (named := _named_from(window, tick, wall, passed // SECOND)) is not None:
        # Drop the seconds of the day before the tick, so that bit 0 stands for the tick in both integers.
        out = _union(window.exclude, wall.date()) >> passed // SECOND
        # Keep the ticks that are not excluded, up to the end of the day.
        left = named & ~out & ((1 << (over - tick) // SECOND) - 1)
        if left:
            # left & -left keeps the lowest bit, the earliest tick; its number is the seconds until then.
            return tick + ((left & -left).bit_length() - 1) * SECOND
        end = over
    return _after_period(window, tick, end)


def _named_from(window: Window, tick: datetime, wall: datetime, passed: int) -> int | None:
    """The ticks of the rest of a day as bits, bit 0 for ``tick``.

    None if bits cannot express them: zones differ, ticks are not on whole seconds, or the tick is in the
    second pass of a repeated hour.
    """
    rule, timezone = window.rule, window.exclude[0].timezone
    if any(each.timezone != timezone for each in window.exclude):
        return None
    if isinstance(rule, Interval):
        whole = not (rule.every % SECOND or rule.anchor.microsecond)
        return _each(rule.every // SECOND) if whole else None
    first_time = wall.replace(tzinfo=zone(timezone)).astimezone(UTC) == tick
    if isinstance(rule, Cron) and rule.timezone == timezone and first_time:
        named = (bits_named(expression, wall.date()) for expression in rule.expressions)
        return reduce(or_, named, 0) >> passed
    return None


@lru_cache(maxsize=1024)
def _each(seconds: int) -> int:
    """A day with every ``seconds``-th bit set, from bit 0 on.

    A division sets them all at once: (2**(s*n) - 1) / (2**s - 1) = 1 + 2**s + 2**(2s) + ... with n terms.
    """
    times = 86_399 // seconds + 1
    return ((1 << seconds * times) - 1) // ((1 << seconds) - 1)


def _union(exclude: Iterable[Exclusion], day: date) -> int:
    return reduce(or_, (rule.bits(day) for rule in exclude), 0)


def _until(rule: Exclusion, moment: datetime) -> datetime | None:
    try:
        return rule.until(moment)
    except OverflowError:  # beyond year 9999
        return datetime.max.replace(tzinfo=moment.tzinfo)


def _later(moment: datetime, span: timedelta, where: ZoneInfo) -> datetime:
    """``moment`` plus a span of wall time, but at most up to the next change of the clocks."""
    begin, end = moment.replace(microsecond=0), moment + span
    if begin.astimezone(where).utcoffset() == end.astimezone(where).utcoffset():
        return end
    return min(end, change_of_offset(where, begin, end))
