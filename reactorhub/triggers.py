"""The pure rules "when": Interval, Cron, Once, After. No clock is read here: a moment in, a tick out.

Every trigger is a frozen value whose ``next_after`` is a function of its fields and the moment alone. So the
sequence of ticks is the same from wherever it is resumed, and a restart cannot move a schedule.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import ClassVar, Protocol
from zoneinfo import ZoneInfo

from reactorhub.cron_expressions import check, named_after, runs_each_real_hour

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)


class Trigger(Protocol):
    """A rule that says when. Its implementations are hashable and equal where their fields are."""

    @property
    def kind(self) -> str:
        """Which rule it is: ``interval``, ``cron``, ``once`` or ``after``."""

    @property
    def text(self) -> str:
        """The rule as a person would write it."""

    @property
    def timezone(self) -> str | None:
        """The zone whose wall clock the rule reads; None where none matters."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick strictly after ``moment``, or None if there is none. Aware UTC in and out."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A tick every ``every``, counted from ``anchor``; before a future anchor the first tick is the anchor.

    Anchored to the epoch unless told otherwise, never to the start of a process: a hub that restarts every
    ten minutes still runs its six-hour schedules.

    :raises ValueError: if ``every`` is shorter than a second or ``anchor`` has no UTC offset.
    """

    every: timedelta
    anchor: datetime = EPOCH
    kind: ClassVar[str] = "interval"
    timezone: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        if self.every < SECOND:
            raise ValueError("an interval cannot be shorter than 1s; write a longer one")
        object.__setattr__(self, "anchor", _as_utc(self.anchor, "the anchor of an interval"))

    @property
    def text(self) -> str:
        """The duration, and the anchor where it is not the epoch."""
        every = duration_text(self.every)
        return every if self.anchor == EPOCH else f"{every} from {_stamp(self.anchor)}"

    def next_after(self, moment: datetime) -> datetime | None:
        if moment < self.anchor and self.anchor != EPOCH:
            return self.anchor
        try:
            return self.anchor + ((moment - self.anchor) // self.every + 1) * self.every
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Once:
    """A single tick.

    :raises ValueError: if ``moment`` has no UTC offset.
    """

    moment: datetime
    kind: ClassVar[str] = "once"
    timezone: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "moment", _as_utc(self.moment, "the time of a one-shot schedule"))

    @property
    def text(self) -> str:
        """The moment in RFC 3339 UTC."""
        return _stamp(self.moment)

    def next_after(self, moment: datetime) -> datetime | None:
        return self.moment if moment < self.moment else None


@dataclass(frozen=True, slots=True)
class After:
    """No tick by itself: a run of one of the schedules ``upstream`` that ends in one of ``states``, the names
    of final states, brings one about."""

    upstream: tuple[str, ...]
    states: tuple[str, ...]
    kind: ClassVar[str] = "after"
    timezone: ClassVar[str | None] = None

    @property
    def text(self) -> str:
        """The names and the states, each joined by commas."""
        return f"{', '.join(self.upstream)}: {', '.join(self.states)}"

    def next_after(self, moment: datetime) -> datetime | None:
        return None


@dataclass(frozen=True, slots=True)
class Cron:
    """One or several cron expressions read on the wall clock of one zone. Make it with :meth:`parse`.

    Where clocks are put forward, a fixed time in the gap runs once, at the gap's end. Where they are put
    back, a fixed time in the overlap runs once, the first time. An expression whose hours are ``*`` or
    stepped has no fixed times: it runs at each real moment whose wall time it names, in both passes of an
    overlap and not in place of a gap, so that ``30 * * * *`` keeps its hour between runs.
    """

    expressions: tuple[str, ...]
    timezone: str
    kind: ClassVar[str] = "cron"

    @classmethod
    def parse(cls, expressions: tuple[str, ...], timezone: str) -> Cron:
        """Check the expressions and the zone.

        Five fields, or six with seconds first; ``@daily`` and friends; names of days and months in any case;
        ``L``, ``LW``, ``5L``, ``mon#2``. Day-of-month and day-of-week both given mean either of them.

        :raises ValueError: with a sentence, for what cannot be read, can never come, or an unknown zone.
        """
        if not expressions:
            raise ValueError("a cron list needs at least one expression")
        zone(timezone)
        cron = cls(tuple(" ".join(expression.split()) for expression in expressions), timezone)
        for expression in cron.expressions:
            check(expression)
        return cron

    @property
    def text(self) -> str:
        """The expressions as they were written, joined by semicolons."""
        return "; ".join(self.expressions)

    def next_after(self, moment: datetime) -> datetime | None:
        """The earliest next tick of all the expressions."""
        where, moment = zone(self.timezone), moment.replace(microsecond=0)
        nexts = (_next(expression, where, moment) for expression in self.expressions)
        return min((tick for tick in nexts if tick is not None), default=None)


def dst_mark(trigger: Trigger, tick: datetime) -> str | None:
    """What a change of the clocks did to a tick of this trigger.

    ``gap`` if its local time did not exist and it was moved to the gap's end; ``overlap`` if its local time
    comes twice that day; else None.
    """
    cron = getattr(trigger, "rule", trigger)  # what narrows a trigger moves none of its ticks
    if not isinstance(cron, Cron):
        return None
    wall = wall_time(tick, zone(cron.timezone))
    first, second = _readings(wall, zone(cron.timezone))
    if first != second:
        return "overlap"
    named = any(named_after(expression, wall - SECOND) == wall for expression in cron.expressions)
    return None if named else "gap"


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Look a time zone up by its IANA name.

    :raises ValueError: if there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; use an IANA name such as Europe/Berlin") from error


def wall_time(moment: datetime, where: ZoneInfo) -> datetime:
    """What the wall clock of a zone shows, as a time without zone."""
    return moment.astimezone(where).replace(tzinfo=None, fold=0)


def change_of_offset(where: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second after ``before``, up to ``after``, with another UTC offset than at ``before``."""

    def changed(seconds: int) -> bool:
        return (before + seconds * SECOND).astimezone(where).utcoffset() != old

    old = before.astimezone(where).utcoffset()
    return before + bisect_left(range((after - before) // SECOND + 1), True, key=changed) * SECOND


def duration_text(duration: timedelta) -> str:
    """Spell a duration the way the schedule file does: ``1h30m``, ``10m``, ``0s``."""
    minutes, seconds = divmod(duration, timedelta(minutes=1))
    amounts = (minutes // 1440, minutes // 60 % 24, minutes % 60, seconds / SECOND)
    return (
        "".join(f"{amount:g}{unit}" for amount, unit in zip(amounts, "dhms", strict=True) if amount) or "0s"
    )


def local_text(moment: datetime, timezone: str) -> str:
    """Return a moment on the wall clock of a zone, with the zone's abbreviation."""
    return f"{moment.astimezone(zone(timezone)):%a %Y-%m-%d %H:%M:%S %Z}"


def _as_utc(moment: datetime, what: str) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{what} needs a UTC offset, as in 2026-12-01T08:00:00+01:00")
    return moment.astimezone(UTC)


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=16384)
def _next(expression: str, where: ZoneInfo, moment: datetime) -> datetime | None:
    """The next tick of one expression; a thousand schedules that share it ask the same, again and again."""
    try:
        if runs_each_real_hour(expression):
            return min(_next_real(expression, where, moment, fold) for fold in (0, 1))
        return _next_fixed(expression, where, moment)
    except (StopIteration, OverflowError):
        return None


def _next_fixed(expression: str, where: ZoneInfo, moment: datetime) -> datetime:
    first, second = _readings(named_after(expression, _resume(where, moment, 0)), where)
    return first if first <= second else change_of_offset(where, second, first)


def _next_real(expression: str, where: ZoneInfo, moment: datetime, fold: int) -> datetime:
    """The next tick among the wall times that exist, each read as its first (0) or second (1) coming."""
    readings = _readings(named_after(expression, _resume(where, moment, fold)), where)
    while readings[0] > readings[1]:
        end = wall_time(change_of_offset(where, readings[1], readings[0]), where)
        readings = _readings(named_after(expression, end - SECOND), where)
    return readings[fold]


def _resume(where: ZoneInfo, moment: datetime, fold: int) -> datetime:
    """The wall time after which every wall time, read with ``fold``, lies after ``moment``."""
    wall = wall_time(moment, where)
    readings = _readings(wall, where)
    edge = change_of_offset(where, *readings) - SECOND if readings[fold] != moment else moment
    return wall + (edge - readings[fold])


def _readings(wall: datetime, where: ZoneInfo) -> tuple[datetime, datetime]:
    """Both readings of a wall time: equal on most days, rising in an overlap, falling in a gap."""
    first, second = (wall.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second
