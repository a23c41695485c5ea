"""Entries of the inbox: orders as the API takes them, with an id."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactorhub.errors import InvalidRequest
from reactorhub.wire.inbox import InboxEntry, read_entry, why_not, with_id
from reactorhub.wire.orders import Order

ids = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=200)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_an_entry_is_an_order_with_an_id() -> None:
    """All fields of an order are read; the id is none of them, and may be left out."""
    order = Order(spider="prices", args={"category": "laptops"}, priority=3)
    text = {"spider": "prices", "args": {"category": "laptops"}, "priority": 3}
    assert read_entry(json.dumps(text).encode()) == InboxEntry(None, order)
    assert read_entry(json.dumps({**text, "id": "order-17"}).encode()) == InboxEntry("order-17", order)
    assert read_entry(json.dumps({**text, "id": None}).encode()) == InboxEntry(None, order)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b"", "the entry is empty"),
        (b" \n", "the entry is empty"),
        (b"prices", "the entry is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff", "the entry is not UTF-8"),
        (b"[1]", "the entry must be a JSON object"),
        (b"NaN", "the entry is not valid JSON: NaN is not a JSON value"),
        (b"[" * 100_000, "the entry is nested too deeply; send a flat object"),
        (b"{}", "spider: is required: the name of the spider to run"),
        (
            b'{"id": "a\\nb", "args": 1}',
            "id: must be a text of 1 to 200 printable characters; args: must map up to 100 names to texts;"
            " spider: is required: the name of the spider to run",
        ),
        (b'{"id": 7, "spider": "a"}', "id: must be a text of 1 to 200 printable characters"),
    ],
)
def test_what_is_wrong_with_an_entry(entry: bytes, reason: str) -> None:
    """All mistakes of an entry are in one sentence."""
    with pytest.raises(InvalidRequest) as caught:
        read_entry(entry)
    assert why_not(caught.value) == reason


@given(st.binary(max_size=50) | values.map(lambda value: json.dumps(value).encode()))
@example(b'{"spider": "\xed\xa0\x80"}')
def test_any_bytes(entry: bytes) -> None:
    """Whatever is pushed is an entry or a refusal with a reason."""
    try:
        read = read_entry(entry)
    except InvalidRequest as error:
        assert why_not(error)
    else:
        assert read.order.spider


def test_an_entry_gets_an_id_whatever_is_around_it() -> None:
    """Space, a byte order mark and an id that is null do not matter; the text does not grow otherwise."""
    for entry in (b' \n{"spider": "a"} ', b'\xef\xbb\xbf{"spider": "a"}', b'{"spider": "a", "id": null}'):
        assert read_entry(with_id(entry, "x")) == InboxEntry("x", Order(spider="a"))
    assert json.loads(with_id(b"{}", "x")) == {"id": "x"}
    assert with_id(b'{"spider": "a", "id": "x"}', "x") == b'{"spider": "a", "id": "x"}'
    long = f'{{"spider": "a", "args": {{"n": "{"ü" * 1000}"}}}}'.encode()
    assert len(with_id(long, "x")) == len(long) + len('"id": "x", ')


@given(ids, st.dictionaries(st.sampled_from(["args", "priority", "id", "x"]), values))
def test_an_entry_gets_an_id(entry_id: str, fields: dict[str, Any]) -> None:
    """It has this id afterwards, and everything else stays."""
    before = {"spider": "prices", **fields}
    after = json.loads(with_id(json.dumps(before).encode(), entry_id))
    assert after == {**before, "id": entry_id}
