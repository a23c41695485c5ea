"""What is expected of a crawl: which metrics there are, and what is said of one that falls short."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.policies.expectations import (
    FIELD_COUNT,
    MAX_NAME,
    counted_fields,
    parse,
    parse_field,
    read,
    unmet,
)
from tests.support.hubs import START


def ended(
    items: Any = 10,
    errors: int | None = 0,
    seconds: float | None = 60.0,
    fields: Mapping[str, Any] | None = None,
    **stats: Any,
) -> Run:
    """A run that has succeeded after so many seconds."""
    counts = {FIELD_COUNT + name: count for name, count in (fields or {}).items()}
    return Run(
        id="run1",
        spec=RunSpec(spider="prices", project="shop", schedule="hourly"),
        created_at=START,
        state=RunState.SUCCEEDED,
        started_at=None if seconds is None else START,
        finished_at=START + timedelta(seconds=seconds or 0),
        finish_reason="finished",
        errors=errors,
        stats={**({} if items is None else {"item_scraped_count": items}), **counts, **stats},
    )


def said(expect: Mapping[str, Any], run: Run, *history: Run) -> list[str]:
    """What is said of a run that is held to this."""
    return unmet(read(expect), run, history)


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ({"items": ">= 37"}, None),
        ({"items": ">= 100"}, "items is 37, expected >= 100"),
        ({"items": 37}, None),
        ({"items": 38}, "items is 37, expected == 38"),
        ({"errors": 0}, "errors is 2, expected == 0"),
        ({"errors": "<= 10%"}, "errors is 2, expected <= 10%"),
        ({"duration": "< 30m"}, "duration is 45m12.25s, expected < 30m"),
        ({"duration": "< 3000"}, None),
        ({"finish_reason": "finished"}, None),
        ({"finish_reason": "closespider_timeout"}, "finish_reason is finished, expected closespider_timeout"),
        ({"finish_reason": ["finished", "closespider_timeout"]}, None),
        ({"finish_reason": ["a", "b"]}, "finish_reason is finished, expected a or b"),
        ({"retry/count": "< 3"}, "retry/count is 3, expected < 3"),
        ({"retry/max_reached": "== 0"}, None),
        ({"share": ">= 0.5"}, "share is 0.25, expected >= 0.5"),
        ({"ready": 1}, None),
        ({"version": "== 2"}, "version is 'v2', which is not a number"),
        ({"odd": "== 2"}, "odd is '<Odd that cannot be shown: KeyError>', which is not a number"),
        ({"fields": {"price": ">= 50%"}}, None),
        ({"fields": {"price": ">= 95%"}}, "fields.price is 91.89%, expected >= 95%"),
        ({"fields": {"name": "== 100%"}}, "fields.name is 99.99%, expected == 100%"),
        ({"fields": {"a.b": "== 1"}}, "fields.a.b is unknown"),
    ],
)
def test_metrics(expect: dict[str, Any], sentence: str | None) -> None:
    """Each metric is what it says, and what falls short is told with what was and what was expected."""

    class Odd:
        def __repr__(self) -> str:
            raise KeyError

    stats = {"retry/count": 3, "share": 0.25, "ready": True, "version": "v2", "odd": Odd()}
    run = ended(37, 2, 2712.25, {"price": 34, "name": 37 - 1e-12}, **stats)
    assert said(expect, run) == ([] if sentence is None else [sentence])


def test_all_that_falls_short_is_told() -> None:
    """One sentence for each comparison that does not hold."""
    expect = {"items": "> 20 and != 10 and < 11", "errors": 0, "fields": {"price": 1}}
    assert said(expect, ended(fields={"price": 9})) == [
        "items is 10, expected > 20",
        "items is 10, expected != 10",
        "fields.price is 90%, expected == 1",
    ]


def test_the_past() -> None:
    """History is what the same metric was in earlier runs, and what that came to is told."""
    history = [ended(n, n, n * 60.0, {"price": 100 * n}) for n in (100, 110, 90)]
    for metric, sentence in {
        "items": "items is 69, expected >= 70 (0.7 * median(10))",
        "errors": "errors is 69, expected >= 70 (0.7 * median(10))",
        "duration": "duration is 1h9m, expected >= 1h10m (0.7 * median(10))",
    }.items():
        expect = {metric: ">= 0.7 * median(10)"}
        assert said(expect, ended(69, 69, 69 * 60.0), *history) == [sentence]
        assert said(expect, ended(70, 70, 70 * 60.0), *history) == []


def test_the_past_of_a_field() -> None:
    """Runs that scraped nothing, or did not count the field, tell nothing of it."""
    expect = {"fields": {"price": ">= 0.9 * mean(10)"}}
    known = [ended(10, fields={"price": n}) for n in (10, 9, 8)]
    silent = [ended(0, fields={"price": 0}), ended(None), ended(10)]
    now = ended(10, fields={"price": 8})
    assert said(expect, now, *silent, *known[:2]) == []
    assert said(expect, now, *silent, *known) == ["fields.price is 80%, expected >= 81% (0.9 * mean(10))"]


def test_no_items_no_share() -> None:
    """Of a crawl without items nothing is said about fields: that there are none is for ``items``."""
    expect = {"fields": {"price": ">= 95%"}}
    assert said(expect, ended(0, fields={"price": 0})) == said(expect, ended(None)) == []
    assert said({**expect, "items": ">= 1"}, ended(None)) == ["items is 0, expected >= 1"]


def test_a_stat_that_is_absent_is_zero() -> None:
    """Now and in the past: Scrapy writes a stat only once there is something to count."""
    history = [ended(), ended(), ended(**{"retry/count": 3})]
    assert said({"retry/count": "<= mean(3)"}, ended(), *history) == []
    assert said({"retry/count": ">= mean(3)"}, ended(), *history) == [
        "retry/count is 0, expected >= 1 (mean(3))"
    ]


def test_what_is_not_known() -> None:
    """A crawl that never started has no duration, and a run whose errors were not counted has none."""
    run = ended(errors=None, seconds=None)
    assert said({"errors": 0, "duration": "< 1m"}, run) == ["errors is unknown", "duration is unknown"]


def test_history_that_is_needed() -> None:
    """It is as much as the widest look back of any expectation, and nothing where nobody looks back."""
    looks = {"items": ">= median(10) and < 3 * max(40)", "errors": "<= last()", "fields": {"a": "> min(7)"}}
    assert [each.history for each in read(looks)] == [40, 1, 7]
    assert [each.history for each in read({"errors": 0, "finish_reason": "finished"})] == [0, 0]


def test_fields_that_are_counted() -> None:
    """A crawl counts the fields that are expected, and no others."""
    assert counted_fields({"items": 1, "fields": {"a": 1, "b.c": ">= 5%"}}) == ("a", "b.c")
    assert counted_fields({"items": 1}) == counted_fields({}) == ()


@pytest.mark.parametrize(
    ("metric", "wish", "says"),
    [
        ("item", 1, "there is no metric 'item'; did you mean 'items'?"),
        ("error", 0, "did you mean 'errors'?"),
        ("eror", 0, "did you mean 'errors'?"),
        ("ITEMS", 0, "did you mean 'items'?"),
        ("finsh_reason", "finished", "did you mean 'finish_reason'?"),
        ("field", 0, "did you mean 'fields'?"),
        ("", 0, "a name must be one line of text"),
        ("a\nb", 0, "a name must be one line of text"),
        ("a" * (MAX_NAME + 1), 0, "of up to 200 characters"),
        ("items", True, "must be a comparison; write it like"),
        ("items", None, "must be a comparison"),
        ("items", [1], "must be a comparison"),
        ("items", "finished", "does not begin with one of"),
        ("finish_reason", 3, "must be a reason to finish, or a list of them, such as finished"),
        ("finish_reason", [], "must be a reason to finish"),
        ("finish_reason", ["finished", 3], "must be a reason to finish"),
        ("finish_reason", "== finished", "must be a reason to finish"),
    ],
)
def test_mistakes(metric: str, wish: object, says: str) -> None:
    """A metric that can only be a slip, and a wish of the wrong kind, are refused with a sentence."""
    with pytest.raises(ValueError, match=re.escape(says)):
        parse(metric, wish)


@pytest.mark.parametrize(
    ("field", "wish", "says"),
    [
        ("price", ">= 95", 'a share is at most 100%; write it with a %, like ">= 95%"'),
        ("price", 2, "a share is at most 100%"),
        ("offers.", ">= 95%", "'offers.' is not a field; write name, or outer.inner"),
        ("a..b", ">= 95%", "is not a field"),
        (" ", ">= 95%", "a name must be one line of text"),
    ],
)
def test_mistakes_about_fields(field: str, wish: object, says: str) -> None:
    """A share beyond 100 % and a path with holes are refused."""
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_field(field, wish)


def test_stats_may_have_any_other_name() -> None:
    """A stat's name is what Scrapy, or the project, calls it."""
    for name in (
        "duration_ms",
        "items2",
        "error/x",
        "item_errors",
        "downloader/response_status_count/404",
        "log_count/ERROR",
        "finish_time",
        "my stat",
    ):
        assert parse(name, "== 0").metric == name


