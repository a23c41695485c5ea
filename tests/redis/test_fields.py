"""Values as Redis text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.redis.fields import DROPPED, MAX_FIELDS, MAX_NAME, MAX_VALUE, flattened, json_bytes


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ({"n": 1, "f": 1.5, "s": "x", "yes": True, "no": False}, "n=1 f=1.5 s=x yes=true no=false"),
        ({"absent": None, "empty": "", "nothing": {}}, "empty="),
        ({"a": {"b": {"c": 1}, "d": 2}}, "a/b/c=1 a/d=2"),
        ({"tags": ["a", "ü "], "none": []}, 'tags=["a","ü~"] none=[]'),
    ],
)
def test_flattened(value: dict[str, Any], fields: str) -> None:
    """Nested names are joined with a slash, None has no field, lists are JSON, booleans are words."""
    wanted = dict(pair.replace("~", " ").split("=") for pair in fields.split(" "))
    assert flattened(value) == wanted


def test_flattened_bounds_its_fields() -> None:
    """Fields beyond the bound and names that are too long are counted instead of kept; values are cut."""
    values = {"x" * (MAX_NAME + 1): 1, "long": "y" * (MAX_VALUE + 1)}
    values |= {f"stat/{number}": number for number in range(MAX_FIELDS + 9)}
    fields = flattened(values)
    assert len(fields) == MAX_FIELDS + 1
    assert fields[DROPPED] == "11"
    assert len(fields["long"]) == MAX_VALUE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=8))
def test_flattened_is_all_text(values: dict[str, Any]) -> None:
    """Whatever a view holds becomes a bounded number of texts that can be sent."""
    fields = flattened(values)
    assert len(fields) <= MAX_FIELDS + 1
    assert all(type(text) is str for pair in fields.items() for text in pair)
    assert json.loads(json_bytes(fields)).keys() == {
        key.encode("utf-8", "replace").decode() for key in fields
    }


def test_numbers_that_json_lacks_become_text() -> None:
    """No reader of strict JSON meets NaN or an infinity."""
    assert json_bytes({"a": [float("nan")], "b": float("-inf")}) == b'{"a":["nan"],"b":"-inf"}'
    assert flattened({"a": [float("inf")]}) == {"a": '["inf"]'}


def test_json_bytes_never_fails() -> None:
    """What JSON or UTF-8 has no word for is sent as text or a question mark."""
    assert json.loads(json_bytes({"object": complex(1, 2), "half": "\ud800"})) == {
        "object": "(1+2j)",
        "half": "?",
    }
