"""Finds the reasons why a schedule does not run now, or did not run the last time.

Each finding has a ``kind`` for programs and a sentence for people, which says what to do if possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reactorhub.diagnosis.waiting import waits_for
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import Schedule, ScheduleProgress, Tick, TickOutcome
from reactorhub.policies.agenda import ON_TIME
from reactorhub.policies.jitter import start_at
from reactorhub.policies.limits import Limits
from reactorhub.policies.overlap import PAUSED
from reactorhub.triggers.rules import After, Trigger
from reactorhub.triggers.wall_clock import local_text
from reactorhub.triggers.window import Window, end_of

NOT_TAKEN_UP = "no hub has loaded it yet; start the hub, or let it reload the file"

_HANDS = "it runs when it is triggered by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolderState:
    """The state of a data folder: the hub that uses it, if any, and when its ledger was last written."""

    folder: str
    running: bool
    pid: int | None = None
    http: str | None = None
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a schedule.

    ``fingerprint`` is that of the schedule in the file. ``ticks`` are the newest ticks, newest first, and
    ``first`` is the oldest one in the ledger. Times are shown in ``zone``. ``upstream`` has the newest run of
    each schedule that this one runs after. ``unfinished`` are all runs that are queued or hold a slot.
    """

    schedule: Schedule
    fingerprint: str
    folder: DataFolderState
    now: datetime
    zone: str
    progress: ScheduleProgress | None = None
    ticks: Sequence[Tick] = ()
    first: Tick | None = None
    last_run: Run | None = None
    upstream: Mapping[str, Run | None] = field(default_factory=dict)
    unfinished: Sequence[Run] = ()
    limits: Limits | None = None

    @property
    def runs_left(self) -> int | None:
        """How many ticks may still become runs; None for any number. After an edit of the trigger the count
        starts again."""
        counted = self.progress is not None and self.progress.fingerprint == self.fingerprint
        return self.schedule.runs_left(self.progress.runs if self.progress and counted else 0)

    def show(self, moment: datetime) -> str:
        """Return a moment as the commands show it."""
        return local_text(moment, self.zone)


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a schedule does not run, or that all is in order."""

    kind: str
    text: str


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """Return the reasons why a schedule does not run, or did not the last time; at least one finding."""
    found = (*_of_the_hub(evidence), *_of_the_file(evidence), *_of_the_ledger(evidence))
    if found:
        return found
    trigger = evidence.schedule.trigger
    coming = trigger.next_after(evidence.now) if trigger else None
    when = f"; its next time is {evidence.show(coming)}" if coming else ""
    return (Finding("in_order", f"all is in order{when}"),)


def _of_the_hub(evidence: Evidence) -> Iterator[Finding]:
    hub = evidence.folder
    if not hub.running:
        last = f"; its ledger was last written at {evidence.show(hub.written_at)}" if hub.written_at else ""
        yield Finding("no_hub", f"no hub is running on {hub.folder}{last}; start one with twistd reactorhub")


def _of_the_file(evidence: Evidence) -> Iterator[Finding]:
    schedule, trigger, progress = evidence.schedule, evidence.schedule.trigger, evidence.progress
    if not schedule.enabled:
        yield Finding("disabled", "it is disabled; set enabled: true, or remove that key")
    if trigger is None:
        yield Finding("no_trigger", f"it has no trigger; {_HANDS}")
        return
    if isinstance(trigger, After):
        newest = "".join(f"; {_newest(name, run)}" for name, run in evidence.upstream.items())
        yield Finding("follows", f"{follows(trigger)}{newest}")
    elif trigger.next_after(evidence.now) is None:
        yield Finding("ended", f"{_text(trigger)} has no future time; change it, or remove the schedule")
    elif isinstance(trigger, Window) and trigger.start is not None and trigger.start > evidence.now:
        yield Finding("not_begun", f"it has no time before its start_time, {evidence.show(trigger.start)}")
    if progress is not None and evidence.runs_left == 0:
        yield Finding("max_runs", over(progress))
    if progress is None:
        yield Finding("not_taken_up", NOT_TAKEN_UP)
    elif progress.fingerprint != evidence.fingerprint:
        yield Finding(
            "edited", "its times in the file differ from those the hub uses; start the hub, or let it reload"
        )


def follows(trigger: After) -> str:
    """Word after which runs a schedule runs."""
    upstream, states = " or ".join(trigger.upstream), " or ".join(trigger.states)
    return f"it has no times of its own: it runs when a run of {upstream} ends as {states}"


def _newest(name: str, run: Run | None) -> str:
    """Word the state of the newest run of a schedule."""
    if run is None:
        return f"there is no run of {name}"
    stands = f"{_ended(run)}{_reason(run)}" if run.state.final else f"is {run.state.value}"
    return f"the newest of {name}, {run.id}, {stands}"


def _of_the_ledger(evidence: Evidence) -> Iterator[Finding]:
    progress, newest = evidence.progress, next(iter(evidence.ticks), None)
    if progress is not None and progress.paused:
        yield Finding("paused", f"it is paused: {progress.why_paused}{_since(evidence)}")
    yield from _of_the_tick_due(evidence)
    if newest is not None and newest.outcome is not TickOutcome.RUN and not _is_of_pause(newest, progress):
        when = evidence.show(newest.until or newest.nominal_time)
        yield Finding(f"last_{newest.outcome.value}", f"its newest tick, {when}, was {became(newest)}")
    if evidence.last_run is not None:
        yield from _of_the_run(evidence.last_run, evidence)


def over(progress: ScheduleProgress) -> str:
    """Word that a schedule has run as often as it may."""
    return f"it is finished: {progress.runs} of its ticks have run, and max_runs allows no more"


def _since(evidence: Evidence) -> str:
    """Word since when ticks have been skipped because of a pause. Ticks missed while no hub ran do not
    end the pause."""
    first = None
    for tick in evidence.ticks:
        if (tick.reason or "").startswith(PAUSED):
            first = tick
        elif tick.outcome is not TickOutcome.MISSED:
            break
    since = f"; its ticks are skipped since {evidence.show(first.nominal_time)}" if first else ""
    return f"{since}; resume it with POST /api/schedules/{evidence.schedule.name}/resume"


def _is_of_pause(tick: Tick, progress: ScheduleProgress | None) -> bool:
    """Whether a tick was skipped because of a pause that still lasts."""
    return progress is not None and progress.paused and (tick.reason or "").startswith(PAUSED)


def became(tick: Tick) -> str:
    """Word what became of a tick, and why."""
    return f"{tick.outcome.value}: {tick.reason}" if tick.reason else tick.outcome.value


def _of_the_tick_due(evidence: Evidence) -> Iterator[Finding]:
    """The finding about the first tick that the running hub has not recorded yet."""
    schedule, progress = evidence.schedule, evidence.progress
    if not evidence.folder.running or progress is None or progress.fingerprint != evidence.fingerprint:
        return
    trigger = schedule.trigger if schedule.enabled and evidence.runs_left != 0 else None
    tick = trigger.next_after(progress.accounted_until) if trigger else None
    if tick is None or tick > evidence.now:
        return
    start, when = start_at(schedule, tick), evidence.show(tick)
    if start + ON_TIME < evidence.now:
        text = f"its tick of {when} is overdue, and the hub has not recorded it"
        yield Finding("owed", f"{text}; read the hub's log")
    elif start > evidence.now and not progress.paused:
        yield Finding("jitter", f"its tick of {when} is delayed by its jitter until {evidence.show(start)}")


def _of_the_run(run: Run, evidence: Evidence) -> Iterator[Finding]:
    """The finding about the newest run. Without a hub, a run that is running in the ledger does not run."""
    if run.state is RunState.QUEUED:
        yield Finding("waiting", f"its run {run.id} waits {_waits(run, evidence)}")
    elif run.state.active and evidence.folder.running:
        since = f" since {evidence.show(run.started_at)}" if run.started_at else ""
        yield Finding("running", f"its run {run.id} is {run.state.value}{since}")
    elif run.state.final and run.state is not RunState.SUCCEEDED:
        yield Finding(f"last_{run.state.value}", f"its newest run, {run.id}, {_ended(run)}{_reason(run)}")


def _waits(run: Run, evidence: Evidence) -> str:
    until, since = run.spec.not_before, f"since {evidence.show(run.created_at)}"
    if until is not None and until > evidence.now:
        return f"until {evidence.show(until)} to be tried again"
    if not evidence.folder.running:
        return f"{since}, and continues once a hub runs"
    if evidence.limits is None:
        return f"{since} for its turn or for a slot of queue {run.spec.queue}"
    what = waits_for(run, evidence.schedule, evidence.unfinished, evidence.limits, evidence.show)
    return f"{since} {what}"


def _reason(run: Run) -> str:
    return f": {run.reason}" if run.reason else ""


def _ended(run: Run) -> str:
    words = {RunState.SUCCEEDED: "succeeded", RunState.FAILED: "failed", RunState.TIMED_OUT: "timed out"}
    return words.get(run.state, f"was {run.state.value}")


def _text(trigger: Trigger) -> str:
    end = end_of(trigger)
    return f"{trigger.text} up to end_time" if end is not None else trigger.text
