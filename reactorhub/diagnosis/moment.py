"""Explains one moment of a schedule: the row of its tick, or why there is no row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from reactorhub.diagnosis.findings import NOT_TAKEN_UP, Evidence, became, follows, over
from reactorhub.model.schedule import Schedule, ScheduleProgress, Tick
from reactorhub.policies.agenda import Missed, last_tick, plan
from reactorhub.policies.jitter import start_at
from reactorhub.triggers.cron import dst_mark, instant
from reactorhub.triggers.durations import INSTANT
from reactorhub.triggers.rules import After, Trigger
from reactorhub.triggers.window import Window

_BACK = tuple(timedelta(hours=hours) for hours in (1, 24, 24 * 32, 24 * 367, 24 * 3660))
"""How far back to search for the last tick before a moment, nearest first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a moment. ``before`` and ``after`` are the nearest ticks of the trigger."""

    moment: datetime
    kind: str
    text: str
    tick: Tick | None = None
    before: datetime | None = None
    after: datetime | None = None


def explain(evidence: Evidence, moment: datetime, row: Tick | None) -> Answer:
    """Return what became of a moment.

    :param row: the ledger's row for the moment: its own, or one that stands for several ticks.
    """
    schedule, trigger = evidence.schedule, evidence.schedule.trigger
    if row is not None and (row.nominal_time == moment or _ticks_at(trigger, moment)):
        return Answer(moment, row.outcome.value, _of_row(row, evidence), tick=row)
    if trigger is None:
        return Answer(moment, "no_trigger", "it has no trigger, so it has no times")
    if isinstance(trigger, After):
        return Answer(moment, "follows", follows(trigger))
    if not _ticks_at(trigger, moment):
        kind, text = _no_time(trigger, moment, evidence)
        before, after = time_before(trigger, moment), trigger.next_after(moment)
        near = [f"the one before is {evidence.show(before)}"] if before else []
        near += [f"the next one is {evidence.show(after)}"] if after else []
        return Answer(moment, kind, "; ".join([text, *near]), before=before, after=after)
    kind, text = _unrecorded(schedule, moment, evidence)
    return Answer(moment, kind, text)


def reading_of(given: datetime, zone: str) -> tuple[datetime, str]:
    """Return the moment of a time, and a note if the local time does not exist or occurs twice that day.

    A time without an offset is local time of the zone. A time in a gap means the end of the gap, and a
    repeated time means the first of the two.
    """
    if given.tzinfo is not None:
        return given.astimezone(UTC), ""
    whole = given.replace(microsecond=0)
    moment = instant(whole, zone)
    local = moment.astimezone(ZoneInfo(zone))
    if local.replace(tzinfo=None) != whole:
        return moment, f"{whole:%H:%M:%S} does not exist that day in {zone}; it stands for the end of the gap"
    moment += given - whole
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        return moment, f"{whole:%H:%M:%S} occurs twice that day in {zone}; this is the first time"
    return moment, ""


def time_before(trigger: Trigger, moment: datetime) -> datetime | None:
    """Return the last tick of a trigger before a moment, up to ten years back."""
    for span in _BACK:
        found = last_tick(trigger, moment - span, moment - INSTANT)
        if found is not None:
            return found
    return None


def _ticks_at(trigger: Trigger | None, moment: datetime) -> bool:
    return trigger is not None and trigger.next_after(moment - INSTANT) == moment


def _of_row(row: Tick, evidence: Evidence) -> str:
    moved = evidence.schedule.trigger and dst_mark(evidence.schedule.trigger, row.nominal_time)
    note = {
        "gap": "; its local time does not exist that day, so it was moved to the end of the gap",
        "overlap": "; its local time occurs twice that day",
    }
    run = f", as run {row.run_id}" if row.run_id else ""
    accounted = f"; recorded at {evidence.show(row.recorded_at)}"
    return f"it was {became(row)}{run}{note.get(moved or '', '')}{accounted}"


def _no_time(trigger: Trigger, moment: datetime, evidence: Evidence) -> tuple[str, str]:
    """Why a trigger has no tick at a moment."""
    if isinstance(trigger, Window) and _ticks_at(trigger.rule, moment):
        return _left_out(trigger, moment, evidence)
    if trigger.timezone is not None:
        local = moment.astimezone(ZoneInfo(trigger.timezone))
        first = local.replace(fold=0).astimezone(UTC)
        if local.fold and _ticks_at(getattr(trigger, "rule", trigger), first):
            text = "this local time occurs twice that day, and a fixed time runs only at the first"
            return "overlap", f"{text}, {evidence.show(first)}"
    return "not_a_time", f"this is not a time of {trigger.text}"


def _left_out(trigger: Window, moment: datetime, evidence: Evidence) -> tuple[str, str]:
    if trigger.start is not None and moment < trigger.start:
        return "before_start", f"this is before its start_time, {evidence.show(trigger.start)}"
    if trigger.end is not None and moment > trigger.end:
        return "after_end", f"this is after its end_time, {evidence.show(trigger.end)}"
    rules = [rule.text for rule in trigger.exclude if rule.until(moment) is not None]
    return "excluded", f"it is excluded by: {', '.join(rules)}"


def _unrecorded(schedule: Schedule, moment: datetime, evidence: Evidence) -> tuple[str, str]:
    """Why a time of the trigger has no row."""
    progress, first = evidence.progress, evidence.first
    if moment > evidence.now:
        return "future", "this is in the future"
    if progress is None:
        return "not_taken_up", NOT_TAKEN_UP
    held = _held_back(evidence, progress)
    if held is not None:
        return held
    if moment > progress.accounted_until:
        return _to_come(schedule, moment, progress.accounted_until, evidence)
    if first is None or moment < first.nominal_time:
        oldest = f"; its oldest row is that of {evidence.show(first.nominal_time)}" if first else ""
        text = "it is newer than that, or its times were edited later, or its row has expired"
        return "newer", f"{text}{oldest}"
    return "not_in_force", "it was not active then: disabled, not in the file, or with other times"


def _held_back(evidence: Evidence, progress: ScheduleProgress) -> tuple[str, str] | None:
    """Why no ticks of a schedule are recorded at present; None if they are."""
    if not evidence.schedule.enabled:
        return "disabled", "it is disabled, and the times of a disabled schedule are not recorded"
    if progress.fingerprint != evidence.fingerprint:
        return "edited", "its times in the file differ from those the hub uses; an edit is not retroactive"
    if evidence.runs_left == 0:
        return "max_runs", over(progress)
    return None


def _to_come(
    schedule: Schedule, moment: datetime, accounted_until: datetime, evidence: Evidence
) -> tuple[str, str]:
    """What will become of a tick that is not recorded yet."""
    start = start_at(schedule, moment)
    if start > evidence.now:
        return "jitter", f"it is delayed by its jitter until {evidence.show(start)}"
    if evidence.folder.running:
        return "owed", "the hub has not recorded it yet; read the hub's log if this does not change"
    fate = "would run"
    for tick in plan([(schedule, accounted_until)], evidence.now).missed:
        if _covers(tick, moment):
            fate = f"would be missed: {tick.reason}"
    return "no_hub", f"no hub is running to record it; if one were started now, it {fate}"


def _covers(missed: Missed, moment: datetime) -> bool:
    return missed.nominal_time <= moment <= (missed.until or missed.nominal_time)
