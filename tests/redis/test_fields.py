"""URLs and values as Redis text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.errors import StartError
from reactorhub.redis.address import RedisAddress, redis_url_parts
from reactorhub.redis.fields import DROPPED, MAX_FIELDS, MAX_NAME, MAX_VALUE, flattened, json_bytes

URLS = [
    ("redis://127.0.0.1", RedisAddress()),
    ("redis://localhost:7000/3", RedisAddress(host="localhost", port=7000, db=3)),
    ("redis://localhost?db=4", RedisAddress(host="localhost", db=4)),
    ("redis://[::1]:7000/", RedisAddress(host="::1", port=7000)),
    ("redis://:s%2Fcret@h/1", RedisAddress(host="h", db=1, password="s/cret")),
    ("redis://me:p%40ss@h", RedisAddress(host="h", username="me", password="p@ss")),
    ("rediss://me:pw@h:6380/0", RedisAddress(host="h", port=6380, tls=True, username="me", password="pw")),
    ("unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
    ("unix:///a%20b/redis.sock?db=2", RedisAddress(path="/a b/redis.sock", db=2)),
    ("redis+unix:///r.sock?db=1&password=pw", RedisAddress(path="/r.sock", db=1, password="pw")),
]
BAD_URLS = [
    ("", "begins with"),
    ("localhost:6379", "begins with"),
    ("http://:topsecret@localhost", "begins with"),
    ("redis://", "has no host"),
    ("redis://:topsecret@", "has no host"),
    ("redis://:topsecret@h:port", "not a valid URL"),
    ("redis://:topsecret@h:99999", "not a valid URL"),
    ("redis://:topsecret@h/shop", "database"),
    ("redis://h?db=-1", "database"),
    ("unix://relative.sock", "absolute path"),
    ("unix:///", "absolute path"),
]


@pytest.mark.parametrize(("url", "address"), URLS)
def test_url(url: str, address: RedisAddress) -> None:
    """Every form of URL gives the server's place, database and login, percent-decoded."""
    assert redis_url_parts(url) == address


@pytest.mark.parametrize(("url", "complaint"), BAD_URLS)
def test_bad_url(url: str, complaint: str) -> None:
    """A URL that cannot be used is refused with a sentence that never holds its password."""
    with pytest.raises(StartError, match=complaint) as caught:
        redis_url_parts(url)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(("url", "address"), URLS)
def test_address_text(url: str, address: RedisAddress) -> None:
    """An address shows where the server is; its text leads there again, and no password is in it."""
    shown = redis_url_parts(str(address))
    assert (shown.host, shown.port, shown.path, shown.db, shown.tls) == (
        *(address.host, address.port, address.path, address.db, address.tls),
    )
    for text in (str(address), repr(address)):
        assert address.password is None or address.password not in text


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
