"""What an entry of a feed asks for: tables of good and bad entries, and any bytes at all."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.spiderkit.feed.entries import BadEntry, EntryRequest, request_of, stream_data, text_of

URL = "http://shop.example/a?x=1#top"


def entry(**fields: Any) -> str:
    """The JSON of an entry for a page of the shop."""
    return json.dumps({"url": URL, **fields})


GOOD: list[tuple[str, bool, dict[str, Any]]] = [
    (URL, False, {}),
    ("HTTPS://shop.example", False, {"url": "HTTPS://shop.example"}),
    (entry(), False, {}),
    (entry(url=f" {URL}\n"), False, {}),
    (entry(method="post"), False, {"method": "POST"}),
    (entry(method=""), False, {}),
    (entry(method=None, meta=None), False, {}),
    (entry(meta={"job": [1]}), False, {"meta": {"job": [1]}}),
    (
        entry(q="a b", n=3, f=1.5, yes=True),
        False,
        {"form": (("q", "a b"), ("n", "3"), ("f", "1.5"), ("yes", "true"))},
    ),
    (entry(tag=["x", 2]), False, {"form": (("tag", "x"), ("tag", "2"))}),
    (entry(none=[]), False, {}),
    (entry(cookies={"a": "1", "b": 2}), False, {"cookies": {"a": "1", "b": "2"}}),
    (entry(cookies="raw"), False, {"form": (("cookies", "raw"),)}),
    (entry(headers={"X-A": "1", "X-B": ["1", 2]}), False, {"headers": {"X-A": ["1"], "X-B": ["1", "2"]}}),
    (entry(headers=["x"]), False, {"form": (("headers", "x"),)}),
    (entry(formdata={"a": 1}, b=2), False, {"form": (("b", "2"), ("a", "1"))}),
    (entry(formdata="x"), False, {"form": (("formdata", "x"),)}),
    (entry(task_id="t1"), False, {"meta": {"task_id": "t1"}}),
    (entry(task_id=7, meta={"a": 1}), False, {"meta": {"a": 1, "task_id": "7"}}),
    (entry(callback="parse", priority=5), False, {"form": (("callback", "parse"), ("priority", "5"))}),
    (entry(body="x", dont_filter=False), False, {"form": (("body", "x"), ("dont_filter", "false"))}),
    (
        entry(body="x", priority=-5, dont_filter=False),
        True,
        {"body": "x", "priority": -5, "dont_filter": False},
    ),
    (entry(callback="one", errback="two"), True, {"callback": "one", "errback": "two"}),
    (entry(cb_kwargs={"a": [1]}, other="f"), True, {"cb_kwargs": {"a": [1]}, "form": (("other", "f"),)}),
    (entry(callback=None, body=None, priority=None), True, {}),
    (entry(body="x", q="1"), True, {"body": "x", "form": (("q", "1"),)}),
]

BAD: list[tuple[str, bool, str]] = [
    ("ftp://shop.example/", False, "neither a URL"),
    ("shop.example", False, "neither a URL"),
    ("http://", False, "no host"),
    ("http://shop.example:0/", False, "port 0"),
    ("http://shop.example:99999/", False, "not valid"),
    ("http://[::1/", False, "not valid"),
    ("http://a.example\nhttp://b.example", False, "line break"),
    ("3", False, "not an object"),
    ("null", False, "not an object"),
    ('["http://shop.example"]', False, "not an object"),
    ('"http://shop.example"', False, "not an object"),
    ('{"url": ', False, "not valid JSON"),
    ("[" * 100_000, False, "nested too deeply"),
    ("{}", False, "no url"),
    ('{"url": null}', False, "no url"),
    ('{"url": ""}', False, "no url"),
    ('{"url": ["http://shop.example"]}', False, "url must be text"),
    ('{"url": "shop.example"}', False, "http://"),
    ('{"url": "http://shop.example/\\ud800"}', False, "not valid"),
    (entry(method=3), False, "method must be text"),
    (entry(method="GET it"), False, "HTTP method"),
    (entry(meta=[1]), False, "meta must be an object"),
    (entry(q={"a": 1}), False, "form field 'q'"),
    (entry(q=None), False, "form field 'q'"),
    (entry(q=[["x"]]), False, "form field 'q'"),
    (entry(formdata={"q": None}), False, "form field 'q'"),
    (entry(headers={"X": None}), False, "header 'X'"),
    (entry(cookies={"c": []}), False, "cookie 'c'"),
    (entry(task_id=""), False, "task_id"),
    (entry(task_id="x" * 201), False, "task_id"),
    (entry(task_id=1.5), False, "task_id"),
    (entry(task_id="\ud800"), False, "task_id"),
    (entry(priority="5"), True, "priority must be a whole number"),
    (entry(priority=True), True, "priority must be a whole number"),
    (entry(dont_filter=1), True, "dont_filter must be true or false"),
    (entry(cb_kwargs=[]), True, "cb_kwargs must be an object"),
    (entry(callback=3), True, "callback must be text"),
    (entry(body={"a": 1}), True, "body must be text"),
    (entry(body="x", q="1", method="POST"), True, "a body and fields of a form (q)"),
]


@pytest.mark.parametrize(("text", "full", "expected"), GOOD)
def test_entry_gives_a_request(text: str, full: bool, expected: dict[str, Any]) -> None:
    """Each form of an entry gives the request that producers of scrapy-redis expect."""
    assert request_of(text, full=full) == EntryRequest(**{"url": URL, **expected})


@pytest.mark.parametrize(("text", "full", "reason"), BAD)
def test_bad_entry_says_why(text: str, full: bool, reason: str) -> None:
    """An entry without a request gives a reason that names what to repair."""
    with pytest.raises(BadEntry) as caught:
        request_of(text, full=full)
    assert reason in str(caught.value)


@pytest.mark.parametrize("data", [b" \n http://a.example \r\n", " http://a.example\n"])
def test_spaces_at_the_ends_are_stripped(data: bytes | str) -> None:
    """Programs that push a line with its end push that URL."""
    assert text_of(data, "utf-8") == "http://a.example"


@pytest.mark.parametrize(
    ("data", "encoding", "reason"),
    [(b"\xff", "utf-8", "cannot be decoded as utf-8"), (b" \n", "utf-8", "empty")],
)
def test_data_without_text(data: bytes, encoding: str, reason: str) -> None:
    """What is empty or cannot be decoded is bad."""
    with pytest.raises(BadEntry, match=reason):
        text_of(data, encoding)


@given(st.binary() | st.text(alphabet='{}[]":,urlmethodhttp/.0 \\').map(str.encode), st.booleans())
def test_any_bytes_give_a_request_or_a_reason(data: bytes, full: bool) -> None:
    """No data raises anything else than BadEntry."""
    try:
        assert request_of(text_of(data, "utf-8"), full=full).url
    except BadEntry as error:
        assert str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "url",
        "method",
        "meta",
        "headers",
        "cookies",
        "formdata",
        "body",
        "cb_kwargs",
        "priority",
        "task_id",
        "q",
    ]
)


@given(st.dictionaries(NAMES, VALUES), st.booleans())
def test_any_object_gives_a_request_or_a_reason(fields: dict[str, Any], full: bool) -> None:
    """No JSON object raises anything else than BadEntry."""
    try:
        request = request_of(json.dumps({"url": URL, **fields}), full=full)
        assert request.method == request.method.upper()
    except BadEntry as error:
        assert str(error)


@given(st.lists(st.tuples(st.text("abc &=#?ü", min_size=1), st.text("abc &=#?ü")), min_size=1))
def test_form_of_a_get_is_added_to_its_query(pairs: list[tuple[str, str]]) -> None:
    """The URL's own query and fragment stay."""
    url = urlsplit(EntryRequest(url=URL, form=tuple(pairs)).url_with_form)
    assert parse_qsl(url.query, keep_blank_values=True) == [("x", "1"), *pairs]
    assert url.fragment == "top"


