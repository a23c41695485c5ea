"""What clients send: JSON that says it is a form, forms, and bodies that are neither."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.errors import InvalidRequest, UnreadableBody
from reactorhub.web.requests import form_of, json_object
from tests.support.web_client import Web

ORDER = {"spider": "prices", "args": {"category": "laptops"}}


def test_json_is_taken_whatever_type_it_claims() -> None:
    """``curl -d '{…}'`` says that it sends a form; what it means is JSON."""
    web = Web()
    for kind in ("application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded"):
        reply = web.ask("POST", "/api/runs", b" \n" + json.dumps(ORDER).encode(), {"Content-Type": kind})
        assert (reply.status, reply.json["args"]) == (201, {"category": "laptops"})
    assert web.ask("POST", "/api/runs", json.dumps(ORDER).encode()).status == 201


def test_a_form_is_taken_with_or_without_a_type() -> None:
    """``curl -d spider=prices`` starts a run, and so does a body without a type."""
    web = Web()
    reply = web.form(
        "/api/runs", ("spider", "prices"), ("args.name of", "a & b"), ("tags", "x"), ("tags", "y")
    )
    assert reply.status == 201
    assert (reply.json["args"], reply.json["tags"]) == ({"name of": "a & b"}, ["x", "y"])
    assert web.ask("POST", "/api/runs", b"spider=prices").status == 201


@pytest.mark.parametrize(
    "body",
    [
        b'{"spider": "prices"',
        b'{"spider": prices}',
        b'{"spider": NaN}',
        b'{"spider": Infinity}',
        b'{"spider": "prices", "settings": {"DOWNLOAD_DELAY": 1e999}}',
        b'{"spider": "prices", "settings": {"DOWNLOAD_DELAY": -1e999}}',
        b'{"spider": "\xff"}',
        b"{'spider': 'prices'}",
        b'{"priority": ' + b"9" * 5000 + b"}",
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b"spider=\xff",
        b"spider",
        b"&".join(b"a=%d" % n for n in range(501)),
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_request(body: bytes) -> None:
    """A body that is neither JSON nor a form is refused with 400, names the body, and starts nothing."""
    web = Web()
    reply = web.raw("/api/runs", body)
    assert (reply.status, reply.fields) == (400, {"body"})
    assert web.harness.events() == []


@pytest.mark.parametrize("body", [b"[]", b'[{"spider": "prices"}]', b'"prices"', b"7", b"null"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    """JSON that can be read but is not an object is refused with 422."""
    reply = Web().ask("POST", "/api/runs", body, {"Content-Type": "application/json"})
    assert (reply.status, reply.fields) == (422, {"body"})


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", None])
def test_no_body_is_an_empty_order(kind: str | None) -> None:
    """Without a body the one thing missing is named."""
    reply = Web().ask("POST", "/api/runs", b"", {"Content-Type": kind})
    assert (reply.status, reply.fields) == (422, {"spider"})


@given(st.binary(max_size=50))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    """Reading JSON gives an object or refuses."""
    try:
        assert isinstance(json_object(body), dict)
    except InvalidRequest as refused:
        assert refused.fields.keys() == {"body"}


@given(st.dictionaries(st.text(min_size=1), st.lists(st.text(), min_size=1), max_size=5))
def test_forms_come_back_as_they_were_sent(form: dict[str, list[str]]) -> None:
    """Names and values of any characters survive the form, empty ones included."""
    from urllib.parse import urlencode

    assert form_of(urlencode(form, doseq=True).encode()) == form


def test_a_form_too_long_is_unreadable() -> None:
    """A form of more fields than any order has is refused as a whole."""
    with pytest.raises(UnreadableBody, match="body: is not a valid form"):
        form_of(b"&".join(b"a=1" for _ in range(501)))
