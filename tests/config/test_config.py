"""The schedule file becomes one frozen value, or a list of every mistake in it with its place."""

from __future__ import annotations

import textwrap
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reactorhub.config import MAX_BYTES, HubConfig, RedisConfig, load, parse
from reactorhub.engine.projects import ProjectConfig
from reactorhub.errors import ConfigError
from reactorhub.model.run import RETRIABLE, RetryRule, RunSpec, RunState
from reactorhub.model.schedule import Catchup, Overlap, Schedule
from reactorhub.policies.fingerprint import fingerprint
from reactorhub.storage.retention import RetentionConfig
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval, Once
from reactorhub.triggers.window import ExcludedDays, ExcludedTimes, Window

ENVIRON = {"N": "4", "WORD": "on", "SECRET": "hunter2", "EMPTY": ""}
FULL = """\
hub:
  http: tcp:6800:interface=127.0.0.1
  data_dir: state
  name: hub-1
  timezone: Europe/Berlin
  max_concurrent_runs: ${N}
  max_queued_runs: 50
  queues: {heavy: 2}
  shutdown_grace: 1m30s
  projects:
    shop: {path: ../shop}
    blog: {path: /srv/blog, spider_modules: [blog.spiders]}
  redis: {url: "redis://127.0.0.1:6379/0", prefix: "mine:"}
  retention: {runs: 90d, logs: 12h}
  demo_site: tcp:6801
defaults:
  project: shop
  timeout: 2h
  args: {category: laptops, page: 007}
  settings: {DOWNLOAD_DELAY: 0.5}
schedules:
  prices:
    spider: prices
    cron: "*/15 8-20 * * mon-fri"
    timezone: America/New_York
    overlap: buffer_one
    catchup: all
    catchup_window: 1d
    args: {page: 1.50, sort: on, none: "null", day: 2026-01-01, empty: ""}
    settings: {TELNETCONSOLE_ENABLED: false, ITEM_PIPELINES: {a.B: 300, a.C: null}, CODES: [500, "x"]}
    queue: heavy
    priority: -5
    timeout: 90s
    stop_grace: 0.5s
    enabled: false
    tags: [daily, "1"]
    run_on_start: true
  sitemap: {spider: sitemap, interval: 6h, anchor: 2026-01-01T00:30:00+01:00}
  launch: {spider: prices, at: "2026-12-01T08:00:00+01:00", misfire_grace_time: 5m, project: blog}
  by_hand: {spider: prices}
"""


def read(text: str, **environ: str) -> HubConfig:
    """Parse ``text`` as ``schedule.yaml`` in ``/etc/hub``."""
    return parse(textwrap.dedent(text), "schedule.yaml", ENVIRON | environ, Path("/etc/hub"), "host")


def mistakes(text: str) -> list[str]:
    """What is wrong with ``text``, file name aside."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(mistake).removeprefix("schedule.yaml:") for mistake in caught.value.mistakes]


def only(schedule: str, **environ: str) -> Schedule:
    """The schedule made of the keys in ``schedule``, in a file with nothing else."""
    return read(f"schedules: {{a: {{spider: s, {schedule}}}}}", **environ).schedules["a"]


def in_hub(text: str) -> list[str]:
    """What is wrong with one line under ``hub``, place aside."""
    return [mistake.split(": ", 1)[1] for mistake in mistakes(f"hub:\n  {text}\n")]


def in_schedule(text: str) -> list[str]:
    """What is wrong with one line of a schedule, place aside."""
    return [
        mistake.split(": ", 1)[1] for mistake in mistakes(f"schedules:\n  a:\n    spider: s\n    {text}\n")
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "hub:\ndefaults:\nschedules:\n", "---\n"])
def test_an_empty_file_is_a_hub_without_schedules(text: str) -> None:
    """Everything has a default, so a file may say nothing."""
    config = read(text)
    assert config.schedules == {}
    assert config.projects == {
        "default": ProjectConfig(name="default", path=Path("/etc/hub"), spider_modules=())
    }
    assert config.queues == {"default": 16}
    assert (config.name, config.http) == ("host", "tcp:6800:interface=127.0.0.1")
    assert (config.data_dir, config.timezone) == (Path("/etc/hub/var"), "UTC")
    assert (config.max_concurrent_runs, config.max_queued_runs, config.shutdown_grace) == (16, 10_000, 60.0)
    assert config.redis is None
    assert config.retention == RetentionConfig(runs=None, logs=None, items=None)
    assert config.demo_site is None


def test_hub_keys() -> None:
    """Each key of hub arrives; relative paths start from the file's folder."""
    config = read(FULL)
    assert (config.name, config.http, config.demo_site) == (
        "hub-1",
        "tcp:6800:interface=127.0.0.1",
        "tcp:6801",
    )
    assert (config.data_dir, config.timezone) == (Path("/etc/hub/state"), "Europe/Berlin")
    assert (config.max_concurrent_runs, config.max_queued_runs, config.shutdown_grace) == (4, 50, 90.0)
    assert config.queues == {"default": 4, "heavy": 2}
    assert config.redis == RedisConfig(url="redis://127.0.0.1:6379/0", embedded=False, prefix="mine:")
    assert config.retention == RetentionConfig(runs=timedelta(days=90), logs=timedelta(hours=12))
    assert config.projects == {
        "shop": ProjectConfig(name="shop", path=Path("/etc/shop")),
        "blog": ProjectConfig(name="blog", path=Path("/srv/blog"), spider_modules=("blog.spiders",)),
    }


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