def test_form_of_a_post_leaves_the_url_alone() -> None:
    """It is the body."""
    assert EntryRequest(url=URL, method="POST", form=(("a", "b"),)).url_with_form == URL


STREAM = [
    ([b"url", URL.encode()], URL),
    ([b"d", entry(priority=1).encode()], entry(priority=1)),
    (
        [
            b"url",
            b"http://a.example",
            b"priority",
            b"-3",
            b"dont_filter",
            b"false",
            b"headers",
            b'{"X": "1"}',
        ],
        json.dumps({"url": "http://a.example", "priority": -3, "dont_filter": False, "headers": {"X": "1"}}),
    ),
    (
        [b"url", b"http://a.example", b"priority", b"high", b"meta", b"{broken", b"q", b"1"],
        json.dumps({"url": "http://a.example", "priority": "high", "meta": "{broken", "q": "1"}),
    ),
    ([b"url", b"\xff", b"q", b"1"], b"url \xff q 1"),
]


@pytest.mark.parametrize(("fields", "expected"), STREAM)
def test_fields_of_a_stream_are_one_entry(fields: list[bytes], expected: str | bytes) -> None:
    """A stream's entry is JSON in one field, or has a field for each key."""
    assert stream_data(fields) == (expected.encode() if isinstance(expected, str) else expected)
