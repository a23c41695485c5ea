"""Stats of any class as JSON."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.spiderkit.stats.plain import DROPPED, MAX_STATS, MAX_TEXT, json_text, plain_stats

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Colour(Enum):
    """A spider's own."""

    RED = "red"


class Odd:
    """An object that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1, 1),
        (True, True),
        (None, None),
        (1.5, 1.5),
        ("ü", "ü"),
        (float("nan"), None),
        (float("-inf"), None),
        (NOON.replace(tzinfo=None), "2026-03-01T12:00:00+00:00"),
        (NOON.astimezone(timezone(timedelta(hours=1))), "2026-03-01T13:00:00+01:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (Decimal("19.90"), 19.9),
        (Decimal("NaN"), None),
        ({3, 1, 2}, [1, 2, 3]),
        ({"b", 2, "a"}, [2, "a", "b"]),
        (frozenset({(1, 2)}), [[1, 2]]),
        ((1, [2, {"a": {3}}]), [1, [2, {"a": [3]}]]),
        (deque([1, 2]), [1, 2]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (MappingProxyType(OrderedDict({1: 2, None: 3, (4, 5): 6})), {"1": 2, "None": 3, "(4, 5)": 6}),
        (b"bytes \xff", "bytes �"),
        (Colour.RED, "red"),
        (Fraction(5, 2), 2.5),
        (Path("/a"), "/a"),
        (Odd(), "<Odd>"),
        ("x" * (MAX_TEXT + 1), "x" * MAX_TEXT),
    ],
)
def test_plain(value: Any, plain: Any) -> None:
    """Each kind of value has its form in JSON, and what has none is its text."""
    assert plain_stats({"x": value}) == {"x": plain}
    assert json.loads(json_text(plain_stats({"x": value}))) == {"x": plain}


def test_values_in_themselves() -> None:
    """A value that contains itself ends at a bounded depth."""
    loop: list[Any] = []
    loop.append(loop)
    assert len(json_text(plain_stats({"x": loop}))) < 1000


def test_too_many_stats() -> None:
    """Stats beyond the bound are counted instead of kept."""
    plain = plain_stats({f"url/{number}": number for number in range(MAX_STATS + 5)})
    assert (len(plain), plain[DROPPED], plain["url/0"]) == (MAX_STATS + 1, 5, 0)


def test_half_a_character() -> None:
    """What UTF-8 cannot encode becomes a question mark."""
    assert json_text(plain_stats({"\ud800": "\udfff"})) == '{"?":"?"}'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
    | st.decimals() | st.timedeltas() | st.just(Odd()) | st.just(datetime(1, 1, 1, tzinfo=UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text() | st.integers() | st.none(), VALUES, max_size=5))
def test_any_stats_become_json(stats: dict[Any, Any]) -> None:
    """Whatever the stats are, they become strict JSON in UTF-8."""
    text = json_text(plain_stats(stats)).encode()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