def test_a_second_name_overrides_the_default_given_under_the_first() -> None:
    """misfire_grace_time in a schedule replaces catchup_window of the defaults."""
    text = "defaults: {catchup_window: 1h}\nschedules: {a: {spider: s, misfire_grace_time: 1m}}"
    assert read(text).schedules["a"].catchup_window == timedelta(minutes=1)


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


def test_retry_over_defaults() -> None:
    """A schedule's own keys of retry win over the defaults, one by one; without either there is no rule."""
    text = "defaults: {retry: {max_retries: 5, delay: 1m}}\n"
    text += "schedules: {a: {spider: s, retry: {delay: 2m}}, b: {spider: s}}"
    schedules = read(text).schedules
    assert schedules["a"].spec.retry == RetryRule(max_retries=5, delay=120)
    assert schedules["b"].spec.retry == RetryRule(max_retries=5, delay=60)
    assert only("queue: default").spec.retry is None


def test_what_becomes_of_ticks_and_failures() -> None:
    """How many runs at once, and how many failures; by default the policy says, and none is too many."""
    schedule = only("overlap: buffer_all, max_instances: 3, pause_on_failure: 5")
    assert (schedule.overlap, schedule.max_instances) == (Overlap.BUFFER_ALL, 3)
    assert schedule.pause_on_failure == 5
    plain = only("overlap: cancel_other, max_instances: 1")
    assert (plain.max_instances, plain.pause_on_failure) == (1, None)


def test_rules_that_do_not_go_together_over_sections() -> None:
    """What contradicts the defaults is told of at the schedule; what does so within them, there, once."""
    one = "defaults: {max_instances: 2}\nschedules:\n  a: {spider: s, overlap: cancel_other}\n"
    assert mistakes(one + "  b: {spider: s}\n") == [f"3:27: schedules.a.overlap: {LEAVES_ONE}"]
    both = "defaults: {max_instances: 2, overlap: cancel_other}\nschedules:\n  b: {spider: s}\n"
    assert mistakes(both) == [f"1:39: defaults.overlap: {LEAVES_ONE}"]
    retry = "defaults: {retry: {max_delay: 1m}}\nschedules:\n  a: {spider: s, retry: {delay: 2m}}\n"
    assert mistakes(retry) == [f"3:33: schedules.a.retry.delay: {LONGER}"]


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        ("embedded", RedisConfig(embedded=True)),
        ("{embedded: true, prefix: 'p:'}", RedisConfig(embedded=True, prefix="p:")),
        ("{embedded: false, url: u}", RedisConfig(url="u")),
    ],
)
def test_redis(redis: str, expected: RedisConfig) -> None:
    """Redis is a server elsewhere or the embedded one, by a word or by a key."""
    assert read(f"hub: {{redis: {redis}}}").redis == expected


@pytest.mark.parametrize(
    ("keys", "trigger"),
    [
        ("interval: 1h30m", Interval(timedelta(minutes=90))),
        ("interval: 1d", Interval(timedelta(days=1))),
        ("interval: 90s", Interval(timedelta(seconds=90))),
        ("cron: '@daily'", Cron(("@daily",), "UTC")),
        ("cron: [0 1 * * *, 0 2 * * *]", Cron(("0 1 * * *", "0 2 * * *"), "UTC")),
        ("at: 2026-12-01T08:00Z", Once(datetime(2026, 12, 1, 8, tzinfo=UTC))),
        (
            "at: '2026-12-01 08:00:05', timezone: Asia/Tokyo",
            Once(datetime(2026, 11, 30, 23, 0, 5, tzinfo=UTC)),
        ),
        (
            "interval: 1d, anchor: 2026-07-01T00:00",
            Interval(timedelta(days=1), datetime(2026, 7, 1, tzinfo=UTC)),
        ),
    ],
)
def test_trigger_forms(keys: str, trigger: object) -> None:
    """Each way to say when gives its trigger."""
    assert only(keys).trigger == trigger


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-03-29T01:59:59", datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)),
        ("2026-03-29T02:30:00", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        ("2026-10-25T02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2028-02-29T12:00:00", datetime(2028, 2, 29, 11, 0, tzinfo=UTC)),
    ],
)
def test_local_times_follow_the_rules_of_cron(local: str, utc: datetime) -> None:
    """A local one-shot in a gap runs at the gap's end, one in an overlap the first time."""
    assert only(f"at: {local}, timezone: Europe/Berlin").trigger == Once(utc)


