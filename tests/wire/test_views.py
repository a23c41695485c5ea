"""The one JSON shape of each noun: the fields of the contract, secrets hidden, any stats shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactorhub.model.isolation import Isolate
from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.model.schedule import Overlap, Schedule, Tick, TickOutcome
from reactorhub.model.values import REDACTED, json_of, redacted, stats_view, time_text
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.window import ExcludedTimes, Window
from reactorhub.wire.views import event_view, run_view, schedule_view, tick_view
from tests.support.hubs import START

WEST = timezone(timedelta(hours=-1))
SPEC = RunSpec(spider="prices", project="shop", schedule="hourly", nominal_time=START)


def names(text: str) -> set[str]:
    """The words of a text."""
    return set(text.split())


RUN_FIELDS = names(
    "id spider project schedule nominal_time state reason attempt retry_of batch queue priority args settings"
    " tags created_at not_before started_at finished_at finish_reason errors error stats links"
    " isolated pid memory_limit"
)
TICK_FIELDS = names("schedule nominal_time outcome reason run_id recorded_at")
SCHEDULE_FIELDS = names("name spider project trigger enabled paused paused_reason next last_run drift")
SECRETS = names(
    "password PASSWD db_pass passphrase API_KEY api-key apikey X-Api-Key secret AWS_SECRET_ACCESS_KEY token"
    " auth_token Authorization HTTP_AUTH private_key credentials Cookie Set-Cookie"
)
HARMLESS = names("bypass_cache author category COOKIES_ENABLED keyword monkey compass_point")


def run(**changes: Any) -> Run:
    """A run as the ledger gives it."""
    return Run(**{"id": "0190", "spec": SPEC, "created_at": START, **changes})


class Unruly:
    """A value whose text cannot be had."""

    def __repr__(self) -> str:
        raise SystemError("no")


@pytest.mark.parametrize("state", RunState)
def test_a_run_has_the_fields_of_the_contract(state: RunState) -> None:
    """A run's view has every promised field in every state; what is absent is null."""
    view = run_view(run(state=state))
    assert view.keys() >= RUN_FIELDS and view["state"] == state.value
    assert view["nominal_time"] == "2026-11-21T12:00:00.000000Z"
    assert [view[name] for name in ("reason", "batch", "started_at", "errors", "error", "retry_of")] == [
        None
    ] * 6
    assert view["links"] == {name: f"/api/runs/0190/{name}" for name in ("log", "items", "stats")}


def test_a_run_with_a_process_of_its_own() -> None:
    """An isolated run says so, and which process it has."""
    spec = replace(SPEC, isolate=Isolate.PROCESS, memory_limit=64 << 20)
    view = run_view(run(spec=spec, pid=4711))
    assert (view["isolated"], view["pid"], view["memory_limit"]) == (True, 4711, 64 << 20)
    shared = run_view(run())
    assert (shared["isolated"], shared["pid"], shared["memory_limit"]) == (False, None, None)


def test_a_live_run_shows_its_live_figures() -> None:
    """While there is a crawl, its own stats and errors stand in the view, an error count of 0 included."""
    view = run_view(run(stats={"old": 1}, errors=7), {"item_scraped_count": 3}, 0)
    assert (view["stats"], view["errors"]) == ({"item_scraped_count": 3}, 0)


def test_a_tick_has_the_fields_of_the_contract() -> None:
    """A tick's view says what became of it, why, and which run it became."""
    tick = Tick(
        schedule="hourly",
        nominal_time=START,
        outcome=TickOutcome.SKIPPED,
        reason="paused",
        run_id=None,
        recorded_at=START,
    )
    view = tick_view(tick)
    assert view.keys() >= TICK_FIELDS
    assert (view["outcome"], view["run_id"], view["recorded_at"]) == ("skipped", None, time_text(START))


