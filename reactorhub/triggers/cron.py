"""Cron expressions in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import ClassVar
from zoneinfo import ZoneInfo

from reactorhub.triggers.cron_fields import check, named_after, runs_each_real_hour
from reactorhub.triggers.durations import SECOND
from reactorhub.triggers.rules import Trigger
from reactorhub.triggers.wall_clock import change_of_offset, wall_time, zone


def instant(moment: datetime, timezone: str) -> datetime:
    """Return the moment of a time. A time without offset is read in ``timezone``, as a cron would read it.

    A time in a gap means the end of the gap, and a repeated time means the first of the two.
    """
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    once = Cron.parse((f"{moment:%S %M %H %d %m} *",), timezone)
    tick = once.next_after(moment.replace(tzinfo=UTC) - timedelta(days=2))
    assert tick is not None
    return tick


@dataclass(frozen=True, slots=True)
class Cron:
    """One or several cron expressions read on the wall clock of one zone. Make it with :meth:`parse`.

    When clocks are put forward, a fixed time in the gap runs once, at the end of the gap. When clocks are put
    back, a fixed time in the overlap runs once, at its first occurrence. An expression whose hours are ``*``
    or stepped has no fixed times: it runs at each real moment whose wall time matches. So ``30 * * * *`` runs
    in both passes of an overlap, not at all in a gap, and there is always an hour between its runs.
    """

    expressions: tuple[str, ...]
    timezone: str
    kind: ClassVar[str] = "cron"

    @classmethod
    def parse(cls, expressions: tuple[str, ...], timezone: str) -> Cron:
        """Check the expressions and the zone.

        Five fields, or six with seconds first; ``@daily`` and friends; names of days and months in any case;
        ``L``, ``LW``, ``5L``, ``mon#2``. With both day-of-month and day-of-week, one of them
        has to match.

        :raises ValueError: if an expression is invalid or never matches, or a zone is unknown.
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
    """Return what a change of the clocks did to a tick of this trigger.

    ``gap`` if the local time does not exist that day, so that the tick was moved to the end of the gap;
    ``overlap`` if the local time occurs twice that day; else None.
    """
    cron = getattr(trigger, "rule", trigger)  # a window does not move ticks
    if not isinstance(cron, Cron):
        return None
    wall = wall_time(tick, zone(cron.timezone))
    first, second = _readings(wall, zone(cron.timezone))
    if first != second:
        return "overlap"
    named = any(named_after(expression, wall - SECOND) == wall for expression in cron.expressions)
    return None if named else "gap"


@lru_cache(maxsize=16384)
def _next(expression: str, where: ZoneInfo, moment: datetime) -> datetime | None:
    """The next tick of one expression. Cached: many schedules may share an expression."""
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
    """The next tick among the wall times that exist, each read as its first (0) or second (1) occurrence."""
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