def test_a_zone_is_inherited() -> None:
    """A schedule's zone goes before that of the defaults, and that before the hub's."""
    text = 'hub: {{timezone: Asia/Tokyo}}\ndefaults: {{{0}}}\nschedules: {{a: {{spider: s, cron: "@daily"}}}}'
    assert read(text.format("")).schedules["a"].trigger == Cron(("@daily",), "Asia/Tokyo")
    zoned = read(text.format("timezone: Europe/Berlin"))
    assert zoned.schedules["a"].trigger == Cron(("@daily",), "Europe/Berlin")


def test_an_environment_value_counts_as_written_by_hand() -> None:
    """A variable without quotes may hold a number, and falls into the same traps as what is typed."""
    assert read("hub:\n  max_concurrent_runs: ${N}").max_concurrent_runs == 4
    assert read("hub:\n  max_concurrent_runs: ${UNSET:-7}").max_concurrent_runs == 7
    assert read("schedules:\n  a:\n    spider: s\n    args:\n      x: ${WORD}").schedules["a"].spec.args == {
        "x": "on"
    }
    assert mistakes("hub:\n  http: ${WORD}") == [
        "2:9: hub.http: must be text; put the value of ${WORD} in quotes"
    ]


def test_what_a_variable_holds_is_not_shown() -> None:
    """A secret in the wrong place does not end up in the log."""
    text = "hub:\n  shutdown_grace: ${SECRET}\n  timezone: ${SECRET}\n  max_queued_runs: ${SECRET}\n"
    assert all("hunter2" not in mistake for mistake in mistakes(text))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cron: '${SECRET}'", "the value of ${SECRET} is not a cron expression that ever matches; "),
        ("cron: ['@daily', '61 * * * ${SECRET}']", "the value of 61 * * * ${SECRET} is not a cron"),
        ("interval: 1h\n    exclude: '* * * ${SECRET} *'", "the value of * * * ${SECRET} * is not a cron"),
        ("queue: ${SECRET}", "there is no queue the value of ${SECRET} under hub.queues"),
        ("project: ${SECRET}", "there is no project the value of ${SECRET} under hub.projects"),
        ("after: ${SECRET}", "there is no schedule the value of ${SECRET}"),
        ("after: ['${SECRET}']", "there is no schedule the value of ${SECRET}"),
        ("notify: ${SECRET}", "there is no channel the value of ${SECRET} under hub.notify"),
        ("notify: {to: ['${SECRET}']}", "there is no channel the value of ${SECRET} under hub.notify"),
    ],
)
def test_what_a_variable_holds_is_not_shown_of_a_schedule(line: str, said: str) -> None:
    """Nor does one in a cron, or where a name is due."""
    (mistake,) = in_schedule(line)
    assert mistake.split(": ", 1)[1].startswith(said) and "hunter2" not in mistake


def test_one_mistake_hides_no_other() -> None:
    """Whatever else is wrong with a schedule or a list, each mistake is told, at its own place."""
    text = """\
    schedules:
      a: {spider: s, interval: 5x, exclude: "0 0 31 4 *"}
      b: {spider: s, interval: 5x, start_time: 2027-01-01T00:00:00, end_time: 2026-01-01T00:00:00}
      c: {spider: s, cron: ["", "* *", "@daily", "61 * * * *"]}
      d: {spider: s, interval: 1h, exclude: [christmas, 2026-01-02..2026-01-01, "0 0 31 4 *"]}
      e: {after: [a, a, x, y]}
    defaults: {exclude: ["@daily", "* *"]}
    """
    assert [": ".join(mistake.split(": ")[:2]) for mistake in mistakes(text)] == [
        "2:28: schedules.a.interval",
        "2:41: schedules.a.exclude",
        "3:28: schedules.b.interval",
        "3:75: schedules.b.end_time",
        "4:25: schedules.c.cron[0]",
        "4:29: schedules.c.cron[1]",
        "4:46: schedules.c.cron[3]",
        "5:42: schedules.d.exclude[0]",
        "5:53: schedules.d.exclude[1]",
        "5:77: schedules.d.exclude[2]",
        "6:3: schedules.e",
        "6:21: schedules.e.after[2]",
        "6:24: schedules.e.after[3]",
        "7:32: defaults.exclude[1]",
    ]


