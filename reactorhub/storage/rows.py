"""How runs, ticks and marks are written down: as flat rows of numbers and text. Both ledgers write them so.

Moments become whole microseconds since 1970 in UTC; what has no fixed shape becomes JSON.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from reactorhub.errors import InvalidRequest
from reactorhub.model.batch import Batch
from reactorhub.model.isolation import Isolate
from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick, TickOutcome
from reactorhub.model.values import stats_view
from reactorhub.storage.ledger import Page

T = TypeVar("T")
Row = tuple[Any, ...]

RUN_COLUMNS = (
    "id, spider, project, schedule, nominal_time, queue, priority, timeout, stop_grace, not_before, attempt,"
    " retry_of, batch, args, settings, tags, created_at, state, reason, started_at, finished_at,"
    " finish_reason, errors, error, stats, retry, expect, upstream, isolate, memory_limit, pid"
)
TICK_COLUMNS = "schedule, nominal_time, outcome, reason, run_id, recorded_at, until"
PROGRESS_COLUMNS = "name, fingerprint, since, paused, paused_reason, resumed_at, runs"
BATCH_COLUMNS = "id, created_at, on_complete, finished_at, completion"

_RUN_NAMES = tuple(RUN_COLUMNS.split(", "))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_INTEGER = 2**63 - 1
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def to_number(moment: datetime) -> int:
    """Return an aware moment as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def to_moment(number: int) -> datetime:
    """Return the moment that :func:`to_number` was given, in UTC."""
    return _EPOCH + timedelta(microseconds=number)


def _number(moment: datetime | None) -> int | None:
    return None if moment is None else to_number(moment)


def _moment(number: int | None) -> datetime | None:
    return None if number is None else to_moment(number)


def json_text(value: Any) -> str:
    """Return ``value`` as compact JSON. Never raises: what JSON cannot hold becomes text.

    The texts are those of :func:`reactorhub.wire.views.stats_view`, so a stat reads the same live and kept.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        if isinstance(value, Mapping):
            return _encode({str(key): _kept(entry) for key, entry in value.items()})
        return _encode(_kept(value))


def _kept(value: Any) -> Any:
    try:
        plain = stats_view({"value": value})["value"]
        _encode(plain)
    except Exception as error:  # noqa: BLE001 - a stat of a spider may raise anything from its __repr__
        return f"<{type(value).__name__} that could not be kept: {type(error).__name__}>"
    return plain


def sound(text: str | None) -> str | None:
    """Return a text as every database takes it: an exception's may hold half a character of a file name."""
    return text and text.encode("utf-8", "backslashreplace").decode()


def _object(values: Mapping[str, Any]) -> str:
    return json_text(values) if values else "{}"


def write_run(run: Run) -> Row:
    """Return a run as the values of ``RUN_COLUMNS``."""
    spec = run.spec
    return (
        run.id,
        spec.spider,
        spec.project,
        spec.schedule,
        _number(spec.nominal_time),
        spec.queue,
        spec.priority,
        spec.timeout,
        spec.stop_grace,
        _number(spec.not_before),
        spec.attempt,
        spec.retry_of,
        spec.batch,
        _object(spec.args),
        _object(spec.settings),
        json_text(spec.tags) if spec.tags else "[]",
        to_number(run.created_at),
        run.state.value,
        sound(run.reason),
        _number(run.started_at),
        _number(run.finished_at),
        sound(run.finish_reason),
        run.errors,
        sound(run.error),
        _object(run.stats),
        _write_rule(spec.retry),
        _object(spec.expect),
        spec.upstream,
        spec.isolate.value,
        spec.memory_limit,
        run.pid,
    )


def _write_rule(rule: RetryRule | None) -> str | None:
    return None if rule is None else _encode({**asdict(rule), "on": sorted(state.value for state in rule.on)})


def _read_rule(text: str | None) -> RetryRule | None:
    if text is None:
        return None
    kept = json.loads(text)
    return RetryRule(**{**kept, "on": frozenset(RunState(state) for state in kept["on"])})


def read_run(row: Row) -> Run:
    """Return the run that :func:`write_run` wrote."""
    kept = dict(zip(_RUN_NAMES, row, strict=True))
    return Run(
        id=kept["id"],
        spec=_read_spec(kept),
        created_at=to_moment(kept["created_at"]),
        state=RunState(kept["state"]),
        reason=kept["reason"],
        started_at=_moment(kept["started_at"]),
        finished_at=_moment(kept["finished_at"]),
        finish_reason=kept["finish_reason"],
        errors=kept["errors"],
        error=kept["error"],
        stats=json.loads(kept["stats"]),
        pid=kept["pid"],
    )


