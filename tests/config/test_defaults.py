"""The section defaults: what schedules inherit, and mistakes between it and a schedule."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from reactorhub.model.run import RetryRule
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval
from reactorhub.triggers.window import ExcludedDays, ExcludedTimes, Window
from tests.config.config_cases import LEAVES_ONE, LONGER, mistakes, only, read


def test_a_second_name_overrides_the_default_given_under_the_first() -> None:
    """misfire_grace_time in a schedule replaces catchup_window of the defaults."""
    text = "defaults: {catchup_window: 1h}\nschedules: {a: {spider: s, misfire_grace_time: 1m}}"
    assert read(text).schedules["a"].catchup_window == timedelta(minutes=1)


def test_retry_over_defaults() -> None:
    """A schedule's own keys of retry win over the defaults, one by one; without either there is no rule."""
    text = "defaults: {retry: {max_retries: 5, delay: 1m}}\n"
    text += "schedules: {a: {spider: s, retry: {delay: 2m}}, b: {spider: s}}"
    schedules = read(text).schedules
    assert schedules["a"].spec.retry == RetryRule(max_retries=5, delay=120)
    assert schedules["b"].spec.retry == RetryRule(max_retries=5, delay=60)
    assert only("queue: default").spec.retry is None


def test_rules_that_do_not_go_together_over_sections() -> None:
    """What contradicts the defaults is reported at the schedule; what does so within them, there, once."""
    one = "defaults: {max_instances: 2}\nschedules:\n  a: {spider: s, overlap: cancel_other}\n"
    assert mistakes(one + "  b: {spider: s}\n") == [f"3:27: schedules.a.overlap: {LEAVES_ONE}"]
    both = "defaults: {max_instances: 2, overlap: cancel_other}\nschedules:\n  b: {spider: s}\n"
    assert mistakes(both) == [f"1:39: defaults.overlap: {LEAVES_ONE}"]
    retry = "defaults: {retry: {max_delay: 1m}}\nschedules:\n  a: {spider: s, retry: {delay: 2m}}\n"
    assert mistakes(retry) == [f"3:33: schedules.a.retry.delay: {LONGER}"]


def test_a_zone_is_inherited() -> None:
    """A schedule's zone goes before that of the defaults, and that before the hub's."""
    text = 'hub: {{timezone: Asia/Tokyo}}\ndefaults: {{{0}}}\nschedules: {{a: {{spider: s, cron: "@daily"}}}}'
    assert read(text.format("")).schedules["a"].trigger == Cron(("@daily",), "Asia/Tokyo")
    zoned = read(text.format("timezone: Europe/Berlin"))
    assert zoned.schedules["a"].trigger == Cron(("@daily",), "Europe/Berlin")


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


def test_a_mistake_in_the_defaults_is_told_once() -> None:
    """However many schedules it spoils, it stands at its place in the defaults."""
    text = "defaults: {start_time: 2026-01-02T00:00Z, end_time: 2026-01-01T00:00Z}\nschedules:\n"
    found = mistakes(text + "  a: {spider: s, interval: 1h}\n  b: {spider: s, cron: '@daily'}")
    assert found == ["1:53: defaults.end_time: end_time lies before start_time; write a later end_time"]