def test_a_default_that_leaves_no_time_says_to_whom() -> None:
    """A default may leave nothing of one schedule and much of others, so it names the one."""
    text = """\
    defaults: {spider: s, exclude: "* * * * sun", end_time: 2027-01-01T00:00:00}
    schedules:
      a: {cron: "0 3 * * sun"}
      b: {cron: "0 4 * * sun"}
      c: {cron: "0 5 * * mon"}
      d: {at: 2028-01-01T00:00:00}
    """
    assert mistakes(text) == [
        "1:32: defaults.exclude: excludes every time at which schedule 'a' could run; exclude less",
        "1:32: defaults.exclude: excludes every time at which schedule 'b' could run; exclude less",
        "1:57: defaults.end_time: schedule 'd' has no time up to then; choose a later end_time",
    ]


def test_a_cron_may_come_from_a_crontab() -> None:
    """Between the fields may be tabs, and more than one space."""
    cron = only('cron: "0\t3  * *\t*", exclude: "*\t*\t* * sun"').trigger
    assert cron == Window(Cron.parse(("0 3 * * *",), "UTC"), exclude=(ExcludedTimes("* * * * sun", "UTC"),))


def test_a_key_in_capitals_is_recognized() -> None:
    """A suggestion looks at letters, not at their case."""
    assert in_schedule("CRON: '@daily'") == ["schedules.a.CRON: unknown key 'CRON'; did you mean 'cron'?"]


def test_the_format_of_a_mistake() -> None:
    """A mistake reads file:line:column: path: sentence, at the value it is about."""
    text = "#\n" * 7 + 'schedules:\n  prices:\n    spider: prices\n    cron:\n      "61 * * * *"\n'
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith("schedule.yaml:12:7: schedules.prices.cron: the minute field '61' of")


NUMBER = "must be a whole number from 1 to 10000"
SPAN = "is not a duration; write it like 90s, 15m, 2h, 1d or 1h30m"
NAME = "a name has up to 100 letters (a to z), digits, _ - and . and starts with a letter, digit or _"
TIME = "is not a time; write it like 2026-12-01T08:00:00+01:00, or 2026-12-01T08:00:00 for a local time"
ONE = "keep one of interval, cron, at and after"
FIELDS = "write five: minute hour day-of-month month day-of-week, or six with second first"
PRIORITY = "must be a whole number from -1000000 to 1000000"
TWO_NAMES = "is another name for catchup_window; keep one of the two"
NO_SPIDER = "schedules.a: there is no spider; write spider: NAME"
NO_DEFAULT = "cannot be a default; write it into each schedule"
POLICIES = "skip, buffer_one, buffer_all, cancel_other, allow_all"
LEAVES_ONE = "cancel_other allows one run at a time; remove max_instances, or choose another overlap"
LONGER = "is longer than max_delay; make it shorter, or max_delay longer"
BACKOFF = "must be a number from 1 to 100"
ENDS = "failed, timed_out, interrupted"
TRAP = "in quotes, or write true, false or a decimal number"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("htp: x", "hub.htp: unknown key 'htp'; did you mean 'http'?"),
        ("watchdog: {warn_after: 1s}", "hub.watchdog: unknown key 'watchdog'"),
        ("max_concurrent_runs: 0", f"hub.max_concurrent_runs: {NUMBER}, not '0'"),
        ("max_concurrent_runs: 010", f"hub.max_concurrent_runs: {NUMBER}, not '010'"),
        ("max_concurrent_runs: 1_000", f"hub.max_concurrent_runs: {NUMBER}, not '1_000'"),
        ("max_concurrent_runs: 1.0", f"hub.max_concurrent_runs: {NUMBER}, not '1.0'"),
        ("max_concurrent_runs: '4'", f"hub.max_concurrent_runs: {NUMBER}, without quotes, not '4'"),
        ("max_concurrent_runs: [4]", "hub.max_concurrent_runs: must be one value, not a list"),
        ("max_concurrent_runs:", "hub.max_concurrent_runs: is empty; write a value, or remove the key"),
        ("http: 12:30", "hub.http: must be text; put '12:30' in quotes"),
        ("http: ''", "hub.http: must be a text on one line, and not empty"),
        ('data_dir: "a\\0b"', "hub.data_dir: must be a text on one line, and not empty"),
        ("name: my hub", f"hub.name: {NAME}"),
        (
            "shutdown_grace: 60",
            "hub.shutdown_grace: write a unit after '60': s, m, h or d, such as 90s or 15m",
        ),
        ("shutdown_grace: 0s", "hub.shutdown_grace: must be more than 0s and at most 36500d, not '0s'"),
        ("shutdown_grace: 30m1h", f"hub.shutdown_grace: '30m1h' {SPAN}"),
        ("shutdown_grace: -5s", f"hub.shutdown_grace: '-5s' {SPAN}"),
        (
            "timezone: Europe/Berln",
            "hub.timezone: there is no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        ),
        ("timezone: ../etc", "hub.timezone: there is no time zone '../etc'; names look like Europe/Berlin"),
        ("queues: {heavy: none}", f"hub.queues.heavy: {NUMBER}, without quotes, not 'none'"),
        ("queues: {a b: 1}", f"hub.queues.a b: {NAME}"),
        ("queues: [heavy]", "hub.queues: must be a mapping of keys to values"),
        ("projects: {..: {}}", f"hub.projects...: {NAME}"),
        ("projects: {shop: ../shop}", "hub.projects.shop: must be a mapping of keys to values"),
        ("projects: {shop: {pth: x}}", "hub.projects.shop.pth: unknown key 'pth'; did you mean 'path'?"),
        ("projects: {shop: {spider_modules: a.b}}", "hub.projects.shop.spider_modules: must be a list"),
        ("redis: redis://x", "hub.redis: write redis: embedded, or redis: {url: ...}"),
        ("redis: {}", "hub.redis: write either url, or embedded: true"),
        ("redis: {url: x, embedded: true}", "hub.redis: write either url, or embedded: true"),
        (
            "redis: {embedded: yes}",
            "hub.redis.embedded: write true or false instead of 'yes', without quotes",
        ),
        (
            "retention: {runs: 90}",
            "hub.retention.runs: write a unit after '90': s, m, h or d, such as 90s or 15m",
        ),
        ("retention: {items: }", "hub.retention.items: is empty; write a value, or remove the key"),
        ("retention: {log: 1d}", "hub.retention.log: unknown key 'log'; did you mean 'logs'?"),
        ("retention: 90d", "hub.retention: must be a mapping of keys to values"),
        ("redis: {ulr: x}", "hub.redis.ulr: unknown key 'ulr'; did you mean 'url'?"),
    ],
)
def test_mistakes_in_hub(text: str, expected: str) -> None:
    """Each wrong key or value under hub is one sentence that says what to write."""
    assert in_hub(text) == [expected]


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


