"""The simulation of the hub: the same order of runs, the same slots and the same skips."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from reactorhub.forecast.simulation import HUB, SimulatedSchedule, Simulation
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Overlap, Schedule, at_once
from reactorhub.policies.limits import Limits
from reactorhub.policies.overlap import skip_reason
from reactorhub.runs.slots import Slots

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = 3600.0


def simulated(
    name: str = "a", seconds: float = 60.0, overlap: Overlap = Overlap.ALLOW_ALL, **rules: Any
) -> SimulatedSchedule:
    """A schedule on the hub."""
    limit = None if overlap is Overlap.ALLOW_ALL else 1
    return SimulatedSchedule(
        **{"name": name, "queue": "default", "priority": 0, "limit": limit} | rules,
        seconds=seconds,
        overlap=overlap,
    )


def simulation(limit: int = 1, max_waiting: int = 100, **queues: int) -> Simulation:
    """A simulation of one hour."""
    return Simulation(Limits(limit, {"default": limit, **queues}), max_waiting, [0.0, HOUR])


orders = st.lists(
    st.tuples(
        st.integers(0, 60), st.sampled_from(["default", "heavy"]), st.integers(0, 2), st.integers(1, 20)
    ),
    max_size=25,
)


@given(orders, st.integers(1, 4), st.integers(1, 4))
def test_slots_are_handed_out_as_the_hub_does(
    wanted: list[tuple[int, str, int, int]], limit: int, heavy: int
) -> None:
    """Runs of any queue and priority get their slots in the same seconds as from the hub's own slots."""
    clock, queues = Clock(), {"default": limit, "heavy": heavy}
    slots, starts = Slots(clock, limit, queues), []

    def take(number: int, queue: str, priority: int, seconds: int) -> None:
        def begin(_: object) -> None:
            starts.append((clock.seconds(), number))
            clock.callLater(seconds, slots.release, queue)

        slots.acquire(queue, priority).addCallback(begin)

    for number, (second, *order) in enumerate(sorted(wanted)):
        clock.callLater(second, take, number, *order)
    for _ in range(700):
        clock.advance(0)
        while any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls()):
            clock.advance(0)
        clock.advance(1)
    played = Simulation(Limits(limit, queues), 1000, [0.0, HOUR])
    seen: list[float] = []
    played.meter.count_start = lambda: seen.append(played.meter.second)  # type: ignore[method-assign]
    for second, queue, priority, seconds in sorted(wanted):
        played.tick(float(second), simulated(seconds=seconds, queue=queue, priority=priority))
    played.finish(HOUR)
    assert sorted(seen) == sorted(second for second, _ in starts)
    assert len(seen) == len(wanted)


