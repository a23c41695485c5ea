"""Every change of the clocks from 2010 to 2037 in ten zones, against a table made minute by minute."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reactorhub.triggers.cron import Cron
from tests.triggers.golden_dst import COLUMNS, FILE, ZONES, row

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)

with FILE.open(encoding="utf-8", newline="") as file:
    GOLDEN = list(csv.DictReader(file))


def moment(text: str) -> datetime:
    """Read a moment of the table."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)


def is_known(line: dict[str, str]) -> bool:
    """Whether the zone data of this machine have that change: governments decide anew now and then."""
    where, change = ZoneInfo(line["zone"]), moment(line["change"])
    offsets = [at.astimezone(where).utcoffset() for at in (change - MINUTE, change)]
    return offsets == [int(line[side]) * MINUTE for side in ("before", "after")]


def ticks(expression: str, zone: str, first: datetime, last: datetime) -> list[datetime]:
    """All ticks in [first, last], each asked for from the one before."""
    trigger, found = Cron.parse((expression,), zone), [first - SECOND]
    while (tick := trigger.next_after(found[-1])) is not None and tick <= last:
        found.append(tick)
    return found[1:]


def wrong(kind: str) -> list[dict[str, str]]:
    """The rows of the table that the trigger does not agree with."""
    found = []
    for line in filter(is_known, GOLDEN):
        expected = [moment(text) for text in line[f"{kind}_ticks"].split()]
        if ticks(line[kind], line["zone"], expected[0], expected[-1]) != expected:
            found.append(line)
    return found


def test_a_fixed_time_at_every_change_of_the_clocks() -> None:
    """A time in a gap runs once at its end, one in an overlap once, the first time; each other day once."""
    assert wrong("fixed") == []


def test_star_hours_at_every_change_of_the_clocks() -> None:
    """With ``*`` hours each real minute counts that the wall clock shows as wanted, and no other."""
    assert wrong("hourly") == []


def test_the_table_covers_the_zones() -> None:
    """All ten zones are there, and this machine knows nearly all of their changes."""
    assert {line["zone"] for line in GOLDEN} == set(ZONES)
    assert len(GOLDEN) > 500
    assert sum(map(is_known, GOLDEN)) > 0.9 * len(GOLDEN)


@pytest.mark.parametrize("zone", ZONES)
def test_the_table_is_what_its_script_makes(zone: str) -> None:
    """Each zone's first row is the one that the script finds by itself."""
    line = next(line for line in GOLDEN if line["zone"] == zone and is_known(line))
    assert row(zone, moment(line["change"])) == {name: line[name] for name in COLUMNS}