def test_all_mistakes_at_once() -> None:
    """Mistakes of every kind are found in one go, in file order, and none hides another."""
    text = """\
    hub:
      projects: {shop: {}, blog: {}}
      http: ${NOPE}
      timezone: Nowhere
      queues: {heavy: 0}
    defaults: &common
      enabled: yes
    schedules:
      a:
        spider: on
        cron: "0 0 31 2 *"
        interval: 5
        queue: missing
        project: shp
      a: {}
      b: *common
      c: {spidr: x, args: {name: !!str y}, project: shop}
    """
    assert [mistake.split(": ")[0:2] for mistake in mistakes(text)] == [
        ["3:9", "hub.http"],
        ["4:13", "hub.timezone"],
        ["5:19", "hub.queues.heavy"],
        ["6:11", "defaults"],
        ["7:12", "defaults.enabled"],
        ["10:13", "schedules.a.spider"],
        ["11:11", "schedules.a.cron"],
        ["12:5", "schedules.a.interval"],
        ["12:15", "schedules.a.interval"],
        ["13:12", "schedules.a.queue"],
        ["14:14", "schedules.a.project"],
        ["15:3", "schedules.a"],
        ["16:6", "schedules.b"],
        ["17:3", "schedules.c"],
        ["17:7", "schedules.c.spidr"],
        ["17:24", "schedules.c.args.name"],
        ["17:30", "schedules.c.args.name"],
    ]


def test_what_follows_from_another_mistake_is_not_told() -> None:
    """A queue or project that has a mistake of its own is there all the same."""
    text = "hub:\n  queues: {heavy: x}\n  projects: 5\nschedules: {a: {spider: s, queue: heavy, project: p}}"
    assert [mistake.split(": ")[1] for mistake in mistakes(text)] == ["hub.queues.heavy", "hub.projects"]
    assert [
        mistake.split(": ")[1] for mistake in mistakes("hub: x\nschedules: {a: {spider: s, queue: q}}")
    ] == ["hub"]


