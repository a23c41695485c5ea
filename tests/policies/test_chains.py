"""Who runs after whom, what a follower is told, and schedules that would run after themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.run import FINAL, Run, RunSpec, RunState
from reactorhub.model.schedule import Schedule
from reactorhub.policies.chains import cycles, follows, spec_after
from reactorhub.triggers.rules import After, Trigger

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = "abcde"


def a_run(schedule: str | None, state: RunState = RunState.SUCCEEDED) -> Run:
    """A run of this schedule in this state."""
    spec = RunSpec(spider="prices", project="shop", schedule=schedule)
    return Run(id="0190", spec=spec, created_at=NOON, state=state)


def follower(trigger: Trigger | None) -> Schedule:
    """A schedule with this trigger."""
    return Schedule(name="report", spec=RunSpec(spider="report", project="shop"), trigger=trigger)


@pytest.mark.parametrize(
    ("schedule", "state", "expected"),
    [
        ("prices", RunState.SUCCEEDED, True),
        ("stock", RunState.SUCCEEDED, True),
        ("prices", RunState.FAILED, False),
        ("other", RunState.SUCCEEDED, False),
        (None, RunState.SUCCEEDED, False),
    ],
)
def test_follows(schedule: str | None, state: RunState, expected: bool) -> None:
    """A run of any of the schedules named, in one of the states named, starts the follower."""
    trigger = After(("prices", "stock"), ("succeeded",))
    assert follows(follower(trigger), a_run(schedule, state)) is expected


def test_a_schedule_without_upstream_follows_nobody() -> None:
    """A schedule with no such trigger runs after none."""
    assert not follows(follower(None), a_run("prices"))


def test_the_trigger_has_no_time_of_its_own() -> None:
    """Such a trigger names what it waits for, and never ticks by itself."""
    trigger = After(("prices", "stock"), ("failed", "timed_out"))
    assert (trigger.kind, trigger.text, trigger.timezone) == (
        "after",
        "prices, stock: failed, timed_out",
        None,
    )
    assert trigger.next_after(NOON) is None


def test_a_follower_is_told_of_its_upstream() -> None:
    """The facts stand in the arguments where they were asked for; all other text stays as it was written."""
    args = {
        "of": "{upstream.run_id}",
        "why": "{upstream.schedule} is {upstream.state}",
        "raw": "{x} {upstream} {{upstream.state}} {run.id}",
    }
    spec = spec_after(RunSpec(spider="report", project="shop", args=args), a_run("prices"))
    assert spec.args == {"of": "0190", "why": "prices is succeeded", "raw": args["raw"]}
    assert spec.upstream == "0190"


def test_by_hand_there_is_no_upstream() -> None:
    """A run that no other one has started finds nothing where the facts would stand."""
    spec = spec_after(RunSpec(spider="report", project="shop", args={"of": "<{upstream.run_id}>"}), None)
    assert (spec.args, spec.upstream) == ({"of": "<>"}, None)


@pytest.mark.parametrize(
    ("upstreams", "expected"),
    [
        ({"a": [], "b": ["a"], "c": ["a", "b"]}, []),
        ({"a": ["a"]}, [["a", "a"]]),
        ({"x": [], "c": ["b"], "a": ["c", "x"], "b": ["a"]}, [["c", "a", "b", "c"]]),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, [["a", "b", "a"], ["c", "d", "c"]]),
    ],
)
def test_cycles(upstreams: dict[str, list[str]], expected: list[list[str]]) -> None:
    """A cycle is told in the order of running, from the schedule that comes first in the file."""
    assert sorted(cycles(upstreams)) == expected


@given(st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES))))
def test_cycles_are_real_and_none_is_left(upstreams: dict[str, set[str]]) -> None:
    """Each step of a cycle is an upstream of the next; without the schedules told of there is no cycle."""
    known = {name: found & upstreams.keys() for name, found in upstreams.items()}
    found = list(cycles(known))
    for circle in found:
        assert all(one in known[other] for one, other in pairwise(circle))
    named = {name for circle in found for name in circle}
    left = {name: rest - named for name, rest in known.items() if name not in named}
    while free := {name for name, rest in left.items() if not rest}:
        left = {name: rest - free for name, rest in left.items() if name not in free}
    assert not left


def test_every_final_state_can_start_a_follower() -> None:
    """Each final state, and no other, can be named."""
    for state in RunState:
        trigger = After(("prices",), (state.value,))
        assert follows(follower(trigger), a_run("prices", state))
    assert {state.value for state in FINAL} == {
        "succeeded",
        "failed",
        "cancelled",
        "timed_out",
        "interrupted",
    }
