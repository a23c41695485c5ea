"""Whether a run is tried again, and when: the rule alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.run import FINAL, RETRIABLE, RetryRule, Run, RunSpec, RunState
from reactorhub.policies.retries import failures_in_a_row, is_tried_again, next_attempt, retry_delay
from tests.support.hubs import START

RULE = RetryRule(max_retries=3, delay=10, backoff=3, max_delay=60)


def ended(state: RunState = RunState.FAILED, rule: RetryRule | None = RULE, **spec: Any) -> Run:
    """A run that ended a minute after the start."""
    chosen = RunSpec(spider="prices", project="shop", schedule="hourly", retry=rule, **spec)
    moment = START + timedelta(minutes=1)
    return Run(id="run1", spec=chosen, created_at=START, state=state, finished_at=moment)


def test_the_next_attempt_is_the_same_run_once_more() -> None:
    """It has the same inputs and the same tick, the next number, a link, and a time to retry_delay for."""
    run = ended(args={"a": "b"}, nominal_time=START, tags=("x",), attempt=2, retry_of="run0")
    changes = {"attempt": 3, "retry_of": "run1", "not_before": START + timedelta(seconds=90)}
    assert next_attempt(run) == replace(run.spec, **changes)


@pytest.mark.parametrize(
    ("state", "on", "tried"),
    [
        (RunState.FAILED, RETRIABLE, True),
        (RunState.TIMED_OUT, RETRIABLE, True),
        (RunState.INTERRUPTED, RETRIABLE, True),
        (RunState.SUCCEEDED, RETRIABLE, False),
        (RunState.CANCELLED, RETRIABLE, False),
        (RunState.FAILED, {RunState.TIMED_OUT}, False),
        (RunState.TIMED_OUT, {RunState.TIMED_OUT}, True),
        (RunState.RUNNING, RETRIABLE, False),
    ],
)
def test_which_ends_are_tried_again(state: RunState, on: set[RunState], tried: bool) -> None:
    """Only the ends that the rule names are, and no success and no cancel ever is."""
    run = ended(state, replace(RULE, on=frozenset(on)))
    assert (next_attempt(run) is not None, is_tried_again(run)) == (tried, tried)


@pytest.mark.parametrize(("attempt", "tried"), [(1, True), (3, True), (4, False), (9, False)])
def test_retries_are_counted(attempt: int, tried: bool) -> None:
    """With ``max_retries`` of 3 there are four attempts."""
    assert is_tried_again(ended(attempt=attempt)) is tried


def test_no_rule_no_retry() -> None:
    """A run without a rule, as one that was ordered has none, is not tried again."""
    assert next_attempt(ended(rule=None)) is None
    assert next_attempt(ended(rule=replace(RULE, max_retries=0))) is None


@pytest.mark.parametrize(
    ("rule", "waits"),
    [
        (RULE, [10, 30, 60, 60]),
        (replace(RULE, backoff=1), [10, 10, 10, 10]),
        (replace(RULE, delay=100), [60, 60, 60, 60]),
        (RetryRule(), [30, 60, 120, 240]),
        (replace(RULE, backoff=100, max_delay=1e9), [10, 1_000, 100_000, 1e7]),
    ],
)
def test_waits_grow_up_to_the_longest(rule: RetryRule, waits: list[float]) -> None:
    """Each retry_delay is ``backoff`` times the one before, and none is longer than ``max_delay``."""
    assert [retry_delay(rule, attempt, "run1") for attempt in range(1, 5)] == waits


rules = st.builds(
    RetryRule,
    max_retries=st.integers(0, 100),
    delay=st.floats(0.001, 1e6),
    backoff=st.floats(1, 100),
    max_delay=st.floats(0.001, 1e6),
    jitter=st.floats(0, 1e4),
    on=st.frozensets(st.sampled_from(sorted(RETRIABLE))),
)


@given(rules, st.integers(1, 101), st.text())
def test_a_wait_has_its_bounds(rule: RetryRule, attempt: int, seed: str) -> None:
    """A retry_delay is stable, never shorter than what is due, never longer than that and the jitter."""
    plain = retry_delay(replace(rule, jitter=0.0), attempt, seed)
    assert min(rule.delay, rule.max_delay) <= plain <= rule.max_delay
    assert plain <= retry_delay(rule, attempt, seed) <= plain + rule.jitter
    assert retry_delay(rule, attempt, seed) == retry_delay(rule, attempt, seed)


def test_jitter_spreads_runs() -> None:
    """Runs that fail together are not all tried again together."""
    waits = {round(retry_delay(replace(RULE, jitter=10.0), 1, f"run{number}")) for number in range(200)}
    assert waits == set(range(10, 21))


@given(rules, st.sampled_from(sorted(FINAL)))
def test_a_chain_of_attempts_ends(rule: RetryRule, state: RunState) -> None:
    """However a run goes on ending, it has at most ``max_retries`` + 1 attempts, each later than the last."""
    run, attempts = ended(state, rule), 1
    while (spec := next_attempt(run)) is not None:
        assert spec.not_before is not None and run.finished_at is not None
        assert spec.not_before > run.finished_at
        run, attempts = replace(run, spec=spec, finished_at=spec.not_before), attempts + 1
    assert attempts == (rule.max_retries + 1 if state in rule.on else 1)


F, T, S = RunState.FAILED, RunState.TIMED_OUT, RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("newest_first", "count"),
    [
        ([], 0),
        ([S, F, F], 0),
        ([F, T, F, S, F], 3),
        ([F, RunState.CANCELLED, F, RunState.INTERRUPTED, F], 3),
        ([RunState.RUNNING, F], 1),
        ([F, F, F], 3),
    ],
)
def test_failures_in_a_row(newest_first: list[RunState], count: int) -> None:
    """A success ends the row; cancelled and interrupted runs are passed over."""
    assert failures_in_a_row([ended(state, None) for state in newest_first], None) == count


def test_a_chain_of_attempts_is_one_failure() -> None:
    """Attempts that were followed by another one do not count."""
    chain = [ended(F, replace(RULE, max_retries=2), attempt=attempt) for attempt in (3, 2, 1)]
    assert failures_in_a_row([*chain, *chain], None) == 2
    assert failures_in_a_row(chain[1:], None) == 0


def test_failures_before_a_resume() -> None:
    """What failed up to the moment at which the schedule was resumed counts no more."""
    late, early = ended(F, None), replace(ended(F, None), finished_at=START)
    assert failures_in_a_row([late, early, early], START) == 1
    assert failures_in_a_row([late, early, early], START - timedelta(seconds=1)) == 3
