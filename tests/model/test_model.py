"""The table of what a run may become, and that nothing goes around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.errors import IllegalTransition
from reactorhub.model.run import ACTIVE, FINAL, TRANSITIONS, Run, RunSpec, RunState
from tests.support.hubs import START

states = st.sampled_from(RunState)


def run(state: RunState) -> Run:
    """A run in this state."""
    return Run(id="run", spec=RunSpec(spider="prices", project="shop"), created_at=START, state=state)


def test_there_are_nine_states_each_waiting_active_or_final() -> None:
    """Every state is in the table, and is exactly one of queued, active and final."""
    assert set(TRANSITIONS) == set(RunState) and len(RunState) == 9
    for state in RunState:
        assert (state is RunState.QUEUED) + state.active + state.final == 1
    assert {state for state in RunState if state.final} == FINAL


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("to", RunState)
def test_only_what_the_table_says_happens(state: RunState, to: RunState) -> None:
    """A run moves where the table leads, and is refused, unchanged, where it does not."""
    before = run(state)
    if to in TRANSITIONS[state]:
        after = before.moved(to, reason="because")
        assert (after.state, after.reason, after.id, after.spec) == (to, "because", before.id, before.spec)
    else:
        with pytest.raises(IllegalTransition, match=f"is {state.value} and cannot become {to.value}"):
            before.moved(to)
    assert before == run(state)


@given(st.lists(states, max_size=20))
def test_final_states_never_change(wanted: list[RunState]) -> None:
    """Whatever is asked of a run, it goes forward only, and stays where it is once it is final."""
    now, seen = run(RunState.QUEUED), [RunState.QUEUED]
    for state in wanted:
        try:
            now = now.moved(state)
        except IllegalTransition:
            continue
        seen.append(now.state)
    assert len(seen) == len(set(seen)) <= 5
    assert not any(state.final for state in seen[:-1])


def test_a_run_that_waits_is_started_or_cancelled() -> None:
    """A queued run cannot end in any way that says it has crawled."""
    assert TRANSITIONS[RunState.QUEUED] == {RunState.STARTING, RunState.CANCELLED}


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_every_active_run_can_end_in_every_way(state: RunState) -> None:
    """Whatever a crawl is doing, each final state can be written down."""
    assert TRANSITIONS[state] >= FINAL