wishes = st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.text(), max_size=3)
stats = st.dictionaries(
    st.sampled_from(["item_scraped_count", "x", f"{FIELD_COUNT}x"]),
    st.integers() | st.floats() | st.text() | st.none() | st.lists(st.integers()),
)
looking_back = st.sampled_from([">= median(3)", "< 2 * last()", ">= 1 / last() and <= max(100)", "== 0", 1])


@given(st.text(), wishes)
def test_anything_is_read_or_refused(name: str, wish: object) -> None:
    """Whatever is written is an expectation or a ValueError."""
    for reader in (parse, parse_field):
        try:
            reader(name, wish)
        except ValueError as error:
            assert str(error)


@given(looking_back, stats, st.lists(stats, max_size=5), st.floats(-1e6, 1e9))
def test_judging_never_raises(wish: object, now: Any, past: list[Any], seconds: float) -> None:
    """Whatever stats a crawl leaves, it is judged, each fault in a sentence on one line."""
    expect = {"items": wish, "errors": wish, "duration": wish, "x": wish, "fields": {"x": wish}}
    if wish == 1:
        del expect["duration"]
    history = [ended(None, **stats) for stats in past]
    for sentence in said(expect, ended(None, seconds=seconds, **now), *history):
        assert re.fullmatch(r"[\w.]+ is [^\n]+", sentence)
