"""When a schedule runs: forms of triggers, what narrows them, and the fingerprint of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from reactorhub.policies.fingerprint import fingerprint
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval, Once
from reactorhub.triggers.window import ExcludedDays, ExcludedTimes, Window
from tests.config.config_cases import FIELDS, NUMBER, TIME, in_schedule, only


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


def test_a_cron_may_come_from_a_crontab() -> None:
    """Between the fields may be tabs, and more than one space."""
    cron = only('cron: "0\t3  * *\t*", exclude: "*\t*\t* * sun"').trigger
    assert cron == Window(Cron.parse(("0 3 * * *",), "UTC"), exclude=(ExcludedTimes("* * * * sun", "UTC"),))


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


def test_a_broken_trigger_has_no_other_mistake() -> None:
    """What follows from another mistake is not told."""
    found = in_schedule("cron: '61 * * * *'\n    exclude: 2026-01-01")
    assert len(found) == 1
    assert "the minute field" in found[0]
