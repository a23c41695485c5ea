"""Cron expressions on a wall clock without a zone: whether they are valid, and which times they match.

All times here are wall times, without zone. :mod:`reactorhub.triggers.cron` applies the rules of a zone.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from copy import copy
from datetime import date, datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_WHOLE_MINUTE, _DAYS, _WEEKDAYS = frozenset(range(60)), frozenset(range(1, 32)), frozenset(range(7))
FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L or LW, and a day that the month has",
    "month": "1-12 or jan-dec",
    "day-of-week": "0-7 or sun-sat (0 and 7 are Sunday), 5L for the last Friday, mon#2 for the second Monday",
}


def check(expression: str) -> None:
    """Check a cron expression, or an alias such as ``@daily``. The expression must match at least one time.

    :raises ValueError: if it is wrong; the message names the field and says what to write.
    """
    if expression.lower() == "@reboot":
        raise ValueError("'@reboot' is not a time; remove it, and write run_on_start: true")
    if expression.startswith("@") and expression.lower() not in ALIASES:
        raise ValueError(f"{expression!r} is not known; use one of {', '.join(ALIASES)}")
    fields = _fields(expression)
    if len(fields) not in (5, 6):
        names = "minute hour day-of-month month day-of-week, or six with second first"
        number = f"{len(fields)} field{'s' * (len(fields) != 1)}"
        raise ValueError(f"{expression!r} has {number}; write five: {names}")
    try:
        possible = next(copy(_simulator(expression)), None)
    except (CronSimError, ValueError) as error:
        raise ValueError(_complaint(expression, fields, str(error))) from error
    if possible is None:
        raise ValueError(f"{expression!r} never matches; choose a date that exists")


def named_after(expression: str, wall: datetime) -> datetime:
    """Return the first time strictly after ``wall`` that the expression matches.

    :raises StopIteration: if there is none within fifty years.
    """
    simulator = copy(_simulator(expression))
    simulator.dt = wall
    return next(simulator)


@lru_cache(maxsize=16384)
def runs_each_real_hour(expression: str) -> bool:
    """Whether the hours are ``*`` or stepped, so that the expression has no fixed times."""
    hours = _fields(expression)[-4]
    return ("*" in hours or "/" in hours) and len(_simulator(expression).hours) > 1


def covered(expression: str, wall: datetime) -> timedelta:
    """Return how long from ``wall`` on the expression matches every time; zero if ``wall`` does not match.

    Five fields match whole minutes, six match seconds. The answer is never longer than the rest of the day,
    so the expression may match again at its end.
    """
    simulator = _simulator(expression)
    if wall.hour not in simulator.hours or wall.minute not in simulator.minutes:
        return timedelta()
    seconds = _covered_seconds(expression)
    parts = (
        (seconds, wall.second, 60, SECOND),
        (simulator.minutes, wall.minute, 60, MINUTE),
        (simulator.hours, wall.hour, 24, HOUR),
    )
    on_that_day = wall.month in simulator.months and simulator.match_day(wall.date())
    if not on_that_day or any(value not in named for named, value, _, _ in parts):
        return timedelta()
    passed = wall - wall.replace(hour=0, minute=0, second=0, microsecond=0)
    for named, value, whole, unit in parts:
        if len(named) < whole:
            units = next(later for later in range(value, whole + 1) if later not in named) - value
            return units * unit - passed % unit
    return DAY - passed


def names_all_days(expression: str) -> bool:
    """Whether the expression matches every day of every month."""
    simulator = _simulator(expression)
    days, weekdays = simulator.days >= _DAYS, simulator.weekdays >= _WEEKDAYS
    return len(simulator.months) == 12 and ((days and weekdays) if simulator.day_and else (days or weekdays))


def bits_named(expression: str, day: date) -> int:
    """Return the times of a day that the expression matches: bit ``n`` stands for second ``n``."""
    return _bits(expression, whole_minutes=False) if _names_day(expression, day) else 0


def bits_covered(expression: str, day: date) -> int:
    """Like :func:`bits_named`, but expressions of five fields match whole minutes, see :func:`covered`."""
    return _bits(expression, whole_minutes=True) if _names_day(expression, day) else 0


def _names_day(expression: str, day: date) -> bool:
    simulator = _simulator(expression)
    return day.month in simulator.months and bool(simulator.match_day(day))


@lru_cache(maxsize=1024)
def _bits(expression: str, *, whole_minutes: bool) -> int:
    simulator = _simulator(expression)
    seconds = _covered_seconds(expression) if whole_minutes else simulator.seconds
    # Build the day from its parts: the bits of a minute, repeated in each matching minute, then hour.
    minute = sum(1 << second for second in seconds)
    hour = sum(minute << 60 * number for number in simulator.minutes)
    return sum(hour << 3600 * number for number in simulator.hours)


def _covered_seconds(expression: str) -> AbstractSet[int]:
    return _simulator(expression).seconds if len(_fields(expression)) == 6 else _WHOLE_MINUTE


def _complaint(expression: str, fields: list[str], message: str) -> str:
    names = list(FIELDS)[-len(fields) :]
    if (name := message.removeprefix("Bad ")) not in names:
        return f"{expression!r} cannot be read as a cron expression; check its numbers"
    field = fields[names.index(name)]
    return f"the {name} field {field!r} of {expression!r} is wrong; use {FIELDS[name]}; a range runs upwards"


def _fields(expression: str) -> list[str]:
    return ALIASES.get(expression.lower(), expression).split()


@lru_cache(maxsize=16384)
def _simulator(expression: str) -> CronSim:
    start = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall time
    return CronSim(" ".join(_fields(expression)), start)
