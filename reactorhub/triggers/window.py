"""What narrows a trigger: a first and a last moment, and times that are left out.

A narrowed trigger is itself a trigger, so whoever asks for the next tick need not know of any of this.
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
"""How many stretches of left-out time in a row are looked past. A stretch is a range of dates, or the rest of
a day of which crons leave no tick; who leaves out more than that has no ticks any more."""

SOME_STRETCHES = 100
"""After so many stretches in a row it is enough that they reach over as many days as there may be stretches:
a tick a week is not looked for over decades."""

FEW_STRETCHES = 8
"""So many stretches are looked past one at a time, each as one rule has it: that is quicker at first."""

WHOLE_DAY = (1 << 86_400) - 1


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

    def bits(self, day: date) -> int:
        """What is left out of a day of that wall clock: bit ``n`` stands for its second ``n``."""


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

    def bits(self, day: date) -> int:
        return bits_covered(self.expression, day)


@dataclass(frozen=True, slots=True)
class Window:
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
    return trigger.end if isinstance(trigger, Window) else None


@lru_cache(maxsize=16384)
def _first_left(window: Window, tick: datetime) -> datetime | None:
    """The first tick from ``tick`` on that is not left out."""
    ahead: datetime | None = tick
    for passed in range(MAX_PERIODS):
        if ahead is None or not window.reaches(ahead):
            return None
        ends = [end for rule in window.exclude if (end := _until(rule, ahead)) is not None]
        if not ends:
            return ahead
        if passed == FEW_STRETCHES and _leaves_nothing(window.exclude):
            return None
        if passed >= SOME_STRETCHES and (ahead - tick).days >= MAX_PERIODS:
            return None
        past = _past_the_stretch if passed < FEW_STRETCHES else _past_the_day
        ahead = past(window, ahead, max(ends))
    return None


def _leaves_nothing(exclude: tuple[Exclusion, ...]) -> bool:
    """Whether crons that say nothing of days leave out every second of each."""
    always = [rule for rule in exclude if isinstance(rule, ExcludedTimes) and names_all_days(rule.expression)]
    one_clock = len({rule.timezone for rule in always}) == 1
    return one_clock and _union(always, date(2000, 1, 1)) == WHOLE_DAY


def _past_the_stretch(window: Window, _: datetime, end: datetime) -> datetime | None:
    return window.rule.next_after(end - INSTANT)


def _past_the_day(window: Window, tick: datetime, end: datetime) -> datetime | None:
    """The first tick of the rule after a stretch of left-out time that is left of its day, or else the first
    one after that day. A day ends where the clocks change.

    :param tick: a tick of the rule that begins the stretch.
    :param end: the end of the stretch as one exclusion has it.
    """
    where = zone(window.exclude[0].timezone)
    wall = wall_time(tick, where)
    passed = wall - datetime.combine(wall.date(), time())
    over = _later(tick, timedelta(days=1) - passed, where)
    if end < over and (named := _named_from(window, tick, wall, passed // SECOND)) is not None:
        out = _union(window.exclude, wall.date()) >> passed // SECOND
        left = named & ~out & ((1 << (over - tick) // SECOND) - 1)
        if left:
            return tick + ((left & -left).bit_length() - 1) * SECOND
        end = over
    return _past_the_stretch(window, tick, end)


def _named_from(window: Window, tick: datetime, wall: datetime, passed: int) -> int | None:
    """The ticks of the rest of a day, bit 0 for ``tick`` itself; None where that is not to be had so."""
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
    """A day of which every so many seconds is named, the first one included."""
    times = 86_399 // seconds + 1
    return ((1 << seconds * times) - 1) // ((1 << seconds) - 1)


def _union(exclude: Iterable[Exclusion], day: date) -> int:
    return reduce(or_, (rule.bits(day) for rule in exclude), 0)


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
