"""Time spans as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.triggers.durations import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("2h", 7_200),
        ("1d", 86_400),
        ("1h30m", 5_400),
        ("1d2h3m4s", 93_784),
        ("0.5s", 0.5),
        ("1.5h", 5_400),
        ("0d1s", 1),
        ("36500d", 36_500 * 86_400),
    ],
)
def test_spans(text: str, seconds: float) -> None:
    """Days, hours, minutes and seconds add up, in this order, each with or without a fraction."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("90", "write a unit after '90'"),
        ("", "is not a duration"),
        ("soon", "is not a duration"),
        ("1m1h", "is not a duration"),
        ("1 h", "is not a duration"),
        ("-1s", "is not a duration"),
        ("1w", "is not a duration"),
        ("1S", "is not a duration"),
        (".5s", "is not a duration"),
        ("1s\n", "is not a duration"),
        ("0s", "must be more than 0s"),
        ("36501d", "at most 36500d"),
        ("999999999d", "at most 36500d"),
    ],
)
def test_what_is_no_span(text: str, says: str) -> None:
    """What cannot be read is refused with a sentence that says how to write it."""
    with pytest.raises(ValueError, match=says):
        duration(text)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_parts_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    """Any four parts are read as their sum."""
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert duration(f"{days}d{hours}h{minutes}m{seconds}s") == expected
