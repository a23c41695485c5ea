"""The JSON views of runs, ticks, schedules and batches, which the API, Redis and events share.

Times are RFC 3339 in UTC with microseconds and ``Z``; absent values are null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from reactorhub.model.batch import Batch
from reactorhub.model.code import ProjectCode
from reactorhub.model.notification import NotificationKind, NotifyRule
from reactorhub.model.placeholders import filled_args
from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.model.schedule import Schedule, Tick, at_once
from reactorhub.model.values import View, _redacted_value, redacted, stats_view, time_text
from reactorhub.triggers.rules import Trigger
from reactorhub.triggers.window import Window


def run_view(run: Run, stats: Mapping[str, Any] | None = None, errors: int | None = None) -> View:
    """Return the view of a run; ``stats`` and ``errors`` are those of a live crawl."""
    spec, link = run.spec, f"/api/runs/{run.id}"
    return {
        "id": run.id,
        "spider": spec.spider,
        "project": spec.project,
        "schedule": spec.schedule,
        "nominal_time": time_text(spec.nominal_time),
        "state": run.state.value,
        "reason": run.reason,
        "attempt": spec.attempt,
        "retry_of": spec.retry_of,
        "batch": spec.batch,
        "upstream": spec.upstream,
        "queue": spec.queue,
        "priority": spec.priority,
        "args": redacted(filled_args(run)),
        "settings": redacted(spec.settings),
        "tags": list(spec.tags),
        "timeout": spec.timeout,
        "expect": dict(spec.expect),
        "created_at": time_text(run.created_at),
        "not_before": time_text(spec.not_before),
        "started_at": time_text(run.started_at),
        "finished_at": time_text(run.finished_at),
        "finish_reason": run.finish_reason,
        "errors": run.errors if errors is None else errors,
        "error": run.error,
        "isolated": run.isolated,
        "isolated_because": run.isolated_because,
        "memory_limit": spec.memory_limit,
        "pid": run.pid,
        "stats": stats_view(run.stats if stats is None else stats),
        "links": {name: f"{link}/{name}" for name in ("log", "items", "stats")},
    }


def batch_view(batch: Batch, states: Mapping[RunState, int]) -> View:
    """Return the view of a batch; ``states`` counts its runs by state."""
    return {
        "id": batch.id,
        "created_at": time_text(batch.created_at),
        "finished_at": time_text(batch.finished_at),
        "done": batch.finished_at is not None,
        "total": sum(states.values()),
        "runs": {state.value: states[state] for state in RunState if states.get(state)},
        "on_complete": _redacted_value(batch.on_complete),
        "completion": batch.completion,
        "links": {"runs": f"/api/runs?batch={batch.id}"},
    }


def tick_view(tick: Tick) -> View:
    """Return the view of a tick; a row that stands for several missed ticks has ``until``."""
    return {
        "schedule": tick.schedule,
        "nominal_time": time_text(tick.nominal_time),
        "until": time_text(tick.until),
        "outcome": tick.outcome.value,
        "reason": tick.reason,
        "run_id": tick.run_id,
        "recorded_at": time_text(tick.recorded_at),
    }


def schedule_view(
    schedule: Schedule,
    upcoming: Sequence[datetime],
    paused: bool = False,
    paused_reason: str | None = None,
    *,
    last_run: Run | None = None,
    runs_left: int | None = None,
) -> View:
    """Return the view of a schedule: its definition and its present state.

    :param runs_left: how many of its ticks may still become runs; None for any number.
    """
    spec, trigger = schedule.spec, schedule.trigger
    return {
        "name": schedule.name,
        "spider": spec.spider,
        "project": spec.project,
        "trigger": trigger and {"kind": trigger.kind, "text": trigger.text, "timezone": trigger.timezone},
        "enabled": schedule.enabled,
        "paused": paused,
        "paused_reason": paused_reason,
        "next": [time_text(moment) for moment in upcoming],
        "last_run": last_run and run_view(last_run),
        "drift": {"paused": True} if paused else {},
        **_spec_view(spec),
        "overlap": schedule.overlap.value,
        "max_instances": at_once(schedule),
        "retry": spec.retry and retry_view(spec.retry),
        "pause_on_failure": schedule.pause_on_failure,
        "max_runs": schedule.max_runs,
        "runs_left": runs_left,
        "expect": dict(spec.expect),
        "catchup": schedule.catchup.value,
        "catchup_window": schedule.catchup_window.total_seconds(),
        "max_catchup": schedule.max_catchup,
        "jitter": schedule.jitter.total_seconds(),
        **_bounds_view(trigger),
        "notify": schedule.notify and notify_view(schedule.notify),
        "run_on_start": schedule.run_on_start,
    }


def _spec_view(spec: RunSpec) -> View:
    """Return what schedules have in common with their runs."""
    return {
        "args": redacted(spec.args),
        "settings": redacted(spec.settings),
        "queue": spec.queue,
        "priority": spec.priority,
        "tags": list(spec.tags),
        "timeout": spec.timeout,
        "stop_grace": spec.stop_grace,
        "isolate": spec.isolate.value,
        "memory_limit": spec.memory_limit,
    }


def _bounds_view(trigger: Trigger | None) -> View:
    """Return the window of a trigger; nulls if it has none."""
    bounds = trigger if isinstance(trigger, Window) else None
    return {
        "start_time": time_text(bounds.start) if bounds else None,
        "end_time": time_text(bounds.end) if bounds else None,
        "exclude": [rule.text for rule in bounds.exclude] if bounds else [],
    }


def retry_view(rule: RetryRule) -> View:
    """Return the view of a retry rule."""
    return {
        "max_retries": rule.max_retries,
        "delay": rule.delay,
        "backoff": rule.backoff,
        "max_delay": rule.max_delay,
        "jitter": rule.jitter,
        "on": [state.value for state in RunState if state in rule.on],
    }


def notify_view(rule: NotifyRule) -> View:
    """Return the view of the channels that a schedule notifies, and of which events."""
    return {"to": list(rule.to), "on": [kind.value for kind in NotificationKind if kind in rule.on]}


def code_view(code: ProjectCode) -> View:
    """Return the view of the version of a project's code that is in force."""
    return {
        "name": code.name,
        "loaded_at": time_text(code.loaded_at),
        "changed_at": time_text(code.changed_at),
        "error": code.error,
    }


def event_view(event_id: str, kind: str, moment: datetime, about: Mapping[str, View]) -> View:
    """Return an event: its id, type and time, and the views that it is about, each under its noun."""
    return {"id": event_id, "type": kind, "time": time_text(moment), **about}
