"""What arguments may ask for, and what each run makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.placeholders import filled_args, placeholders_in, spec_for_spider, with_upstream
from reactorhub.model.run import Run, RunSpec

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TICK = datetime(2026, 11, 21, 11, 30, tzinfo=UTC)
SPEC = RunSpec(spider="who", project="shop", schedule="daily", nominal_time=TICK, attempt=2)


def a_run(text: str = "", spec: RunSpec = SPEC) -> Run:
    """A run whose only argument is this text."""
    return Run(id="0190", spec=replace(spec, args={"a": text}), created_at=NOON)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{run.id}", "0190"),
        ("{run.attempt}", "2"),
        ("{run.created_at}", "2026-11-21T12:00:00.000000Z"),
        ("{schedule.name}", "daily"),
        ("{tick.nominal_time}", "2026-11-21T11:30:00.000000Z"),
        ("a{run.id}b{run.id}", "a0190b0190"),
        ("{{run.id}}", "{run.id}"),
        ("{{run.id}} is {run.id}", "{run.id} is 0190"),
        ('{"id":{run.id}}', '{"id":0190}'),
        ("{run} {id} {{x}} {run.id", "{run} {id} {{x}} {run.id"),
        ("{{tick.nothing}}", "{tick.nothing}"),
        ("{item.name} {0} {}", "{item.name} {0} {}"),
    ],
)
def test_a_run_fills_in_its_own_facts(text: str, expected: str) -> None:
    """Each placeholder gives its fact, doubled braces the text itself, and other text stays as it is."""
    assert filled_args(a_run(text)) == {"a": expected}


def test_a_run_without_a_tick() -> None:
    """Its time is that at which it was made, and the name of its schedule is empty."""
    run = a_run("{tick.nominal_time}/{schedule.name}", RunSpec(spider="who", project="shop"))
    assert filled_args(run) == {"a": "2026-11-21T12:00:00.000000Z/"}
    settings = spec_for_spider(run).settings
    assert settings["REACTORHUB_NOMINAL_TIME"] == "2026-11-21T12:00:00.000000Z"
    assert settings["REACTORHUB_SCHEDULE"] == ""


def test_a_retry_keeps_the_tick_and_has_its_own_id() -> None:
    """The spec keeps its placeholders, so the next attempt fills in its own facts."""
    first = a_run("{run.id} {run.attempt} {tick.nominal_time}")
    again = replace(first, id="0191", spec=replace(first.spec, attempt=3))
    assert filled_args(first) == {"a": "0190 2 2026-11-21T11:30:00.000000Z"}
    assert filled_args(again) == {"a": "0191 3 2026-11-21T11:30:00.000000Z"}


def test_a_spider_is_told_its_run_by_settings() -> None:
    """They stand above those that were ordered, whose others are kept."""
    spec = replace(SPEC, settings={"DEPTH_LIMIT": 3, "REACTORHUB_RUN_ID": "mine"})
    assert spec_for_spider(a_run(spec=spec)).settings == {
        "DEPTH_LIMIT": 3,
        "REACTORHUB_RUN_ID": "0190",
        "REACTORHUB_SCHEDULE": "daily",
        "REACTORHUB_NOMINAL_TIME": "2026-11-21T11:30:00.000000Z",
        "REACTORHUB_CREATED_AT": "2026-11-21T12:00:00.000000Z",
        "REACTORHUB_ATTEMPT": 2,
    }


@given(st.text(alphabet="{}x. run.id", max_size=12))
def test_text_without_a_placeholder_arrives_as_it_is(text: str) -> None:
    """Whatever braces a text has, only placeholders change it."""
    filled = filled_args(a_run(text))["a"]
    assert filled == text or "{run." in text


def test_facts_about_the_upstream_come_first() -> None:
    """They are filled in alone; what is doubled waits until the run fills in its own facts."""
    args = {"a": "{upstream.state} {{upstream.state}} {run.id} {upstream.nothing}"}
    halfway = with_upstream(args, {"state": "failed"})
    assert halfway == {"a": "failed {{upstream.state}} {run.id} {upstream.nothing}"}
    assert filled_args(a_run(halfway["a"])) == {"a": "failed {upstream.state} 0190 {upstream.nothing}"}


def test_placeholders_are_found() -> None:
    """Every one is found in every argument, known or not, but not where braces are doubled."""
    args = {"a": "{run.idd} {run.id} {{run.no}} {tick.}", "b": "{upstream.state}", "c": "{x.y}"}
    assert list(placeholders_in(args)) == [
        ("a", "run", "idd"),
        ("a", "run", "id"),
        ("a", "tick", ""),
        ("b", "upstream", "state"),
    ]
