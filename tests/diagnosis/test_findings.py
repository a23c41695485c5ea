"""What keeps a schedule from running: each finding alone, and the words it is told in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reactorhub.diagnosis.findings import DataFolderState, Evidence, findings
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Schedule, ScheduleProgress, Tick, TickOutcome
from reactorhub.policies.fingerprint import fingerprint
from reactorhub.policies.limits import Limits
from reactorhub.policies.overlap import PAUSED
from reactorhub.triggers.rules import After, Interval, Once
from reactorhub.triggers.window import Window

NOW = datetime(2026, 11, 22, 12, 20, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SPEC = RunSpec(spider="s", project="p", schedule="a")
HOURLY = Schedule(name="a", spec=SPEC, trigger=Interval(HOUR))
RUNNING = DataFolderState(folder="/var/hub", running=True, pid=7, http="http://127.0.0.1:6800")
GONE = DataFolderState(folder="/var/hub", running=False, written_at=NOW - 3 * HOUR)


def evidence(schedule: Schedule = HOURLY, folder: DataFolderState = RUNNING, **facts: Any) -> Evidence:
    """What is known of a schedule in whose way nothing is, but for the facts."""
    accounted_until = NOW - 20 * MINUTE
    progress = ScheduleProgress(
        name="a",
        fingerprint=fingerprint(schedule),
        accounted_until=accounted_until,
        **facts.pop("progress", {}),
    )
    return Evidence(
        **{
            "schedule": schedule,
            "fingerprint": fingerprint(schedule),
            "folder": folder,
            "now": NOW,
            "zone": "Europe/Berlin",
            "progress": progress,
        }
        | facts
    )


def tick(
    ago: timedelta, outcome: TickOutcome = TickOutcome.SKIPPED, reason: str | None = None, **facts: Any
) -> Tick:
    """A row of the ledger."""
    moment = NOW - ago
    rest = {"run_id": None, "recorded_at": moment} | facts
    return Tick(schedule="a", nominal_time=moment, outcome=outcome, reason=reason, **rest)


def run(state: RunState, reason: str | None = None, **facts: Any) -> Run:
    """A run of an hour ago."""
    return Run(**{"id": "r1", "spec": SPEC, "created_at": NOW - HOUR} | facts, state=state, reason=reason)


def due(schedule: Schedule, **facts: Any) -> Evidence:
    """A schedule whose tick of this hour is not accounted for yet."""
    known = evidence(schedule, **facts)
    assert known.progress is not None
    return replace(known, progress=replace(known.progress, accounted_until=NOW - HOUR))


@pytest.mark.parametrize(
    ("known", "kind", "words"),
    [
        (evidence(), "in_order", "all is in order; its next time is Sun 2026-11-22 14:00:00 CET"),
        (
            evidence(folder=GONE),
            "no_hub",
            "no hub is running on /var/hub; its ledger was last written at Sun 2026-11-22 10:20:00 CET",
        ),
        (evidence(replace(HOURLY, enabled=False)), "disabled", "it is disabled; set enabled: true"),
        (
            evidence(replace(HOURLY, trigger=None)),
            "no_trigger",
            "it has no trigger; it runs when it is triggered",
        ),
        (
            evidence(replace(HOURLY, trigger=After(("x", "y"), ("failed",)))),
            "follows",
            "it has no times of its own: it runs when a run of x or y ends as failed",
        ),
        (
            evidence(replace(HOURLY, trigger=Once(NOW - HOUR))),
            "ended",
            "2026-11-22T11:20:00Z has no future time",
        ),
        (
            evidence(replace(HOURLY, trigger=Window(Interval(HOUR), end=NOW))),
            "ended",
            "1h up to end_time has no future time; change it",
        ),
        (
            evidence(replace(HOURLY, trigger=Window(Interval(HOUR), start=NOW + HOUR))),
            "not_begun",
            "it has no time before its start_time, Sun 2026-11-22 14:20:00 CET",
        ),
        (
            evidence(replace(HOURLY, max_runs=3), progress={"runs": 3}),
            "max_runs",
            "it is finished: 3 of its ticks have run",
        ),
        (
            replace(evidence(), progress=None),
            "not_taken_up",
            "no hub has loaded it",
        ),
        (
            replace(evidence(), fingerprint="another"),
            "edited",
            "its times in the file differ from those the hub uses",
        ),
        (evidence(progress={"paused": True}), "paused", "it is paused: by an operator; resume it with POST"),
        (
            replace(evidence(), progress=replace(evidence().progress, accounted_until=NOW - 2 * HOUR)),  # type: ignore[type-var]
            "owed",
            "its tick of Sun 2026-11-22 12:00:00 CET is overdue, and the hub has not recorded it",
        ),
        (
            evidence(ticks=(tick(HOUR, reason="overlap is skip and run x is still running"),)),
            "last_skipped",
            "its newest tick, Sun 2026-11-22 12:20:00 CET, was skipped: overlap is skip and run x",
        ),
        (
            evidence(ticks=(tick(9 * HOUR, TickOutcome.MISSED, "7 more ticks missed", until=NOW - HOUR),)),
            "last_missed",
            "its newest tick, Sun 2026-11-22 12:20:00 CET, was missed: 7 more ticks missed",
        ),
        (
            evidence(last_run=run(RunState.FAILED, "no items")),
            "last_failed",
            "its newest run, r1, failed: no items",
        ),
        (evidence(last_run=run(RunState.TIMED_OUT)), "last_timed_out", "its newest run, r1, timed out"),
        (
            evidence(last_run=run(RunState.INTERRUPTED)),
            "last_interrupted",
            "its newest run, r1, was interrupted",
        ),
        (
            evidence(last_run=run(RunState.QUEUED)),
            "waiting",
            "its run r1 waits since Sun 2026-11-22 12:20:00 CET for its turn or for a slot of queue default",
        ),
        (
            evidence(folder=GONE, last_run=run(RunState.QUEUED)),
            "waiting",
            "its run r1 waits since Sun 2026-11-22 12:20:00 CET, and continues once a hub runs",
        ),
        (
            evidence(last_run=run(RunState.QUEUED), limits=Limits(1), unfinished=(run(RunState.RUNNING),)),
            "waiting",
            "its run r1 waits since Sun 2026-11-22 12:20:00 CET for a slot of queue default (1 of 1 taken",
        ),
        (
            due(replace(HOURLY, jitter=30 * MINUTE)),
            "jitter",
            "its tick of Sun 2026-11-22 13:00:00 CET is delayed by its jitter until Sun 2026-11-22 13:28:20",
        ),
        (
            evidence(last_run=run(RunState.QUEUED, spec=replace(SPEC, not_before=NOW + MINUTE))),
            "waiting",
            "its run r1 waits until Sun 2026-11-22 13:21:00 CET to be tried again",
        ),
        (
            evidence(last_run=run(RunState.RUNNING, started_at=NOW)),
            "running",
            "its run r1 is running since Sun 2026-11-22 13:20:00 CET",
        ),
    ],
)
def test_each_finding_alone(known: Evidence, kind: str, words: str) -> None:
    """What is in the way is one finding, with its kind and a sentence; nothing else is said of it."""
    (finding,) = (each for each in findings(known) if each.kind != "no_hub" or kind == "no_hub")
    assert finding.kind == kind and finding.text.startswith(words)


def test_all_that_is_in_the_way_is_told() -> None:
    """Several things come together, those of the hub first, then of the file, then of the ledger."""
    known = evidence(
        replace(HOURLY, enabled=False), GONE, progress={"paused": True}, last_run=run(RunState.FAILED, "boom")
    )
    assert [each.kind for each in findings(known)] == ["no_hub", "disabled", "paused", "last_failed"]


def test_a_pause_tells_since_when_ticks_are_skipped_for_it() -> None:
    """The oldest of the newest ticks that were skipped for the pause dates it, and none is told twice."""
    ticks = (
        *(tick(n * HOUR, reason=f"{PAUSED}too many") for n in (1, 2, 3)),
        tick(4 * HOUR, TickOutcome.RUN),
    )
    (finding,) = findings(evidence(ticks=ticks, progress={"paused": True, "paused_reason": "too many"}))
    assert finding.text.startswith(
        "it is paused: too many; its ticks are skipped since Sun 2026-11-22 10:20:00 CET"
    )


def test_a_pause_lasts_while_no_hub_runs() -> None:
    """Ticks that were missed meanwhile do not end a pause; one that ran does."""
    ticks = (
        tick(HOUR, reason=f"{PAUSED}too many"),
        tick(2 * HOUR, TickOutcome.MISSED, "the hub was not running"),
        tick(3 * HOUR, reason=f"{PAUSED}too many"),
        tick(4 * HOUR, TickOutcome.RUN),
        tick(5 * HOUR, reason=f"{PAUSED}too many"),
    )
    (finding,) = findings(evidence(ticks=ticks, progress={"paused": True, "paused_reason": "too many"}))
    assert "its ticks are skipped since Sun 2026-11-22 10:20:00 CET;" in finding.text


@pytest.mark.parametrize(
    ("newest", "words"),
    [
        (None, "there is no run of x"),
        (run(RunState.FAILED, "no items"), "the newest of x, r1, failed: no items"),
        (run(RunState.CANCELLED, "by hand"), "the newest of x, r1, was cancelled: by hand"),
        (run(RunState.SUCCEEDED), "the newest of x, r1, succeeded"),
        (run(RunState.RUNNING), "the newest of x, r1, is running"),
    ],
)
def test_a_follower_tells_how_the_newest_run_before_it_stands(newest: Run | None, words: str) -> None:
    """Whether the other schedule has run, and how that ended, is in the same sentence."""
    (finding,) = findings(
        evidence(replace(HOURLY, trigger=After(("x",), ("succeeded",))), upstream={"x": newest})
    )
    assert finding.text == f"it has no times of its own: it runs when a run of x ends as succeeded; {words}"


def test_a_paused_tick_does_not_wait_for_its_jitter() -> None:
    """What will be skipped for a pause is told as paused only; later than its jitter it is owed."""
    jittery = replace(HOURLY, jitter=30 * MINUTE)
    (finding,) = findings(due(jittery, progress={"paused": True}))
    assert finding.kind == "paused"
    (finding,) = findings(replace(due(jittery), now=NOW + 30 * MINUTE))
    assert finding.kind == "owed"


def test_a_pause_that_is_over_is_still_a_reason() -> None:
    """A tick that was skipped for a pause is reported even if the schedule has been resumed since."""
    (finding,) = findings(evidence(ticks=(tick(HOUR, reason=f"{PAUSED}by an operator"),)))
    assert finding.kind == "last_skipped" and "the schedule is paused: by an operator" in finding.text


def test_an_edited_schedule_has_all_its_runs_left() -> None:
    """What it has run under another "when" no longer counts for max_runs."""
    known = evidence(replace(HOURLY, max_runs=3), progress={"runs": 3})
    assert (known.runs_left, replace(known, fingerprint="new").runs_left) == (0, 3)


@pytest.mark.parametrize(
    "known",
    [
        evidence(folder=GONE, last_run=run(RunState.RUNNING)),
        evidence(last_run=run(RunState.SUCCEEDED)),
    ],
)
def test_what_is_no_obstacle_is_not_told(known: Evidence) -> None:
    """A run that died with its hub, and one that succeeded, say nothing."""
    assert {each.kind for each in findings(known)} <= {"in_order", "no_hub"}
