"""The forecast of slots: durations, hours, pile-ups, skips, and what it is made from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reactorhub.forecast import demand as room
from reactorhub.forecast.demand import Basis, Demand, PileUp, Skips, demand
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Overlap, Schedule
from reactorhub.policies.jitter import start_at
from reactorhub.policies.limits import Limits
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import After, Interval, Once, Trigger
from reactorhub.triggers.window import Window

NOW = datetime(2026, 11, 22, 12, 20, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
HOURLY = Interval(HOUR)


def schedule(
    name: str, trigger: Trigger | None = HOURLY, spec: dict[str, Any] | None = None, **rules: Any
) -> Schedule:
    """A schedule."""
    full = RunSpec(**{"spider": "s", "project": "p", "schedule": name} | (spec or {}))
    return Schedule(name=name, spec=full, trigger=trigger, **rules)


def asked(
    *schedules: Schedule,
    took: dict[str, Sequence[timedelta]] | None = None,
    limits: Limits | None = None,
    span: timedelta = 3 * HOUR,
    timezone: str = "UTC",
    **facts: Any,
) -> Demand:
    """The forecast of some hours, by default with two slots; assumed runs last a minute."""
    basis = Basis(
        schedules={each.name: each for each in schedules},
        durations=took or {},
        assume=MINUTE,
        limits=limits or Limits(2, {"default": 2}),
        max_waiting=10_000,
        **facts,
    )
    return demand(basis, NOW, NOW + span, timezone)


def test_hours_are_those_of_the_wall_clock() -> None:
    """The first hour begins now, the last ends with the span, and all others are full hours of the zone."""
    found = asked(schedule("a"), timezone="Asia/Kolkata")
    edges = [(hour.begin - NOW) // MINUTE for hour in found.hours]
    assert edges == [0, 10, 70, 130] and found.hours[-1].end == found.until == NOW + 3 * HOUR
    assert [hour.starts for hour in found.hours] == [0, 1, 1, 1]


def test_hours_stay_full_over_a_change_of_half_an_hour() -> None:
    """Where clocks go back by half an hour, a period is an hour and a half, or the hour occurs twice."""
    basis = Basis(schedules={}, durations={}, assume=MINUTE, limits=Limits(1, {}), max_waiting=1)
    begin = datetime(2026, 4, 4, 13, 0, tzinfo=UTC)  # 2:00 is put back to 1:30 at 15:00 UTC on Lord Howe
    found = demand(basis, begin, begin + 4 * HOUR, "Australia/Lord_Howe")
    assert sum(((hour.end - hour.begin) for hour in found.hours), timedelta()) == 4 * HOUR
    assert max(hour.end - hour.begin for hour in found.hours) == HOUR


def test_a_run_lasts_as_long_as_the_median_of_past_ones() -> None:
    """One slow run does not count; a timeout is the longest; who never ran lasts as long as is assumed."""
    took = {"slow": [MINUTE, 6 * MINUTE, 12 * MINUTE, 500 * MINUTE], "bounded": [HOUR]}
    found = asked(
        schedule("slow"),
        schedule("bounded", spec={"timeout": 60.0}),
        schedule("fresh"),
        schedule("by_hand", None),
        schedule("rare", Once(NOW + 24 * HOUR)),
        took=took,
        limits=Limits(9, {}),
    )
    assert found.hours[1].average == pytest.approx((9 + 1 + 1) / 60)
    assert found.assumed == ("fresh",)


def test_pile_ups_are_named() -> None:
    """More runs than slots: when first, how many, who, how long the last waits, and how many times more."""
    found = asked(*(schedule(name) for name in "abc"), schedule("d", Interval(3 * HOUR, NOW + 100 * MINUTE)))
    assert found.pile_ups == (
        PileUp(NOW + 40 * MINUTE, "max_concurrent_runs", 3, 2, ("a", "b", "c"), MINUTE, 2),
        PileUp(NOW + 100 * MINUTE, "max_concurrent_runs", 4, 2, ("a", "b", "c", "d"), MINUTE, 1),
    )
    assert [hour.short for hour in found.hours] == [(), *[("max_concurrent_runs",)] * 3]
    assert [hour.peak for hour in found.hours] == [0, 3, 4, 3]


def test_a_queue_can_be_the_narrow_place() -> None:
    """A pile-up before the limit of a queue says so, and that the others are not in it."""
    heavy = [schedule(name, spec={"queue": "heavy"}) for name in "ab"]
    found = asked(*heavy, schedule("c"), limits=Limits(9, {"default": 9, "heavy": 1}))
    (pile,) = found.pile_ups
    assert (pile.limit, pile.wanted, pile.slots, pile.schedules) == ("queues.heavy", 2, 1, ("a", "b"))


def test_only_the_worst_pile_ups_are_told() -> None:
    """Of many different ones those with the longest waits are named, in order of time."""
    pairs = [
        [schedule(f"{kind}{n}", Once(NOW + n * 10 * MINUTE)) for kind in ("a", "b")] for n in range(1, 9)
    ]
    took = {f"{kind}{n}": [n * SECOND] for n in range(1, 9) for kind in ("a", "b")}
    found = asked(*(each for pair in pairs for each in pair), took=took, limits=Limits(1, {}))
    assert [pile.longest // SECOND for pile in found.pile_ups] == [4, 5, 6, 7, 8]
    assert found.others == 3


def test_skipped_ticks_are_counted() -> None:
    """A schedule whose runs outlast its ticks would skip some of them, by its own rule."""
    took = {"a": [25 * MINUTE], "b": [25 * MINUTE]}
    every = Interval(10 * MINUTE)
    found = asked(schedule("a", every), schedule("b", every, overlap=Overlap.BUFFER_ALL), took=took)
    assert found.skips == (Skips("a", 11, 17),)


def test_who_does_not_tick_is_left_out() -> None:
    """Disabled and paused schedules, those without trigger, bounds and exclusions start nothing."""
    found = asked(
        schedule("off", enabled=False),
        schedule("paused"),
        schedule("by_hand", None),
        schedule("ended", Window(HOURLY, end=NOW)),
        schedule("spent", max_runs=5),
        schedule("nearly", max_runs=5),
        paused=frozenset({"paused"}),
        runs={"spent": 5, "nearly": 4},
    )
    assert sum(hour.starts for hour in found.hours) == 1


def test_jitter_spreads_the_starts() -> None:
    """A tick starts when its jitter is over, also one whose time was before now; nothing starts twice."""
    many = [schedule(f"s{n}", jitter=50 * MINUTE) for n in range(40)]
    found = asked(*many, limits=Limits(99, {}), span=40 * MINUTE)
    waiting = sum(NOW < start_at(each, NOW - 20 * MINUTE) < NOW + 40 * MINUTE for each in many)
    assert 0 < waiting < 40
    assert sum(hour.starts for hour in found.hours) == waiting


@pytest.mark.parametrize(("states", "starts"), [(("succeeded",), 6), (("failed",), 3)])
def test_followers_start_when_their_upstream_has_ended(states: tuple[str, ...], starts: int) -> None:
    """A schedule that runs after another starts where that one's run is forecast to succeed."""
    found = asked(schedule("a"), schedule("b", After(("a",), states)))
    assert sum(hour.starts for hour in found.hours) == starts


