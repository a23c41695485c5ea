"""What a queued run waits for: each case alone, with the run that has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reactorhub.diagnosis.waiting import waits_for
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Overlap, Schedule
from reactorhub.policies.limits import Limits

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SPEC = RunSpec(spider="books", project="shop", schedule="a")
ONE_BY_ONE = Schedule(name="a", spec=SPEC, overlap=Overlap.BUFFER_ALL)
LIMITS = Limits(3, {"default": 3, "heavy": 1})


def run(name: str, state: RunState = RunState.QUEUED, ago: int = 0, **facts: Any) -> Run:
    """A run of the schedule, made and started so many minutes ago."""
    moment = NOW - timedelta(minutes=ago)
    started, spec = moment if state.active else None, replace(SPEC, **{"nominal_time": moment} | facts)
    return Run(id=name, spec=spec, created_at=moment, state=state, started_at=started)


def told(waiting: Run, *others: Run, schedule: Schedule = ONE_BY_ONE) -> str:
    """What is said of a run that came last."""
    return waits_for(waiting, schedule, [*others, waiting], LIMITS, lambda moment: f"{moment:%H:%M}")


GOING, OTHER = RunState.RUNNING, {"schedule": "b"}


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ([run("r1", GOING, 5)], "for its turn: run r1 is running since 11:55"),
        ([run("r1", RunState.STOPPING, 5)], "for its turn: run r1 is stopping since 11:55"),
        ([run("r1", ago=2)], "for its turn: run r1 waits since 11:58"),
        (
            [run("r2", retry_of="r1", attempt=2)],
            "for its turn: run r2 waits to be tried again, as attempt 2",
        ),
        (
            [run("r1", GOING, 5, **OTHER), run("r2", GOING, 9, **OTHER), run("r3", GOING, **OTHER)],
            "for a slot of queue default (3 of 3 taken, the longest by run r2 of schedule b since 11:51)",
        ),
        ([run("r1", GOING, **OTHER), run("r2", **OTHER)], "for a slot of queue default"),
        ([], "for a slot of queue default"),
    ],
)
def test_each_case_alone(others: list[Run], text: str) -> None:
    """Its turn comes before its slot, a full queue before a full hub; the run that has it is named."""
    assert told(run("w"), *others) == text


def test_a_queue_of_its_own() -> None:
    """A queue may be full while the hub is not, and the hub while the queue is not."""
    waiting = run("w", queue="heavy")
    busy = run("r1", GOING, 1, schedule=None, queue="heavy")
    text = "for a slot of queue heavy (1 of 1 taken, the longest by run r1 of spider books since 11:59)"
    assert told(waiting, busy) == text
    crowd = [run(f"r{number}", GOING, number, **OTHER) for number in range(3)]
    full = "for a slot of the hub (3 of 3 taken, the longest by run r2 of schedule b since 11:58)"
    assert told(waiting, *crowd) == full


def test_who_came_later_is_not_in_the_way() -> None:
    """A run that came later and waits does not go first; a further attempt, or one that goes on, does."""
    waiting = run("w")
    for later, turn in ((run("x"), False), (run("x", GOING), True), (run("x", retry_of="r0"), True)):
        text = waits_for(waiting, ONE_BY_ONE, [waiting, later], LIMITS, str)
        assert text.startswith("for its turn") is turn


def test_a_run_that_waits_for_nobody() -> None:
    """Under skip, as a further attempt, and if ordered by hand, a run waits for a slot only."""
    going = run("r1", GOING)
    assert told(run("w"), going, schedule=Schedule(name="a", spec=SPEC)).startswith("for a slot")
    assert told(run("w", retry_of="r0"), going).startswith("for a slot")
    assert told(run("w", nominal_time=None), going).startswith("for a slot")