def _read_spec(kept: Mapping[str, Any]) -> RunSpec:
    return RunSpec(
        spider=kept["spider"],
        project=kept["project"],
        args=json.loads(kept["args"]),
        settings=json.loads(kept["settings"]),
        queue=kept["queue"],
        priority=kept["priority"],
        timeout=kept["timeout"],
        stop_grace=kept["stop_grace"],
        not_before=_moment(kept["not_before"]),
        tags=tuple(json.loads(kept["tags"])),
        schedule=kept["schedule"],
        nominal_time=_moment(kept["nominal_time"]),
        attempt=kept["attempt"],
        retry_of=kept["retry_of"],
        batch=kept["batch"],
        retry=_read_rule(kept["retry"]),
        expect=json.loads(kept["expect"] or "{}"),
        upstream=kept["upstream"],
        isolate=Isolate(kept["isolate"] or "none"),
        memory_limit=kept["memory_limit"],
    )


def write_tick(tick: Tick) -> Row:
    """Return a tick as the values of ``TICK_COLUMNS``."""
    return (
        tick.schedule,
        to_number(tick.nominal_time),
        tick.outcome.value,
        sound(tick.reason),
        tick.run_id,
        to_number(tick.recorded_at),
        _number(tick.until),
    )


def read_tick(row: Row) -> Tick:
    """Return the tick that :func:`write_tick` wrote."""
    schedule, nominal_time, outcome, reason, run_id, recorded_at, until = row
    return Tick(
        schedule=schedule,
        nominal_time=to_moment(nominal_time),
        outcome=TickOutcome(outcome),
        reason=reason,
        run_id=run_id,
        recorded_at=to_moment(recorded_at),
        until=_moment(until),
    )


def write_progress(progress: ScheduleProgress) -> Row:
    """Return a schedule's mark as the values of ``MARK_COLUMNS``."""
    return (
        progress.name,
        progress.fingerprint,
        to_number(progress.accounted_until),
        progress.paused,
        sound(progress.paused_reason),
        _number(progress.resumed_at),
        progress.runs,
    )


def read_progress(row: Row) -> ScheduleProgress:
    """Return the mark that :func:`write_mark` wrote."""
    name, fingerprint, accounted_until, paused, reason, resumed_at, runs = row
    return ScheduleProgress(
        name=name,
        fingerprint=fingerprint,
        accounted_until=to_moment(accounted_until),
        paused=bool(paused),
        paused_reason=reason,
        resumed_at=_moment(resumed_at),
        runs=runs,
    )


def write_batch(batch: Batch) -> Row:
    """Return a batch as the values of ``BATCH_COLUMNS``."""
    return (
        batch.id,
        to_number(batch.created_at),
        _object(batch.on_complete),
        _number(batch.finished_at),
        batch.completion,
    )


def read_batch(row: Row) -> Batch:
    """Return the batch that :func:`write_batch` wrote."""
    batch_id, created_at, on_complete, finished_at, completion = row
    return Batch(
        id=batch_id,
        created_at=to_moment(created_at),
        on_complete=json.loads(on_complete),
        finished_at=_moment(finished_at),
        completion=completion,
    )


def make_page(kind: str, found: Sequence[tuple[int, T]], limit: int) -> Page[T]:
    """Return the first ``limit`` of ``found``, pairs of a place and its row; more mean a next page."""
    more = len(found) > limit > 0
    return Page(tuple(row for _, row in found[:limit]), _cursor(kind, found[limit - 1][0]) if more else None)


def _cursor(kind: str, place: int) -> str:
    return urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def read_cursor(kind: str, cursor: str | None) -> int | None:
    """Return the place a page of this kind continues after, None for the first page.

    :raises InvalidRequest: if no page of this kind gave the cursor.
    """
    if cursor is None:
        return None
    try:
        place = int(urlsafe_b64decode(cursor.encode() + b"==").decode().removeprefix(f"{kind}:"))
    except ValueError:
        place = _MAX_INTEGER + 1
    if abs(place) > _MAX_INTEGER or _cursor(kind, place) != cursor:
        raise InvalidRequest(
            {"cursor": "is not from this list; take next_cursor of the page before, unchanged"}
        )
    return place
