"""What a due tick becomes while earlier runs of its schedule are not final."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Overlap, Schedule, at_once
from reactorhub.policies.overlap import (
    Decision,
    buffers,
    decide,
    older,
    replacement,
    replaces_others,
    skip_reason,
    starts_at_most,
)
from tests.support.hubs import START

QUEUED, STARTING, RUNNING, STOPPING = (
    RunState.QUEUED,
    RunState.STARTING,
    RunState.RUNNING,
    RunState.STOPPING,
)
HOUR = timedelta(hours=1)
SPEC = RunSpec(spider="prices", project="shop", schedule="hourly", nominal_time=START)


def runs(*states: RunState) -> list[Run]:
    """One run in each of these states, oldest first."""
    return [Run(id=f"run{n}", spec=SPEC, created_at=START, state=state) for n, state in enumerate(states)]


def waiting_retry() -> Run:
    """A second attempt that waits for its time."""
    return Run(id="retry", spec=replace(SPEC, attempt=2, retry_of="run0"), created_at=START)


def under(policy: Overlap, limit: int | None = None) -> Schedule:
    """A schedule with this policy."""
    return Schedule(name="hourly", spec=SPEC, overlap=policy, max_instances=limit)


@pytest.mark.parametrize("policy", list(Overlap))
def test_a_tick_runs_where_there_is_room(policy: Overlap) -> None:
    """No policy makes a tick wait, or skips it, as long as fewer runs than the limit are unfinished."""
    assert {decide(policy, limit, 2, waiting) for limit in (None, 3) for waiting in range(3)} == {
        Decision.RUN
    }


@pytest.mark.parametrize(
    ("policy", "none_waits", "one_waits"),
    [
        (Overlap.SKIP, Decision.SKIP, Decision.SKIP),
        (Overlap.ALLOW_ALL, Decision.SKIP, Decision.SKIP),
        (Overlap.BUFFER_ONE, Decision.WAIT, Decision.SKIP),
        (Overlap.BUFFER_ALL, Decision.WAIT, Decision.WAIT),
        (Overlap.CANCEL_OTHER, Decision.WAIT, Decision.WAIT),
    ],
)
def test_a_busy_schedule(policy: Overlap, none_waits: Decision, one_waits: Decision) -> None:
    """With as many unfinished runs as the limit, the policy decides, and buffer_one by who waits already."""
    assert (decide(policy, 2, 2, 0), decide(policy, 2, 2, 1)) == (none_waits, one_waits)
    assert buffers(policy) == (none_waits is Decision.WAIT)


@pytest.mark.parametrize(
    ("policy", "limit", "unfinished", "says"),
    [
        (Overlap.SKIP, None, (), None),
        (Overlap.SKIP, None, (QUEUED,), "overlap is skip and run run0 is still queued"),
        (Overlap.SKIP, None, (STOPPING,), "overlap is skip and run run0 is still stopping"),
        (Overlap.SKIP, None, (RUNNING, QUEUED), "overlap is skip and run run0 is still running"),
        (Overlap.SKIP, 2, (RUNNING,), None),
        (
            Overlap.SKIP,
            2,
            (RUNNING, QUEUED),
            "max_instances is 2 and 2 runs are not over; the oldest, run0, is still running",
        ),
        (Overlap.BUFFER_ONE, None, (), None),
        (Overlap.BUFFER_ONE, None, (RUNNING,), None),
        (Overlap.BUFFER_ONE, None, (STARTING, STOPPING), None),
        (Overlap.BUFFER_ONE, None, (QUEUED,), "overlap is buffer_one and run run0 already waits"),
        (Overlap.BUFFER_ONE, 2, (QUEUED,), None),
        (Overlap.BUFFER_ONE, 2, (RUNNING, RUNNING), None),
        (
            Overlap.BUFFER_ONE,
            2,
            (RUNNING, RUNNING, QUEUED),
            "overlap is buffer_one and run run2 already waits",
        ),
        (Overlap.BUFFER_ALL, None, (RUNNING, QUEUED, QUEUED), None),
        (Overlap.CANCEL_OTHER, None, (STOPPING, QUEUED), None),
        (Overlap.ALLOW_ALL, None, (), None),
        (Overlap.ALLOW_ALL, None, (RUNNING, QUEUED, QUEUED), None),
        (Overlap.ALLOW_ALL, 3, (RUNNING, QUEUED), None),
        (
            Overlap.ALLOW_ALL,
            3,
            (RUNNING, QUEUED, QUEUED, QUEUED),
            "max_instances is 3 and 4 runs are not over; the oldest, run0, is still running",
        ),
        (
            Overlap.ALLOW_ALL,
            1,
            (RUNNING,),
            "max_instances is 1 and a run is not over; the oldest, run0, is still running",
        ),
    ],
)
def test_refusals(policy: Overlap, limit: int | None, unfinished: tuple[RunState, ...], says: str) -> None:
    """Each policy lets a tick run, or says in a sentence why not."""
    assert skip_reason(under(policy, limit), runs(*unfinished)) == says


def test_a_retry_that_waits_is_in_the_way() -> None:
    """Under skip it is the reason; under buffer_one it is what the one run waits for."""
    says = "overlap is skip and run retry waits to be tried again, as attempt 2"
    assert skip_reason(under(Overlap.SKIP), [waiting_retry()]) == says
    assert skip_reason(under(Overlap.BUFFER_ONE), [waiting_retry()]) is None
    says = "overlap is buffer_one and run run0 already waits"
    assert skip_reason(under(Overlap.BUFFER_ONE), [waiting_retry(), *runs(QUEUED)]) == says


@pytest.mark.parametrize(
    ("policy", "limit", "at_most", "waits_among"),
    [
        (Overlap.SKIP, None, 1, None),
        (Overlap.SKIP, 4, 4, None),
        (Overlap.BUFFER_ONE, None, 1, 1),
        (Overlap.BUFFER_ALL, 2, 2, 2),
        (Overlap.CANCEL_OTHER, None, 1, 1),
        (Overlap.ALLOW_ALL, None, None, None),
        (Overlap.ALLOW_ALL, 4, 4, None),
    ],
)
def test_turns(policy: Overlap, limit: int | None, at_most: int | None, waits_among: int | None) -> None:
    """How many go on at once, and whether a run waits for its turn among them; retries never do, nor do runs
    by hand."""
    (run,) = runs(QUEUED)
    assert (at_once(under(policy, limit)), starts_at_most(under(policy, limit), run)) == (
        at_most,
        waits_among,
    )
    assert starts_at_most(under(policy, limit), waiting_retry()) is None
    assert starts_at_most(under(policy, limit), replace(run, spec=replace(SPEC, nominal_time=None))) is None
    assert starts_at_most(None, run) is None


def test_only_cancel_other_cancels() -> None:
    """A new run takes the place of others under cancel_other; a retry does not."""
    (run,) = runs(QUEUED)
    assert [each for each in Overlap if replaces_others(under(each), run)] == [Overlap.CANCEL_OTHER]
    assert not replaces_others(under(Overlap.CANCEL_OTHER), waiting_retry())
    assert not replaces_others(None, run)


def test_which_runs_came_before() -> None:
    """Those of earlier ticks, in whatever order they were made, and those by hand that were made before."""
    times = {"hand": None, "early": -1, "newer": 0, "late": 1, "retry": -2, "by hand": None}
    mates = [
        replace(
            run, id=name, spec=replace(SPEC, nominal_time=None if hours is None else START + hours * HOUR)
        )
        for run, (name, hours) in zip(runs(*[QUEUED] * 6), times.items(), strict=True)
    ]
    assert [run.id for run in older(mates[2], mates)] == ["hand", "early", "retry"]


def test_a_replaced_run_is_told_by_what() -> None:
    """The reason names the tick that takes the place."""
    stop = replacement(START)
    assert stop.state is RunState.CANCELLED
    tick = "the tick of 2026-11-21T12:00:00Z"
    assert stop.reason == f"overlap is cancel_other and {tick} takes this run's place"
