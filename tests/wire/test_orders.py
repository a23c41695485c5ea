"""What an order for a run may say: everything wrong with it is named at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.errors import InvalidRequest
from reactorhub.model.isolation import Isolate, Isolation
from reactorhub.model.run import RunSpec
from reactorhub.wire.orders import Order, read_form, read_moment, read_order, rerun_of
from tests.support.hubs import START


def mistakes(data: dict[str, Any]) -> dict[str, str]:
    """What is wrong with an order."""
    with pytest.raises(InvalidRequest) as caught:
        read_order(data)
    return caught.value.fields


def test_a_whole_order() -> None:
    """Every field of an order reaches the spec of its run."""
    order = read_order(
        {
            "spider": "prices",
            "project": "shop",
            "args": {"category": "laptops", "page": "3"},
            "settings": {"DOWNLOAD_DELAY": 0.5, "RETRY_HTTP_CODES": [500, 503]},
            "queue": "heavy",
            "priority": -7,
            "timeout": "1h30m",
            "not_before": "2026-11-21T13:00:00+01:00",
            "tags": ["a", "b", "a"],
            "isolate": "process",
            "memory_limit": "1GiB",
        }
    )
    isolation = Isolation(isolate=Isolate.PROCESS, memory_limit=512 << 20)
    assert order.spec("shop", isolation) == RunSpec(
        spider="prices",
        project="shop",
        args={"category": "laptops", "page": "3"},
        settings={"DOWNLOAD_DELAY": 0.5, "RETRY_HTTP_CODES": [500, 503]},
        queue="heavy",
        priority=-7,
        timeout=5400.0,
        not_before=START,
        tags=("a", "b"),
        isolate=Isolate.PROCESS,
        memory_limit=512 << 20,
    )


def test_what_is_null_is_as_good_as_absent() -> None:
    """A field that is null has its default."""
    nothing = dict.fromkeys(["project", "args", "settings", "queue", "priority", "timeout", "tags"])
    assert read_order({"spider": "prices", **nothing}) == Order(spider="prices")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spider", 7),
        ("isolate", "thread"),
        ("isolate", True),
        ("isolate", ["process"]),
        ("memory_limit", "lots"),
        ("memory_limit", "1MiB"),
        ("memory_limit", 512),
        ("memory_limit", 1e9),
        ("memory_limit", True),
        ("spider", ""),
        ("spider", None),
        ("spider", "x" * 201),
        ("project", ["shop"]),
        ("queue", {}),
        ("args", "category=laptops"),
        ("args", ["category"]),
        ("args", {"page": 3}),
        ("args", {"page": None}),
        ("args", {"page": ["3"]}),
        ("args", {"": "x"}),
        ("args", {"name": "other"}),
        ("args", {"crawler": "x"}),
        ("args", {"settings": "x"}),
        ("args", {"_job": "x"}),
        ("args", {"x": "x" * 8193}),
        ("args", {"x": "of {run.idd}"}),
        ("args", {"x": "{tick.}"}),
        ("args", {"x": "{upstream.run_id}"}),
        ("args", {f"arg{n}": "x" for n in range(101)}),
        ("settings", "DOWNLOAD_DELAY=1"),
        ("settings", {"ITEM_PIPELINES": {"os.system": 1}}),
        ("settings", {"FEEDS": {}}),
        ("settings", {"LOG_FILE": "/etc/passwd"}),
        ("settings", {"download_delay": 1}),
        ("settings", {"DOWNLOAD_DELAY": {"a": 1}}),
        ("settings", {"RETRY_HTTP_CODES": [[[500]]]}),
        ("priority", "7"),
        ("priority", 1.0),
        ("priority", True),
        ("priority", 1_000_001),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", True),
        ("timeout", "90"),
        ("timeout", "soon"),
        ("timeout", [1]),
        ("timeout", float("inf")),
        ("timeout", float("nan")),
        ("not_before", "tomorrow"),
        ("not_before", "2026-11-21T12:00:00"),
        ("not_before", 1_800_000_000),
        ("not_before", "9999-01-01T00:00:00Z"),
        ("tags", "daily"),
        ("tags", [1]),
        ("tags", [""]),
        ("tags", ["x"] * 51),
        ("sipder", "prices"),
        ("jobid", "1"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    """What is wrong or unknown is named, with a sentence, and nothing else is."""
    found = mistakes({"spider": "prices", field: value})
    assert found.keys() == {field}
    assert len(found[field]) > 10


def test_all_mistakes_come_together() -> None:
    """One answer names every field that is wrong."""
    assert mistakes({"priority": "high", "args": [], "x": 1}).keys() == {"spider", "priority", "args", "x"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)
fields = st.sampled_from(
    ["spider", "project", "args", "settings", "queue", "priority", "timeout", "not_before", "tags", "x"]
)


@given(st.dictionaries(fields, json_values))
def test_any_json_is_an_order_or_refused(data: dict[str, Any]) -> None:
    """Whatever JSON comes, it is either taken as it was meant, or refused field by field."""
    try:
        order = read_order(data)
    except InvalidRequest as refused:
        assert refused.fields.keys() <= data.keys() | {"spider"}
    else:
        assert order.spider == data["spider"] and order.args == (data.get("args") or {})


def test_a_form_is_an_order() -> None:
    """Form fields with dots give single arguments and settings; tags may come several times."""
    order = read_form(
        {
            "spider": ["prices"],
            "args.category": ["laptops"],
            "args.a.b": ["1"],
            "settings.DOWNLOAD_DELAY": ["2"],
            "priority": ["-3"],
            "timeout": ["90s"],
            "not_before": ["2026-11-21T13:00:00 01:00"],
            "tags": ["a", "b"],
        }
    )
    assert (order.args, order.settings) == ({"category": "laptops", "a.b": "1"}, {"DOWNLOAD_DELAY": "2"})
    assert (order.priority, order.timeout, order.tags) == (-3, 90.0, ("a", "b"))
    assert order.not_before == START  # a plus sign that was not encoded arrives as a space


def test_mistakes_in_a_form_come_together() -> None:
    """A form is refused for what is wrong in it as a form and as an order, all at once."""
    form = {"spider": ["a", "b"], "args": ["x=1"], "priority": ["high"], "args.": ["x"]}
    with pytest.raises(InvalidRequest) as caught:
        read_form(form)
    assert caught.value.fields.keys() == {"spider", "args", "priority", "args."}
    assert caught.value.fields["spider"] == "is given more than once"


def test_a_form_that_is_wrong_only_as_a_form() -> None:
    """An order that would do is still refused where a field was given twice."""
    with pytest.raises(InvalidRequest) as caught:
        read_form({"spider": ["prices"], "queue": ["a", "b"]})
    assert caught.value.fields.keys() == {"queue"}


def test_a_rerun_has_the_inputs_and_not_the_circumstances() -> None:
    """A rerun is a first attempt of its own: same inputs, no tick, no batch, no waiting."""
    inputs: dict[str, Any] = {"args": {"a": "1"}, "queue": "heavy", "tags": ("x",), "schedule": "hourly"}
    spec = RunSpec(
        spider="prices",
        project="shop",
        nominal_time=START,
        not_before=START,
        attempt=3,
        retry_of="0190",
        batch="b",
        **inputs,
    )
    assert rerun_of(spec) == RunSpec(spider="prices", project="shop", **inputs)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T12:00:00Z", START),
        ("2026-11-21T12:00:00+00:00", START),
        ("2026-11-21 17:45:00+05:45", START),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    """An RFC 3339 time of any offset is read as UTC."""
    assert read_moment(text) == moment and read_moment(text).tzinfo is UTC
