"""The one JSON shape of a run, a tick, a schedule and the hub that API, Redis, events and dashboard share.

Times are RFC 3339 in UTC with microseconds and ``Z``; absent values are null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reactorhub.alerts import NoticeKind, NotifyRule
from reactorhub.bounds import Bounded
from reactorhub.model import (
    Batch,
    BrokenModule,
    RetryRule,
    Run,
    RunSpec,
    RunState,
    Schedule,
    SpiderInfo,
    Tick,
)
from reactorhub.overlap import at_once
from reactorhub.triggers import Trigger

View = dict[str, Any]

REDACTED = "***"
_SECRET = re.compile(
    r"pass(word|wd|phrase)|(^|[_-])pass($|[_-])|secret|token|api[-_]?key|credential|private_?key|auth($|_)|authorization"
    r"|^(set-)?cookie$",
    re.IGNORECASE,
)
_DEEPEST = 20  # levels of a stat; one that has more, or holds itself, is not shown
_LONGEST = 1000  # characters of a stat that JSON has no kind for
_LARGEST = 10**300  # a whole number beyond this is more than most readers of JSON take


def time_text(moment: datetime | None) -> str | None:
    """Return a moment as RFC 3339 text in UTC, or None."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def redacted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with everything whose key names a secret hidden, at any depth."""
    return {
        str(key): REDACTED if _SECRET.search(str(key)) else _redacted_value(value)
        for key, value in values.items()
    }


def _redacted_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redacted(value)
    return [_redacted_value(entry) for entry in value] if isinstance(value, list | tuple) else value


def run_view(run: Run, stats: Mapping[str, Any] | None = None, errors: int | None = None) -> View:
    """Return the view of a run; ``stats`` and ``errors`` are those of its crawl while it is live."""
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
        "args": redacted(spec.args),
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
        "stats": stats_view(run.stats if stats is None else stats),
        "links": {name: f"{link}/{name}" for name in ("log", "items", "stats")},
    }


def stats_view(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return a crawl's stats as JSON values: moments as RFC 3339, what JSON lacks as text."""
    return {_shown(str, key): _stat(value) for key, value in stats.items()}


def _stat(value: Any) -> Any:
    try:
        return _json_value(value, 0)
    except RecursionError:
        return f"<{type(value).__name__} that is nested too deeply>"


def _json_value(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line for each kind
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if -_LARGEST < value < _LARGEST else _shown(repr, value)
    if isinstance(value, datetime):
        return _shown(_moment_text, value)
    if depth >= _DEEPEST:
        raise RecursionError
    if isinstance(value, Mapping):
        return {_shown(str, key): _json_value(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_shown(str, entry) for entry in value)
    if isinstance(value, list | tuple):
        return [_json_value(entry, depth + 1) for entry in value]
    return _shown(repr, value)


def _moment_text(moment: datetime) -> str:
    return str(time_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))


def _shown(show: Callable[[Any], str], value: Any) -> str:
    """Return the text ``show`` gives, or what there is in its place: values of spiders may raise anything."""
    try:
        return show(value)[:_LONGEST]
    except Exception as error:  # noqa: BLE001 - see above
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


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
    """Return the view of a tick; ``until`` is set on a row that stands for several missed ticks."""
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
    """Return the view of a schedule: its definition, and how it stands now.

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
    """Return what a schedule's runs are meant to be, as far as a run itself shows it, too."""
    return {
        "args": redacted(spec.args),
        "settings": redacted(spec.settings),
        "queue": spec.queue,
        "priority": spec.priority,
        "tags": list(spec.tags),
        "timeout": spec.timeout,
        "stop_grace": spec.stop_grace,
    }


def _bounds_view(trigger: Trigger | None) -> View:
    """Return what narrows a trigger; of one that nothing narrows, that it is so."""
    bounds = trigger if isinstance(trigger, Bounded) else None
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
    """Return the view of whom a schedule tells, and of what."""
    return {"to": list(rule.to), "on": [kind.value for kind in NoticeKind if kind in rule.on]}


def spider_view(spider: SpiderInfo) -> View:
    """Return the view of a spider that can run."""
    return {
        "name": spider.name,
        "project": spider.project,
        "docstring": spider.docstring,
        "arguments": list(spider.arguments),
    }


def broken_view(module: BrokenModule) -> View:
    """Return the view of a spider module that could not be imported."""
    return {
        "project": module.project,
        "module": module.module,
        "error": module.error,
        "traceback": module.traceback,
    }


def event_view(event_id: str, kind: str, moment: datetime, about: Mapping[str, View]) -> View:
    """Return an event: its id, type and time, beside the view it is about under that view's noun."""
    return {"id": event_id, "type": kind, "time": time_text(moment), **about}