@given(
    st.sampled_from(list(Overlap)),
    st.one_of(st.none(), st.integers(1, 3)),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_a_tick_is_skipped_by_the_rule(policy: Overlap, limit: int | None, going: int, queued: int) -> None:
    """The simulation skips a tick whenever the hub does."""
    spec = RunSpec(spider="s", project="p", schedule="a")
    schedule = Schedule(name="a", spec=spec, overlap=policy, max_instances=limit)
    states = [RunState.RUNNING] * going + [RunState.QUEUED] * queued
    runs = [Run(id=str(n), spec=spec, created_at=NOW, state=state) for n, state in enumerate(states)]
    player, hub = simulated(overlap=policy, limit=at_once(schedule)), simulation(max(going, 1))
    for _ in range(going):
        hub.add_running(player, HOUR)
    for _ in range(queued):
        hub.add_queued(player)
    hub.tick(0.0, player)
    hub.advance(1.0)
    assert (player.ticks, player.skipped) == (1, skip_reason(schedule, runs) is not None)


@pytest.mark.parametrize(
    ("overlap", "ticks", "skipped", "starts", "busy"),
    [
        (Overlap.SKIP, 6, 3, 3, 270.0),
        (Overlap.BUFFER_ONE, 6, 1, 5, 450.0),
        (Overlap.BUFFER_ALL, 6, 0, 6, 540.0),
        (Overlap.CANCEL_OTHER, 6, 0, 6, 390.0),
        (Overlap.ALLOW_ALL, 6, 0, 6, 540.0),
    ],
)
def test_overlap_policies(overlap: Overlap, ticks: int, skipped: int, starts: int, busy: float) -> None:
    """Runs of 90 seconds at ticks a minute apart skip, wait, replace or go on beside each other."""
    played, player = simulation(limit=9), simulated(seconds=90.0, overlap=overlap)
    for minute in range(6):
        played.tick(minute * 60.0, player)
    played.finish(HOUR)
    (period,) = played.meter.periods
    assert (player.ticks, player.skipped) == (ticks, skipped)
    assert (period.starts, period.busy) == (starts, busy)


def test_a_contention_names_holders_and_waiters() -> None:
    """A contention has its begin, the schedules, how many runs wanted a slot, and the longest wait."""
    played = simulation(limit=2)
    for name in "abcd":
        played.tick(10.0, simulated(name))
    played.finish(HOUR)
    (contention,) = played.meter.contentions
    assert (contention.limit, contention.begin, contention.wanted, contention.longest, contention.names) == (
        HUB,
        10.0,
        4,
        60.0,
        set("abcd"),
    )


def test_the_narrower_limit_is_the_one_in_the_way() -> None:
    """A queue that is full makes its own runs wait, though the hub has slots left, and nobody else."""
    played = simulation(limit=3, heavy=1)
    for name, queue in (("a", "heavy"), ("b", "heavy"), ("c", "default")):
        played.tick(0.0, simulated(name, queue=queue))
    played.finish(HOUR)
    (contention,) = played.meter.contentions
    assert (contention.limit, contention.wanted, contention.names) == ("queues.heavy", 2, {"a", "b"})


def test_followers_start_where_runs_end() -> None:
    """A follower ticks at the end of each run that is not cancelled, through a whole chain."""
    first, second, third = (simulated(name, 60.0) for name in "abc")
    first.followers, second.followers = [second], [third]
    played = simulation(limit=9)
    for minute in (0, 10, 59):
        played.tick(minute * 60.0, first)
    played.finish(HOUR)
    assert (first.ticks, second.ticks, third.ticks) == (3, 2, 2)
    assert played.meter.periods[0].busy == 3 * 60 + 2 * 60 + 2 * 60


def test_a_full_hub_skips() -> None:
    """Beyond the runs that the hub lets wait, ticks are skipped; who comes in the same moment still waits."""
    played, player = simulation(limit=1, max_waiting=2), simulated()
    for _ in range(5):
        played.tick(0.0, player)
    played.finish(HOUR)
    assert (player.ticks, player.skipped) == (5, 3)


def test_who_has_run_often_enough_has_no_ticks() -> None:
    """A schedule with so many runs left ticks so often; skipped ticks cost none of them."""
    played, player = simulation(limit=9), simulated(seconds=90.0, overlap=Overlap.SKIP, left=2)
    for minute in range(6):
        played.tick(minute * 60.0, player)
    played.finish(HOUR)
    assert (player.ticks, player.skipped, player.left) == (3, 1, 0)


def test_runs_under_way_hold_their_slots() -> None:
    """Runs that go on at the beginning keep others waiting until they end, and those queued come first."""
    played = simulation(limit=1)
    played.add_running(simulated("old"), 100.0)
    played.add_queued(simulated("queued", seconds=50.0))
    played.tick(0.0, simulated("new"))
    played.finish(HOUR)
    (contention,) = played.meter.contentions
    assert (contention.names, contention.longest) == ({"old", "queued", "new"}, 150.0)
    assert played.meter.periods[0].busy == 100.0 + 50.0 + 60.0


def test_waits_beyond_the_end_are_known() -> None:
    """Who waits at the end goes on without further ticks, and the hours stay as they are."""
    played, player = simulation(limit=1), simulated(seconds=HOUR)
    for second in (0.0, 10.0, 20.0, HOUR + 5):
        played.tick(second, player)
    played.finish(HOUR)
    (contention,) = played.meter.contentions
    assert (contention.longest, player.ticks) == (2 * HOUR - 20.0, 3)
    assert played.meter.periods[0].busy == HOUR
