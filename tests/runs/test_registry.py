"""Which runs are not final: announced, joined, left."""

from __future__ import annotations

from reactorhub.model.run import Run, RunSpec
from reactorhub.runs.lifecycle import Lifecycle
from reactorhub.runs.registry import RunRegistry
from tests.support.hubs import START, HubHarness


def a_run(name: str, schedule: str | None = "a") -> Run:
    """A run of this id and schedule."""
    return Run(id=name, spec=RunSpec(spider="prices", project="shop", schedule=schedule), created_at=START)


def ids(registry: RunRegistry, schedule: str = "a") -> list[str]:
    """The ids of a schedule's runs."""
    return [run.id for run in registry.of(schedule)]


def test_an_announced_run_counts_at_once() -> None:
    """It is among its schedule's runs, but not yet among the live ones."""
    registry = RunRegistry()
    registry.reserve(a_run("1"))
    assert (ids(registry), list(registry.live_runs), len(registry)) == (["1"], [], 1)


def test_a_run_joins_and_leaves() -> None:
    """One that was announced keeps its place when it joins, and counts once; its end counts no more."""
    registry, services = RunRegistry(), HubHarness().services
    live_runs = [Lifecycle(a_run(name), services) for name in "123"]
    registry.reserve(live_runs[0].run)
    for live_run in reversed(live_runs):
        registry.add(live_run)
    assert (ids(registry), list(registry.live_runs), len(registry)) == (["1", "3", "2"], ["3", "2", "1"], 3)
    registry.ending(live_runs[2].run)
    assert (ids(registry), len(registry)) == (["1", "3", "2"], 2)
    registry.remove(live_runs[2].run)
    assert (ids(registry), len(registry)) == (["1", "2"], 2)


def test_a_run_that_nothing_came_of_is_withdrawn() -> None:
    """It counts no more; a run that has joined stays, and one never announced is ignored."""
    registry, live_run = RunRegistry(), Lifecycle(a_run("2"), HubHarness().services)
    registry.reserve(a_run("1"))
    registry.add(live_run)
    for run in (a_run("1"), live_run.run, a_run("3")):
        registry.withdraw(run)
    assert (ids(registry), len(registry)) == (["2"], 1)


def test_schedules_are_apart_and_nothing_is_left_of_them() -> None:
    """Runs without a schedule are in no schedule's list; empty lists are forgotten."""
    registry = RunRegistry()
    runs = [a_run("1"), a_run("2", "b"), a_run("3", None)]
    for run in runs:
        registry.reserve(run)
    assert (ids(registry), ids(registry, "b"), ids(registry, "c"), len(registry)) == (["1"], ["2"], [], 3)
    for run in runs:
        registry.withdraw(run)
    assert (len(registry), registry._by_schedule) == (0, {})


def test_the_life_tells_how_a_run_stands() -> None:
    """Once a run has joined its state is the live one."""
    registry, harness = RunRegistry(), HubHarness()
    live_run = Lifecycle(a_run("1"), harness.services)
    registry.add(live_run)
    harness.ledger.add_run(live_run.run)
    live_run.begin()
    harness.turn()
    (run,) = registry.of("a")
    assert run.state.active
