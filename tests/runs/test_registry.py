"""Which runs are not final: announced, joined, left."""

from __future__ import annotations

from reactorhub.model.run import Run, RunSpec
from reactorhub.runs.lifecycle import Lifecycle
from reactorhub.runs.registry import Roster
from tests.support.hubs import START, Bench


def a_run(name: str, schedule: str | None = "a") -> Run:
    """A run of this id and schedule."""
    return Run(id=name, spec=RunSpec(spider="prices", project="shop", schedule=schedule), created_at=START)


def ids(roster: Roster, schedule: str = "a") -> list[str]:
    """The ids of a schedule's runs."""
    return [run.id for run in roster.of(schedule)]


def test_an_announced_run_counts_at_once() -> None:
    """It is among its schedule's runs, but not yet among the lives."""
    roster = Roster()
    roster.announce(a_run("1"))
    assert (ids(roster), list(roster.live_runs), len(roster)) == (["1"], [], 1)


def test_a_run_joins_and_leaves() -> None:
    """One that was announced keeps its place when it joins, and counts once; its end counts no more."""
    roster, services = Roster(), Bench().services
    live_runs = [Lifecycle(a_run(name), services) for name in "123"]
    roster.announce(live_runs[0].run)
    for live_run in reversed(live_runs):
        roster.join(live_run)
    assert (ids(roster), list(roster.live_runs), len(roster)) == (["1", "3", "2"], ["3", "2", "1"], 3)
    roster.ending(live_runs[2].run)
    assert (ids(roster), len(roster)) == (["1", "3", "2"], 2)
    roster.leave(live_runs[2].run)
    assert (ids(roster), len(roster)) == (["1", "2"], 2)


def test_a_run_that_nothing_came_of_is_withdrawn() -> None:
    """It counts no more; a run that has joined stays, and one never announced is no mistake."""
    roster, live_run = Roster(), Lifecycle(a_run("2"), Bench().services)
    roster.announce(a_run("1"))
    roster.join(live_run)
    for run in (a_run("1"), live_run.run, a_run("3")):
        roster.withdraw(run)
    assert (ids(roster), len(roster)) == (["2"], 1)


def test_schedules_are_apart_and_nothing_is_left_of_them() -> None:
    """Runs without a schedule are in no schedule's list; empty lists are forgotten."""
    roster = Roster()
    runs = [a_run("1"), a_run("2", "b"), a_run("3", None)]
    for run in runs:
        roster.announce(run)
    assert (ids(roster), ids(roster, "b"), ids(roster, "c"), len(roster)) == (["1"], ["2"], [], 3)
    for run in runs:
        roster.withdraw(run)
    assert (len(roster), roster._by_schedule) == (0, {})


def test_the_life_tells_how_a_run_stands() -> None:
    """Once a run has joined its state is the live one."""
    roster, bench = Roster(), Bench()
    live_run = Lifecycle(a_run("1"), bench.services)
    roster.join(live_run)
    bench.ledger.add_run(live_run.run)
    live_run.begin()
    bench.turn()
    (run,) = roster.of("a")
    assert run.state.active