def run(state: RunState, name: str | None, **facts: Any) -> Run:
    """A run that is not over, since ten minutes."""
    spec = RunSpec(spider="books", project="p", schedule=name)
    return Run(id="1", spec=spec, created_at=NOW - 10 * MINUTE, state=state, **facts)


def test_runs_that_go_on_hold_their_slots() -> None:
    """A run goes on for what is left of its duration; one ordered by hand lasts as long as is assumed."""
    going = (
        run(RunState.QUEUED, None),
        run(RunState.RUNNING, "a", started_at=NOW - 10 * MINUTE),
    )
    found = asked(
        schedule("a"), took={"a": [30 * MINUTE]}, limits=Limits(1, {}), unfinished=going, span=30 * MINUTE
    )
    (pile,) = found.pile_ups
    assert (pile.schedules, pile.longest) == (("a", "books by hand"), 20 * MINUTE)
    assert found.hours[0].average == pytest.approx(21 / 30)


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forecast of too many ticks ends early and says when; the last hour is as short as that."""
    monkeypatch.setattr(room, "MAX_TICKS", 100)
    found = asked(schedule("a", Interval(MINUTE)))
    assert found.until == NOW + 101 * MINUTE == found.hours[-1].end
    assert sum(hour.starts for hour in found.hours) == 100


def test_ten_thousand_hourly_schedules_take_seconds() -> None:
    """A day of 10,000 hourly schedules on 60 different crons is within the bound, and a matter of seconds."""
    crons = [Cron.parse((f"{minute} * * * *",), "Europe/Berlin") for minute in range(60)]
    many = [schedule(f"s{n}", crons[n % 60]) for n in range(10_000)]
    began = time.process_time()
    found = asked(*many, limits=Limits(200, {}), span=24 * HOUR)
    assert found.until == NOW + 24 * HOUR
    assert sum(hour.starts for hour in found.hours) > 200_000
    assert time.process_time() - began < 15


def test_a_queue_may_be_called_like_the_limit_of_all() -> None:
    """The slots of a pile-up are those of the limit that makes runs wait."""
    limits = Limits(5, {"default": 5, room.HUB: 1})
    spec = {"queue": room.HUB}
    (pile,) = asked(schedule("a", spec=spec), schedule("b", spec=spec), limits=limits).pile_ups
    assert (pile.limit, pile.slots) == (f"queues.{room.HUB}", 1)
    assert room.slots_of(room.HUB, limits) == 5