def test_mistakes_made_later() -> None:
    """A check elsewhere can point into the file, at the nearest place that is there."""
    config = read(FULL)
    assert str(config.mistake(("hub", "http"), "no port")) == "schedule.yaml:2:9: hub.http: no port"
    late = config.mistake(("schedules", "by_hand", "queue"), "m")
    assert str(late) == "schedule.yaml:40:3: schedules.by_hand.queue: m"
    assert str(config.mistake((), "m")) == "schedule.yaml:1:1: m"


def test_a_config_is_a_value() -> None:
    """A config is frozen, and equal to another where the same is said, wherever it stands in the file."""
    config = read(FULL)
    assert config == read("# moved down\n" + FULL)
    assert config != read(FULL.replace("90s", "91s"))
    with pytest.raises(FrozenInstanceError):
        config.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("interval: 1h", "interval: 60m", True),
        ("interval: 1h", "interval: 1h, overlap: allow_all, args: {x: 1}, timeout: 5s", True),
        ("cron: '0  1 * * *'", "cron: ['0 1 * * *']", True),
        ("at: 2026-12-01T08:00:00+01:00", "at: 2026-12-01T07:00:00Z", True),
        ("interval: 1h", "interval: 2h", False),
        ("interval: 1h", "interval: 1h, anchor: 2026-01-01T00:00Z", False),
        ("interval: 1h", "interval: 1h, enabled: false", False),
        ("cron: '@daily'", "cron: '@daily', timezone: Asia/Tokyo", False),
        ("cron: '@daily'", "tags: []", False),
        ("at: 2026-12-01T08:00:00+01:00", "at: 2026-12-01T08:00:00Z", False),
    ],
)
def test_fingerprints(one: str, other: str, same: bool) -> None:
    """A fingerprint changes with the rule of when, and with nothing else."""
    assert (fingerprint(only(one)) == fingerprint(only(other))) is same


def test_a_fingerprint_outlives_the_process() -> None:
    """The ledger keeps fingerprints: this one must never change while its rule means the same."""
    assert (
        fingerprint(only("interval: 1h"))
        == "a4dc1b1e8a647b6b4b91a4da6b592ab89e9fb98ca97b966cb7dee486a75cc6c8"
    )
    assert fingerprint(replace(only("interval: 1h"), name="b")) == fingerprint(only("interval: 1h"))


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ("jitter: 5m, max_catchup: 7", True),
        ("start_time: 2026-01-01T00:00Z", False),
        ("end_time: 2026-01-01T00:00Z", False),
        ("exclude: 2026-12-24", False),
    ],
)
def test_what_narrows_a_trigger_is_part_of_when(more: str, same: bool) -> None:
    """Bounds change which ticks there are; jitter and catch-up do not, so nothing that waits is dropped."""
    assert (fingerprint(only("interval: 1h")) == fingerprint(only(f"interval: 1h, {more}"))) is same


def test_a_fingerprint_of_bounds_outlives_the_process() -> None:
    """Like the others it is kept in the ledger, and tells one way of narrowing from another."""
    one = "cron: '@daily', timezone: Asia/Tokyo, exclude: [2026-12-24..2026-12-26, '* * * * sun']"
    edges = "start_time: 2026-01-01T00:00, end_time: 2027-01-01T00:00Z"
    pinned = "7ad03be212bf7b88cbb04d5481880f08620e98c0bca357f57597ff56bc79c313"
    assert fingerprint(only(f"{one}, {edges}")) == pinned
    others = [one, f"cron: '@daily', timezone: Asia/Tokyo, {edges}", f"{one.replace('24', '23')}, {edges}"]
    assert len({pinned, *(fingerprint(only(other)) for other in others)}) == 4


DAILY = "cron: '@daily', timezone: Asia/Tokyo"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("start_time: 2026-01-01T00:00", {"start": datetime(2025, 12, 31, 15, tzinfo=UTC)}),
        ("start_time: 2026-01-01T00:00Z", {"start": datetime(2026, 1, 1, tzinfo=UTC)}),
        ("end_time: '2026-01-01 00:00:30'", {"end": datetime(2025, 12, 31, 15, 0, 30, tzinfo=UTC)}),
        (
            "exclude: 2026-12-24",
            {"exclude": (ExcludedDays(date(2026, 12, 24), date(2026, 12, 24), "Asia/Tokyo"),)},
        ),
        ("exclude: '* * *  * sun'", {"exclude": (ExcludedTimes("* * * * sun", "Asia/Tokyo"),)}),
        (
            "exclude: [2026-12-24..2027-01-02, '@hourly']",
            {
                "exclude": (
                    ExcludedDays(date(2026, 12, 24), date(2027, 1, 2), "Asia/Tokyo"),
                    ExcludedTimes("@hourly", "Asia/Tokyo"),
                )
            },
        ),
    ],
)
def test_what_narrows_a_trigger(keys: str, expected: dict[str, Any]) -> None:
    """Start, end and what is left out are read in the zone of the schedule, whatever its trigger."""
    if "@hourly" not in keys:
        assert only(f"{DAILY}, {keys}").trigger == Window(Cron(("@daily",), "Asia/Tokyo"), **expected)
    every = only(f"interval: 90s, timezone: Asia/Tokyo, {keys}")
    assert every.trigger == Window(Interval(timedelta(seconds=90)), **expected)


