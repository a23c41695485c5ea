"""A schedule: its keys and their mistakes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reactorhub.model.run import RETRIABLE, RetryRule, RunSpec, RunState
from reactorhub.model.schedule import Catchup, Overlap, Schedule
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval, Once
from tests.config.config_cases import (
    FIELDS,
    FULL,
    LEAVES_ONE,
    LONGER,
    NAME,
    SPAN,
    TIME,
    in_schedule,
    mistakes,
    only,
    read,
)


def test_schedule_keys() -> None:
    """Each key of a schedule arrives: own keys over defaults, args as written, settings by their type."""
    assert read(FULL).schedules["prices"] == Schedule(
        name="prices",
        trigger=Cron(("*/15 8-20 * * mon-fri",), "America/New_York"),
        overlap=Overlap.BUFFER_ONE,
        catchup=Catchup.ALL,
        catchup_window=timedelta(days=1),
        enabled=False,
        run_on_start=True,
        spec=RunSpec(
            spider="prices",
            project="shop",
            schedule="prices",
            args={
                "category": "laptops",
                "page": "1.50",
                "sort": "on",
                "none": "null",
                "day": "2026-01-01",
                "empty": "",
            },
            settings={
                "DOWNLOAD_DELAY": 0.5,
                "TELNETCONSOLE_ENABLED": False,
                "ITEM_PIPELINES": {"a.B": 300, "a.C": None},
                "CODES": [500, "x"],
            },
            queue="heavy",
            priority=-5,
            timeout=90.0,
            stop_grace=0.5,
            tags=("daily", "1"),
        ),
    )


def test_triggers() -> None:
    """Interval, one-shot and by hand; a second name for catchup_window; defaults where nothing is said."""
    schedules = read(FULL).schedules
    assert schedules["sitemap"].trigger == Interval(
        timedelta(hours=6), datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    )
    assert schedules["launch"].trigger == Once(datetime(2026, 12, 1, 7, tzinfo=UTC))
    assert schedules["launch"].catchup_window == timedelta(minutes=5)
    assert schedules["launch"].spec.project == "blog"
    assert schedules["by_hand"] == Schedule(
        name="by_hand",
        spec=RunSpec(
            spider="prices",
            project="shop",
            schedule="by_hand",
            timeout=7200.0,
            args={"category": "laptops", "page": "007"},
            settings={"DOWNLOAD_DELAY": 0.5},
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", RetryRule(max_retries=2, delay=30, backoff=2, max_delay=600, jitter=0, on=RETRIABLE)),
        (
            "{max_retries: 5, delay: 1m, backoff: 1.5, max_delay: 1h, jitter: 10s, on: [failed, timed_out]}",
            RetryRule(
                max_retries=5,
                delay=60,
                backoff=1.5,
                max_delay=3600,
                jitter=10,
                on=frozenset({RunState.FAILED, RunState.TIMED_OUT}),
            ),
        ),
        ("{max_retries: 0}", RetryRule(max_retries=0)),
        ("{delay: 1h}", RetryRule(delay=3600, max_delay=3600)),
        ("{backoff: 1, on: interrupted}", RetryRule(backoff=1, on=frozenset({RunState.INTERRUPTED}))),
    ],
)
def test_retry(text: str, expected: RetryRule) -> None:
    """Each key of a retry rule arrives, the others have their defaults; its runs carry the rule."""
    assert only(f"retry: {text}").spec.retry == expected


def test_what_becomes_of_ticks_and_failures() -> None:
    """How many runs at once, and how many failures; by default the policy says, and none is too many."""
    schedule = only("overlap: buffer_all, max_instances: 3, pause_on_failure: 5")
    assert (schedule.overlap, schedule.max_instances) == (Overlap.BUFFER_ALL, 3)
    assert schedule.pause_on_failure == 5
    plain = only("overlap: cancel_other, max_instances: 1")
    assert (plain.max_instances, plain.pause_on_failure) == (1, None)


ONE = "keep one of interval, cron, at and after"
PRIORITY = "must be a whole number from -1000000 to 1000000"
TWO_NAMES = "is another name for catchup_window; keep one of the two"
NO_SPIDER = "schedules.a: there is no spider; write spider: NAME"
NO_DEFAULT = "cannot be a default; write it into each schedule"
POLICIES = "skip, buffer_one, buffer_all, cancel_other, allow_all"
BACKOFF = "must be a number from 1 to 100"
ENDS = "failed, timed_out, interrupted"
TRAP = "in quotes, or write true, false or a decimal number"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spidr: x", "spidr: unknown key 'spidr'; did you mean 'spider'?"),
        ("project: shop", "project: there is no project 'shop' under hub.projects"),
        ("queue: defalt", "queue: there is no queue 'defalt' under hub.queues; did you mean 'default'?"),
        ("interval: 5m\n    at: 2026-01-01T00:00Z", f"at: 'at' cannot be combined with 'interval'; {ONE}"),
        ("interval: 0.5s", "interval: an interval cannot be shorter than 1s; write a longer one"),
        ("interval: 00:30", f"interval: '00:30' {SPAN}"),
        ("anchor: 2026-01-01T00:00Z", "anchor: 'anchor' is only allowed with interval; remove it"),
        ("cron: []", "cron: the list is empty; write at least one, or remove the key"),
        ("cron: 5", "cron: must be text; put '5' in quotes"),
        ("cron: {a: 1}", "cron: must be a list"),
        ("cron: ['* * * * *', [x]]", "cron[1]: must be one value, not a list"),
        ("cron: '* * *'", f"cron: '* * *' has 3 fields; {FIELDS}"),
        ("at: tomorrow", f"at: 'tomorrow' {TIME}"),
        ("at: 2026-02-30T00:00:00Z", f"at: '2026-02-30T00:00:00Z' {TIME}"),
        ("at: 0001-01-01T00:00:00+23:00", f"at: '0001-01-01T00:00:00+23:00' {TIME}"),
        ("at: 2026-12-01", f"at: '2026-12-01' {TIME}"),
        ("args: {x: [1]}", "args.x: must be one value, not a list"),
        ("args: {x: }", 'args.x: is empty; write "" for an empty text, or remove the key'),
        ("args: {crawler: 1}", "args.crawler: 'crawler' is reserved; give this argument another name"),
        ("args: {_x: 1}", "args._x: '_x' is reserved; give this argument another name"),
        ("args: [x]", "args: must be a mapping of keys to values"),
        ("settings: {X: on}", f"settings.X: put 'on' {TRAP}"),
        ("settings: {X: [1, {y: 010}]}", f"settings.X[1].y: put '010' {TRAP}"),
        ("priority: high", f"priority: {PRIORITY}, without quotes, not 'high'"),
        ("overlap: skp", f"overlap: must be one of {POLICIES}; did you mean 'skip'?"),
        ("max_instances: 0", "max_instances: must be a whole number from 1 to 10000, not '0'"),
        ("overlap: cancel_other\n    max_instances: 2", f"overlap: {LEAVES_ONE}"),
        ("pause_on_failure: 0", "pause_on_failure: must be a whole number from 1 to 1000, not '0'"),
        ("retry: 3", "retry: must be a mapping of keys to values"),
        ("retry: {max_retrys: 3}", "retry.max_retrys: unknown key 'max_retrys'; did you mean 'max_retries'?"),
        ("retry: {max_retries: -1}", "retry.max_retries: must be a whole number from 0 to 100, not '-1'"),
        ("retry: {backoff: 0.5}", "retry.backoff: must be a number from 1 to 100, not '0.5'"),
        ("retry: {backoff: '2'}", f"retry.backoff: {BACKOFF}, without quotes, not '2'"),
        ("retry: {delay: 30}", "retry.delay: write a unit after '30': s, m, h or d, such as 90s or 15m"),
        ("retry: {delay: 2m, max_delay: 1m}", f"retry.delay: {LONGER}"),
        ("retry: {on: [failed, canceled]}", f"retry.on[1]: must be one of {ENDS}"),
        ("retry: {on: timeout}", f"retry.on: must be one of {ENDS}; did you mean 'timed_out'?"),
        ("retry: {on: []}", "retry.on: the list is empty; write at least one, or remove the key"),
        ("catchup: yes", "catchup: must be one of skip, latest, all"),
        ("enabled: on", "enabled: write true or false instead of 'on', without quotes"),
        ("enabled: 'true'", "enabled: write true or false instead of 'true', without quotes"),
        ("tags: daily", "tags: must be a list"),
        ("tags: [a, 1]", "tags[1]: must be text; put '1' in quotes"),
        ("timeout: 1e9d", f"timeout: '1e9d' {SPAN}"),
        ("timeout: 999999999d", "timeout: must be more than 0s and at most 36500d, not '999999999d'"),
        ("catchup_window: 1h\n    misfire_grace_time: 1h", f"misfire_grace_time: {TWO_NAMES}"),
    ],
)
def test_mistakes_in_a_schedule(text: str, expected: str) -> None:
    """Each wrong key or value of a schedule is one sentence that says what to write."""
    assert in_schedule(text) == [f"schedules.a.{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", ["1:1: must be a mapping of keys to values"]),
        ("[a]", ["1:1: must be a mapping of keys to values"]),
        ("schedule: {}", ["1:1: schedule: unknown key 'schedule'; did you mean 'schedules'?"]),
        ("hub: [a]", ["1:1: hub: must be a mapping of keys to values"]),
        ("schedules: [a]", ["1:1: schedules: must be a mapping of keys to values"]),
        ("schedules:\n  a: x", ["2:6: schedules.a: must be a mapping of keys to values"]),
        ("schedules:\n  a:\n", [f"2:3: {NO_SPIDER}"]),
        ("schedules:\n  a/b: {spider: s}", [f"2:3: schedules.a/b: {NAME}"]),
        ("schedules:\n  .hidden: {spider: s}", [f"2:3: schedules..hidden: {NAME}"]),
        ("defaults:\n  cron: '@daily'", [f"2:3: defaults.cron: 'cron' {NO_DEFAULT}"]),
        ("defaults:\n  run_on_start: x", [f"2:3: defaults.run_on_start: 'run_on_start' {NO_DEFAULT}"]),
        (
            "defaults:\n  queue: x\nschedules: {a: {spider: s}, b: {spider: s}}",
            ["2:10: defaults.queue: there is no queue 'x' under hub.queues"],
        ),
        (
            "hub:\n  projects: {x: {}, y: {}}\nschedules:\n  a: {spider: s}",
            ["4:3: schedules.a: several projects are configured; write project: with one of x, y"],
        ),
    ],
)
def test_mistakes_between_keys(text: str, expected: list[str]) -> None:
    """What holds between sections is checked too, and told once, at the place that says it."""
    assert sorted(mistakes(text)) == sorted(expected)