def test_a_schedule_has_the_fields_of_the_contract() -> None:
    """A schedule's view holds its definition, its next times, its last run, and its drift."""
    schedule = Schedule(name="hourly", spec=SPEC, trigger=Cron.parse(("0 8 * * *",), "Europe/Berlin"))
    view = schedule_view(schedule, [START], True, "too many failures", last_run=run())
    assert view.keys() >= SCHEDULE_FIELDS
    assert view["trigger"] == {"kind": "cron", "text": "0 8 * * *", "timezone": "Europe/Berlin"}
    assert (view["next"], view["drift"]) == ([time_text(START)], {"paused": True})
    assert view["last_run"]["id"] == "0190"
    by_hand = schedule_view(Schedule(name="by_hand", spec=SPEC), ())
    assert (by_hand["trigger"], by_hand["last_run"], by_hand["drift"]) == (None, None, {})


def test_a_schedule_shows_what_narrows_it() -> None:
    """First and last moment, what is left out as the file says it, and jitter in seconds."""
    sundays = (ExcludedTimes("* * * * sun", "Europe/Berlin"),)
    bounded = Window(Cron.parse(("0 8 * * *",), "Europe/Berlin"), START, None, sundays)
    schedule = Schedule(name="daily", spec=SPEC, trigger=bounded, jitter=timedelta(minutes=1), max_catchup=7)
    keys = ("start_time", "end_time", "exclude", "jitter", "max_catchup")
    view = schedule_view(schedule, ())
    assert [view[key] for key in keys] == [time_text(START), None, ["* * * * sun"], 60.0, 7]
    assert view["trigger"] == {"kind": "cron", "text": "0 8 * * *", "timezone": "Europe/Berlin"}
    plain = schedule_view(Schedule(name="by_hand", spec=SPEC), ())
    assert [plain[key] for key in keys] == [None, None, [], 0.0, 100]


def test_a_schedule_shows_its_rules() -> None:
    """The rules about overlap, retries and failures are shown, absent ones as null."""
    spec = replace(SPEC, retry=RetryRule(on=frozenset({RunState.INTERRUPTED, RunState.FAILED})))
    ruled = Schedule(name="a", spec=spec, overlap=Overlap.ALLOW_ALL, max_instances=3, pause_on_failure=5)
    view = schedule_view(ruled, ())
    assert (view["overlap"], view["max_instances"], view["pause_on_failure"]) == ("allow_all", 3, 5)
    numbers = {"max_retries": 2, "delay": 30.0, "backoff": 2.0, "max_delay": 600.0, "jitter": 0.0}
    assert view["retry"] == {**numbers, "on": ["failed", "interrupted"]}
    plain = schedule_view(Schedule(name="a", spec=SPEC), ())
    assert [plain[key] for key in ("max_instances", "retry", "pause_on_failure")] == [1, None, None]
    assert schedule_view(replace(ruled, max_instances=None), ())["max_instances"] is None