def test_jitter_and_max_catchup() -> None:
    """They arrive as they are written, and have a default."""
    schedule = only("interval: 1h, jitter: 1m30s, max_catchup: 7")
    assert (schedule.jitter, schedule.max_catchup) == (timedelta(seconds=90), 7)
    assert (only("interval: 1h").jitter, only("interval: 1h").max_catchup) == (timedelta(0), 100)


def test_bounds_can_be_defaults() -> None:
    """Each schedule reads them in its own zone; its own keys win; one that runs by hand is left alone."""
    text = """\
    defaults: {exclude: 2026-12-24, end_time: 2030-01-01T00:00, jitter: 5s}
    schedules:
      a: {spider: s, interval: 1h, timezone: Asia/Tokyo}
      b: {spider: s, interval: 1h, exclude: '* * * * sun', end_time: 2031-01-01T00:00}
      c: {spider: s}
    """
    schedules, hourly = read(text).schedules, Interval(timedelta(hours=1))
    day = ExcludedDays(date(2026, 12, 24), date(2026, 12, 24), "Asia/Tokyo")
    assert schedules["a"].trigger == Window(
        hourly, end=datetime(2029, 12, 31, 15, tzinfo=UTC), exclude=(day,)
    )
    sundays = (ExcludedTimes("* * * * sun", "UTC"),)
    assert schedules["b"].trigger == Window(hourly, end=datetime(2031, 1, 1, tzinfo=UTC), exclude=sundays)
    assert schedules["c"].trigger is None


NEITHER = "write a cron expression, or days like 2026-12-24 or 2026-12-24..2027-01-02"
ONLY_WITH = "is only allowed with interval, cron or at; remove it"
AT = "at: 2026-06-01T00:00Z\n    "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval: 1h\n    start_time: noon", f"start_time: 'noon' {TIME}"),
        (
            f"{AT}start_time: 2026-01-02T00:00\n    end_time: 2026-01-01T00:00",
            "end_time: end_time lies before start_time; write a later end_time",
        ),
        (
            f"{AT}start_time: 2026-06-02T00:00",
            "start_time: the schedule has no time from then on; choose an earlier start_time",
        ),
        (
            f"{AT}end_time: 2026-05-01T00:00",
            "end_time: the schedule has no time up to then; choose a later end_time",
        ),
        (
            "cron: '@yearly'\n    start_time: 2026-05-01T00:00\n    end_time: 2026-06-01T00:00",
            "end_time: the schedule has no time after start_time up to then; choose a later end_time",
        ),
        (
            f"{AT}exclude: 2026-06-01",
            "exclude: excludes every time at which the schedule could run; exclude less",
        ),
        (
            "interval: 7s\n    exclude: '* * * * *'",
            "exclude: excludes every time at which the schedule could run; exclude less",
        ),
        (
            "interval: 1h\n    exclude: christmas",
            f"exclude: 'christmas' is neither a cron expression nor a date; {NEITHER}",
        ),
        (
            "interval: 1h\n    exclude: 2026-1-1",
            f"exclude: '2026-1-1' is neither a cron expression nor a date; {NEITHER}",
        ),
        (
            "interval: 1h\n    exclude: ['* * * * *', 2026-02-30]",
            "exclude[1]: '2026-02-30' is not a date that exists; write it like 2026-12-24",
        ),
        (
            "interval: 1h\n    exclude: [2026-01-01, 2026-02-02..2026-02-01]",
            "exclude[1]: '2026-02-02..2026-02-01' ends before it begins; write the earlier date first",
        ),
        ("interval: 1h\n    exclude: '* * *'", f"exclude: '* * *' has 3 fields; {FIELDS}"),
        ("interval: 1h\n    exclude: 5", "exclude: must be text; put '5' in quotes"),
        (
            "interval: 1h\n    exclude: []",
            "exclude: the list is empty; write at least one, or remove the key",
        ),
        ("exclude: 2026-01-01", f"exclude: 'exclude' {ONLY_WITH}"),
        ("start_time: 2026-01-01T00:00", f"start_time: 'start_time' {ONLY_WITH}"),
        ("jitter: 5s", f"jitter: 'jitter' {ONLY_WITH}"),
        ("interval: 1h\n    jitter: 0s", "jitter: must be more than 0s and at most 36500d, not '0s'"),
        ("max_catchup: 0", f"max_catchup: {NUMBER}, not '0'"),
    ],
)
def test_mistakes_in_what_narrows_a_trigger(text: str, expected: str) -> None:
    """What cannot be read, or leaves a schedule without any time, is a sentence at its place."""
    assert in_schedule(text) == [f"schedules.a.{expected}"]


