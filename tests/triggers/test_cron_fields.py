"""What a cron expression covers on a wall clock without zone. Its ticks are tested with the triggers."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.triggers.cron_fields import DAY, covered, named_after

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
WEDNESDAY = datetime.fromisoformat("2026-05-13T12:30:15.250000")


@pytest.mark.parametrize(
    ("expression", "span"),
    [
        ("* * * * *", "11:29:44.75"),
        ("* 9-17 * * *", "5:29:44.75"),
        ("* 12,14 * * wed", "0:29:44.75"),
        ("30-34 12 * * *", "0:04:44.75"),
        ("*/30 * * * *", "0:00:44.75"),
        ("* * * * * *", "11:29:44.75"),
        ("10-19 * * * * *", "0:00:04.75"),
        ("15 30 12 13 5 *", "0:00:00.75"),
        ("@daily", "0:00:00"),
        ("* * * * thu", "0:00:00"),
        ("* * 14 * *", "0:00:00"),
        ("* * * 6 *", "0:00:00"),
        ("16 * * * * *", "0:00:00"),
    ],
)
def test_how_long_an_expression_holds(expression: str, span: str) -> None:
    """From a wall time on, as long as the smallest part that is restricted lasts, and for a day at most."""
    hours, minutes, seconds = span.split(":")
    expected = timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    assert covered(expression, WEDNESDAY) == expected


@given(
    expression=st.sampled_from(
        ["* 8-20 * * mon-fri", "*/7 * * * *", "5-25 22,23 L * *", "* * 13 * fri", "30 * * * *", "* * * * *"]
    ),
    wall=st.datetimes(datetime.fromisoformat("2010-01-01"), datetime.fromisoformat("2037-12-31")),
)
def test_what_is_covered_is_what_is_named(expression: str, wall: datetime) -> None:
    """Every minute that begins in a stretch is one the expression names, and the stretch ends at a minute."""
    minute = wall.replace(second=0, microsecond=0)
    stretch = covered(expression, wall)
    assert bool(stretch) is (named_after(expression, minute - SECOND) == minute)
    assert stretch <= DAY
    if stretch:
        count = (wall + stretch - minute) // MINUTE
        assert wall + stretch == minute + count * MINUTE
        for number in {0, 1, count // 2, count - 1} & set(range(count)):
            later = minute + number * MINUTE
            assert named_after(expression, later - SECOND) == later
