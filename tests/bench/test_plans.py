"""The sets of schedules that the bench measures with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bench.plans import Plan, alike, all_different, due, resting
from reactorhub.model.schedule import Schedule
from reactorhub.policies.agenda import upcoming
from tests.support.hubs import config

NOW = datetime(2026, 11, 22, 12, 34, 56, 789_000, tzinfo=UTC)


def read(plan: Plan) -> Iterator[Schedule]:
    """Return the schedules as a hub reads them."""
    text = json.dumps({"hub": {"projects": {"bench": {"path": "."}}}, "schedules": plan})
    return iter(config(text).schedules.values())


@pytest.mark.parametrize("now", [NOW, NOW.replace(hour=23, minute=59), NOW.replace(month=3, day=29, hour=0)])
def test_schedules_that_rest_are_not_due_soon(now: datetime) -> None:
    """Each has a time to come, none of them within fifty minutes; both intervals and crons are among them."""
    schedules = list(read(resting(400, now)))
    nexts = [upcoming(schedule, now, 1)[0] - now for schedule in schedules]
    assert len(schedules) == 400 and min(nexts) > timedelta(minutes=50)
    assert {schedule.trigger and schedule.trigger.kind for schedule in schedules} == {"interval", "cron"}


def test_another_version_has_the_same_names_and_no_equal_schedule() -> None:
    """So that a reload changes all of them."""
    old, new = resting(10, NOW), resting(10, NOW, version=1)
    assert old.keys() == new.keys() and all(old[name] != new[name] for name in old)


def test_schedules_that_are_due_are_so_at_one_moment() -> None:
    """Crons and single times meet at the same second; another kind has other names."""
    moment = NOW.replace(microsecond=0) + timedelta(minutes=1)
    assert {upcoming(schedule, NOW, 1) for schedule in read(due("a", 6, moment))} == {(moment,)}
    assert not due("a", 6, moment).keys() & due("b", 6, moment).keys()


def test_crons_are_alike_or_all_different() -> None:
    """The two ends between which the cost of a check lies."""
    texts = [{schedule.trigger for schedule in read(plan(3000))} for plan in (alike, all_different)]
    assert [len(each) for each in texts] == [1, 3000]