def test_a_mistake_in_the_defaults_is_told_once() -> None:
    """However many schedules it spoils, it stands at its place in the defaults."""
    text = "defaults: {start_time: 2026-01-02T00:00Z, end_time: 2026-01-01T00:00Z}\nschedules:\n"
    found = mistakes(text + "  a: {spider: s, interval: 1h}\n  b: {spider: s, cron: '@daily'}")
    assert found == ["1:53: defaults.end_time: end_time lies before start_time; write a later end_time"]


def test_a_broken_trigger_has_no_other_mistake() -> None:
    """What follows from another mistake is not told."""
    found = in_schedule("cron: '61 * * * *'\n    exclude: 2026-01-01")
    assert len(found) == 1
    assert "the minute field" in found[0]


def test_load(tmp_path: Path) -> None:
    """A file is read from disk; its own folder is where relative paths start."""
    file = tmp_path / "schedule.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + FULL.encode())
    config = load(file, ENVIRON, "host")
    assert config.file == str(file)
    assert config.data_dir == tmp_path / "state"
    assert config.projects["shop"].path == tmp_path.parent / "shop"


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (
            None,
            "1:1",
            "there is no such file; write one with `reactorhub init --config {file}`, or name another with "
            "--config",
        ),
        ("folder", "1:1", "this is not a file; name the schedule file itself"),
        (b"#" * (MAX_BYTES + 1), "1:1", "is larger than 1 MiB; make it smaller"),
        ("hub:\n  name: \xe9".encode("latin-1"), "2:9", "is not UTF-8 from here on; save the file as UTF-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: Any, place: str, message: str) -> None:
    """A missing, unreadable, oversized or wrongly encoded file is one clear line."""
    file = tmp_path / "schedule.yaml"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "folder":
        file.mkdir()
    with pytest.raises(ConfigError) as caught:
        load(file, {}, "host")
    assert str(caught.value) == f"{file}:{place}: {message.format(file=file)}"


def outcome(text: str) -> HubConfig | ConfigError:
    """Parse, and let nothing but a ConfigError pass, whose mistakes are one line each and lie in the text."""
    try:
        return parse(text, "f", ENVIRON, Path("/etc/hub"), "host")
    except ConfigError as error:
        lines = len(text.splitlines()) + 1
        assert error.mistakes
        assert all(1 <= m.line <= lines and m.column >= 1 and "\n" not in str(m) for m in error.mistakes)
        return error


@given(st.text())
@example("? a\n: b")
@example("%YAML 2.0\n---\n")
@example("- \x85- ")
def test_any_text_is_a_config_or_mistakes(text: str) -> None:
    """Whatever the file holds, the answer is a config or a list of mistakes."""
    outcome(text)


PIECES = "~ ~\n~\n  ~:~: ~- ~{~}~[~]~*~&a ~*a~!t ~\"~'~|~>~#~null~on~5~010~1h~@daily~${N}~${X~<<: "
MORE_PIECES = "---\n~? ~\t~\\~,~%~é~\0~\r~interval: 1h~cron: ~at: ~hub:\n~[[[[~{{{{"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(FULL)),
            st.integers(0, 12),
            st.sampled_from(f"{PIECES}~{MORE_PIECES}".split("~")),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_slip_in_a_good_file_is_a_config_or_mistakes(slips: list[tuple[int, int, str]]) -> None:
    """A good file with bits cut out and put in is still a config or a list of mistakes."""
    text = FULL
    for start, length, piece in slips:
        text = text[:start] + piece + text[start + length :]
    outcome(text)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_spans_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    """A time span is the sum of its parts."""
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert only(f"timeout: {days}d{hours}h{minutes}m{seconds}s").spec.timeout == span.total_seconds()


@given(st.from_regex(r"[a-zA-Z0-9_.+:-]{1,12}", fullmatch=True))
def test_args_keep_their_text(text: str) -> None:
    """Whatever YAML would take a value for, the spider gets the text; only an explicit nothing is refused."""
    try:
        schedule = read(f"schedules:\n  a:\n    spider: s\n    args:\n      x: {text}\n").schedules["a"]
    except ConfigError as error:
        assert "YAML" in str(error) or "is empty" in str(error) or "one value" in str(error)
    else:
        assert schedule.spec.args == {"x": text}
