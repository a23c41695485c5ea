"""Makes ``tests/golden/dst.csv``: what crons do at every change of the clocks from 2010 to 2037 in ten zones.

It knows nothing of the hub. It looks at every minute around a change, asks zoneinfo what the wall clock shows
then, and applies the rules as the documentation states them:

- a fixed time runs the first time the wall clock shows it, or at the end of the gap that it lies in;
- with ``*`` hours, every real minute counts whose wall time fits.

Run it with ``python -m tests.triggers.golden_dst`` after a change of the rules, never to make a test pass.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

FILE = Path(__file__).parent / "golden" / "dst.csv"
COLUMNS = ("zone", "change", "before", "after", "fixed", "fixed_ticks", "hourly", "hourly_ticks")
ZONES = (
    "Africa/Casablanca",  # winter time during Ramadan
    "America/Asuncion",  # at midnight
    "America/Havana",  # midnight comes twice
    "America/New_York",
    "America/St_Johns",  # a minute past midnight until 2011
    "Antarctica/Troll",  # by two hours
    "Asia/Beirut",  # at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Europe/Berlin",
    "Pacific/Apia",  # skipped a whole day
)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AROUND, NEAR = 30 * HOUR, 3 * HOUR

Minutes = list[tuple[datetime, datetime]]
"""Moments in UTC, each with what the wall clock shows then."""


def changes(where: ZoneInfo) -> Iterator[datetime]:
    """The first minute after each change of the clocks."""
    hour = datetime(2010, 1, 1, tzinfo=UTC)
    while hour.year < 2038:
        later = hour + HOUR
        if _offset(hour, where) != _offset(later, where):
            minute = hour
            while _offset(minute, where) == _offset(hour, where):
                minute += MINUTE
            yield minute
        hour = later


def minutes_around(change: datetime, where: ZoneInfo) -> Minutes:
    """Every minute near a change."""
    count = 2 * AROUND // MINUTE
    moments = (change - AROUND + number * MINUTE for number in range(count))
    return [(moment, moment.astimezone(where).replace(tzinfo=None, fold=0)) for moment in moments]


def fixed_ticks(minutes: Minutes, hour: int, minute: int) -> list[datetime]:
    """When ``minute hour * * *`` runs in these minutes, but for the first and the last day of them."""
    day, last = minutes[0][1].date(), minutes[-1][1].date()
    found: list[datetime] = []
    while (day := day + 24 * HOUR) < last:
        wanted = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - a wall time
        shown = [moment for moment, wall in minutes if wall == wanted]
        found.append(shown[0] if shown else min(moment for moment, wall in minutes if wall > wanted))
    return sorted(set(found))


def row(zone: str, change: datetime) -> dict[str, str]:
    """What happens at one change: the fixed time lies in the middle of its gap or overlap."""
    where = ZoneInfo(zone)
    minutes = minutes_around(change, where)
    before, after = _offset(change - MINUTE, where), _offset(change, where)
    edge = (change + before).replace(tzinfo=None)
    middle = edge + (after - before) / 2
    middle = middle.replace(second=0)
    near = [(moment, wall) for moment, wall in minutes if abs(moment - change) <= NEAR]
    return {
        "zone": zone,
        "change": _text(change),
        "before": str(before // MINUTE),
        "after": str(after // MINUTE),
        "fixed": f"{middle.minute} {middle.hour} * * *",
        "fixed_ticks": " ".join(map(_text, fixed_ticks(minutes, middle.hour, middle.minute))),
        "hourly": f"{middle.minute} * * * *",
        "hourly_ticks": " ".join(_text(moment) for moment, wall in near if wall.minute == middle.minute),
    }


def _offset(moment: datetime, where: ZoneInfo) -> timedelta:
    offset = moment.astimezone(where).utcoffset()
    assert offset is not None
    return offset


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}"


def main() -> None:
    """Write the table."""
    with FILE.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(row(zone, change) for zone in ZONES for change in changes(ZoneInfo(zone)))


if __name__ == "__main__":
    main()
