"""What a due tick becomes while earlier runs of its schedule are not final."""

from __future__ import annotations

import pytest

from reactorhub.model import Overlap, Run, RunSpec, RunState
from reactorhub.overlap import refusal, waits_for_earlier
from tests.hubs import START

QUEUED, STARTING, RUNNING, STOPPING = (
    RunState.QUEUED,
    RunState.STARTING,
    RunState.RUNNING,
    RunState.STOPPING,
)


def runs(*states: RunState) -> list[Run]:
    """One run in each of these states, oldest first."""
    spec = RunSpec(spider="prices", project="shop", schedule="hourly")
    return [Run(id=f"run{n}", spec=spec, created_at=START, state=state) for n, state in enumerate(states)]


@pytest.mark.parametrize(
    ("policy", "unfinished", "says"),
    [
        (Overlap.SKIP, (), None),
        (Overlap.SKIP, (QUEUED,), "overlap is skip and run run0 is still queued"),
        (Overlap.SKIP, (STOPPING,), "overlap is skip and run run0 is still stopping"),
        (Overlap.SKIP, (RUNNING, QUEUED), "overlap is skip and run run0 is still running"),
        (Overlap.BUFFER_ONE, (), None),
        (Overlap.BUFFER_ONE, (RUNNING,), None),
        (Overlap.BUFFER_ONE, (STARTING, STOPPING), None),
        (Overlap.BUFFER_ONE, (QUEUED,), "overlap is buffer_one and run run0 already waits"),
        (Overlap.ALLOW_ALL, (), None),
        (Overlap.ALLOW_ALL, (RUNNING, QUEUED, QUEUED), None),
    ],
)
def test_refusals(policy: Overlap, unfinished: tuple[RunState, ...], says: str | None) -> None:
    """Each policy lets a tick run, or says in a sentence why not."""
    assert refusal(policy, runs(*unfinished)) == says


def test_only_buffer_one_makes_a_run_wait() -> None:
    """A buffered run waits for the earlier ones of its schedule; no other does."""
    assert [policy for policy in Overlap if waits_for_earlier(policy)] == [Overlap.BUFFER_ONE]