def test_an_event_is_the_view_it_is_about_with_id_type_and_time() -> None:
    """An event carries the view under its noun."""
    event = event_view("0191", "run.queued", START, {"run": run_view(run())})
    assert (event["id"], event["type"], event["time"]) == ("0191", "run.queued", time_text(START))
    assert event["run"]["id"] == "0190"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, None),
        (START, "2026-11-21T12:00:00.000000Z"),
        (START.astimezone(timezone(timedelta(hours=5, minutes=45))), "2026-11-21T12:00:00.000000Z"),
        (START.replace(microsecond=1), "2026-11-21T12:00:00.000001Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(moment: datetime | None, text: str | None) -> None:
    """A moment of any zone is shown in UTC, always with microseconds; none is null."""
    assert time_text(moment) == text


@pytest.mark.parametrize("key", sorted(SECRETS))
def test_secrets_are_hidden(key: str) -> None:
    """A value is hidden where its key names a secret."""
    assert redacted({key: "s3cr3t", "n": 1}) == {key: REDACTED, "n": 1}


@pytest.mark.parametrize("key", sorted(HARMLESS))
def test_what_is_no_secret_stays(key: str) -> None:
    """Keys that only look a little like a secret's are shown."""
    assert redacted({key: "laptops"}) == {key: "laptops"}


nested = st.recursive(
    st.integers() | st.just("s3cr3t"),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b"]) | st.integers(), inner),
)


@given(nested, st.sampled_from(["dict", "list", "tuple"]), st.integers(1, 6))
def test_secrets_are_hidden_at_any_depth(secret: Any, kind: str, depth: int) -> None:
    """However deep a secret lies, in mappings and lists, nothing of it is shown."""
    value: Any = {"password": ["find me", secret]}
    for _ in range(depth):
        value = {"dict": {1: value}, "list": [value], "tuple": (1, value)}[kind]
    shown = json.dumps(redacted({"HEADERS": value}))
    assert REDACTED in shown and "find me" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (START.replace(tzinfo=None), "2026-11-21T12:00:00.000000Z"),
        (START, "2026-11-21T12:00:00.000000Z"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1.5, 1.5),
        (True, True),
        ({"b", "a"}, ["a", "b"]),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: {None: b"x"}}, {"1": {"None": "b'x'"}}),
        (Decimal("1.10"), "Decimal('1.10')"),
        (date(2026, 11, 21), "datetime.date(2026, 11, 21)"),
        ("x" * 5000, "x" * 5000),
        (b"x" * 5000, "b'" + "x" * 998),
    ],
)
def test_stats_of_every_kind(value: Any, shown: Any) -> None:
    """What JSON has stays as it is; the rest is shown as text that says what it was."""
    assert stats_view({"stat": value}) == {"stat": shown}


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: 10**5000, "int that cannot be shown: ValueError"),
        (Unruly, "Unruly that cannot be shown: SystemError"),
        (lambda: datetime.max.replace(tzinfo=WEST), "datetime that cannot be shown: OverflowError"),
    ],
)
def test_stats_that_cannot_be_shown(make: Callable[[], Any], shown: str) -> None:
    """A value or a key whose text cannot be had is named in its place, and harms nothing beside it."""
    view = stats_view({"stat": make(), "sound": 1, make(): 2})
    assert (view["stat"], view["sound"]) == (f"<{shown}>", 1)
    assert list(view)[2] == f"<{shown}>" or isinstance(make(), datetime)


def test_stats_without_end_are_named() -> None:
    """A stat that holds itself, or is nested without reason, is named in its place."""
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    deep = json.loads("[" * 20 + "]" * 20)
    view = stats_view({"endless": endless, "deep": deep, "deeper": [deep]})
    assert view["endless"] == "<dict that is nested too deeply>"
    assert (view["deep"], view["deeper"]) == (deep, "<list that is nested too deeply>")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.complex_numbers()
    | st.builds(Unruly),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.dictionaries(st.integers() | st.text() | st.none() | st.tuples(st.integers()), inner)
        | st.frozensets(st.integers() | st.text())
    ),
)


@settings(max_examples=50)
@given(st.dictionaries(st.text() | st.integers(), anything, max_size=5))
def test_any_stats_make_a_view_that_is_json(stats: Mapping[str, Any]) -> None:
    """Whatever a spider puts into its stats, the view of its run is strict JSON that can be sent as UTF-8."""
    text = json.dumps(run_view(run(stats=stats)), allow_nan=False)
    assert json.loads(text)["id"] == "0190"


def test_numbers_that_json_lacks_are_text_in_any_answer() -> None:
    """Whatever a view holds, its JSON is strict."""
    view = {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": float("-inf")}}
    assert json.loads(json_of(view), parse_constant=pytest.fail) == {
        "a": "nan",
        "b": ["inf", 1.5],
        "c": {"d": "-inf"},
    }
    assert json_of({"a": 0.5, "b": "é"}, ensure_ascii=False) == '{"a": 0.5, "b": "é"}'
