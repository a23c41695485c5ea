"""The SQL of the ledger: one function for each write and each question, over one open database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Protocol

from reactorhub.errors import LedgerError, UnknownBatch, UnknownRun
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import ChainedTick, FollowUp
from reactorhub.model.run import ACTIVE, UNFINISHED, Run, RunState
from reactorhub.model.schedule import FAR_AHEAD, ScheduleProgress, Tick, TickOutcome
from reactorhub.storage import rows
from reactorhub.storage.ledger import LedgerCounts, Page
from reactorhub.storage.rows import Table


class Cursor(Protocol):
    """The part of a database cursor that these functions use."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""

    def fetchall(self) -> list[Any]:
        """Return all remaining rows."""


class Database(Protocol):
    """The part of a database connection that these functions use."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor:
        """Run a statement once for each set of parameters."""


def insert(table: str, rows: Table[Any]) -> str:
    """Return the statement that adds a row."""
    return f"INSERT INTO {table} ({rows.columns}) VALUES ({rows.places})"


def _replaced(names: Iterable[str]) -> str:
    """Return the assignments with which an upsert takes these columns from the new row."""
    return ", ".join(f"{name} = excluded.{name}" for name in names)


def one_of(states: Iterable[RunState]) -> str:
    """Return states as the operand of ``IN``, without its parentheses."""
    return ", ".join(f"'{state.value}'" for state in sorted(states))


_RUN = rows.RUNS.columns
_CHANGING = [name for name in rows.RUNS.names if name not in {"id", "created_at"}]
_INSERT_RUN = f"{insert('runs', rows.RUNS)} ON CONFLICT (id) DO NOTHING"
_UPDATE_RUN = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE id = ?"
_update_row = itemgetter(*(rows.RUNS.names.index(name) for name in (*_CHANGING, "id")))
_INSERT_TICK = f"""
    {insert("ticks", rows.TICKS)} ON CONFLICT (schedule, nominal_time) DO UPDATE
    SET {_replaced(name for name in rows.TICKS.names if name not in {"schedule", "nominal_time"})}
    WHERE outcome = 'missed' AND until IS NULL AND excluded.outcome <> 'missed'
"""
_MOVE_MARK = """
    UPDATE marks SET runs = runs + :ran, since = CASE
        WHEN :after IS NOT NULL AND (since > :misled OR since < :after) THEN since
        WHEN since > :misled THEN :reached
        ELSE max(since, :reached) END
    WHERE name = :name
"""
_NEW_MARK = _replaced(name for name in rows.PROGRESS.names if name not in {"name", "runs"})
# record_tick counts the runs of a schedule. A new fingerprint starts the count again.
_REPLACE_PROGRESS = f"""{insert("marks", rows.PROGRESS)} ON CONFLICT (name) DO UPDATE
    SET runs = iif(fingerprint = excluded.fingerprint, runs, excluded.runs), {_NEW_MARK}"""
_COMPLETE = f"""UPDATE batches SET finished_at = :moment, completion = :completion
    WHERE id = :batch AND finished_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM runs WHERE batch = :batch AND state IN ({one_of(UNFINISHED)}))"""


def add_run(db: Database, run: Run) -> None:
    """Store a new run.

    :raises LedgerError: if there is a run with this id already.
    """
    if not db.execute(_INSERT_RUN, rows.RUNS.write(run)).rowcount:
        raise LedgerError(f"run {run.id} is already in the ledger: give each run an id of its own")


def save_run(db: Database, run: Run) -> None:
    """Replace a stored run, except its id, its place and ``created_at``.

    :raises LedgerError: if there is no run with this id.
    """
    if not db.execute(_UPDATE_RUN, _update_row(rows.RUNS.write(run))).rowcount:
        raise LedgerError(f"run {run.id} is not in the ledger: add it before saving it")


def finish_run(db: Database, run: Run, follow_up: FollowUp) -> FollowUp:
    """Replace a run that has ended, and store its follow-up. Return the follow-up as it was stored.

    :raises LedgerError: if the run is not in the ledger, or a run of the follow-up already is.
    """
    save_run(db, run)
    if follow_up.attempt is not None:
        add_run(db, follow_up.attempt)
    starts = tuple(_started(db, start) for start in follow_up.starts)
    completes = run.spec.batch is not None and _completes(db, run, follow_up.completion)
    completion = follow_up.completion if completes else None
    return replace(follow_up, starts=starts, completes=completes, completion=completion)


def _started(db: Database, start: ChainedTick) -> ChainedTick:
    while not record_tick(db, start.tick, start.run):
        start = start.later()
    return start


def _completes(db: Database, run: Run, completion: Run | None) -> bool:
    """Mark a run's batch as done if this was its last run. Return whether it was."""
    facts = {
        "batch": run.spec.batch,
        "moment": None if run.finished_at is None else rows.to_number(run.finished_at),
        "completion": completion and completion.id,
    }
    completes = bool(db.execute(_COMPLETE, facts).rowcount)
    if completes and completion is not None:
        add_run(db, completion)
    return completes


def add_batch(db: Database, batch: Batch, runs: Sequence[Run]) -> None:
    """Store a batch and its runs.

    :raises LedgerError: if one of the runs is already in the ledger.
    """
    db.execute(insert("batches", rows.BATCHES), rows.BATCHES.write(batch))
    for run in runs:
        add_run(db, run)


def record_tick(db: Database, tick: Tick, run: Run | None, after: datetime | None = None) -> bool:
    """Store a tick, its run and the schedule's progress. Return False if the tick is already recorded.

    Then only the progress is updated, at most to this tick.

    :param after: the progress moves only if it has reached this moment.
    """
    kept = bool(db.execute(_INSERT_TICK, rows.TICKS.write(tick)).rowcount)
    if kept and run is not None:
        add_run(db, run)
    progress = {
        "name": tick.schedule,
        "reached": rows.to_number((kept and tick.until) or tick.nominal_time),
        "misled": rows.to_number(tick.recorded_at + FAR_AHEAD),
        "after": None if after is None else rows.to_number(after),
        "ran": kept and tick.outcome is TickOutcome.RUN,
    }
    db.execute(_MOVE_MARK, progress)
    return kept


def set_progress(db: Database, keep: Sequence[ScheduleProgress], forget: Sequence[str]) -> None:
    """Delete the progress of some schedules, then replace that of others."""
    db.executemany("DELETE FROM marks WHERE name = ?", [(name,) for name in forget])
    db.executemany(_REPLACE_PROGRESS, [rows.PROGRESS.write(progress) for progress in keep])


def set_override(db: Database, name: str, value: Any) -> None:
    """Store an override. None removes it."""
    if value is None:
        db.execute("DELETE FROM overrides WHERE name = ?", (name,))
    else:
        db.execute("REPLACE INTO overrides (name, value) VALUES (?, ?)", (name, rows.json_text(value)))


def find_run(db: Database, run_id: str) -> Run:
    """Return the run with this id.

    :raises UnknownRun: if there is no such run.
    """
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise UnknownRun(run_id)
    return rows.RUNS.read(row)


def find_batch(db: Database, batch_id: str) -> tuple[Batch, Mapping[RunState, int]]:
    """Return a batch, and the number of its runs in each state that occurs.

    :raises UnknownBatch: if there is no such batch.
    """
    row = db.execute(f"SELECT {rows.BATCHES.columns} FROM batches WHERE id = ?", (batch_id,)).fetchone()
    if row is None:
        raise UnknownBatch(batch_id)
    counted = "SELECT state, count(*) FROM runs WHERE batch = ? GROUP BY state"
    found = db.execute(counted, (batch_id,)).fetchall()
    return rows.BATCHES.read(row), {RunState(state): count for state, count in found}


def open_batches(db: Database) -> list[Batch]:
    """Return the batches whose runs are not all final."""
    found = db.execute(f"SELECT {rows.BATCHES.columns} FROM batches WHERE finished_at IS NULL").fetchall()
    return [rows.BATCHES.read(row) for row in found]


def _runs_in(db: Database, states: Iterable[RunState]) -> list[Run]:
    names = [state.value for state in states]
    sql = f"SELECT {_RUN} FROM runs WHERE state IN ({', '.join('?' for _ in names)}) ORDER BY seq"
    return [rows.RUNS.read(row) for row in db.execute(sql, names).fetchall()]


def active_runs(db: Database) -> list[Run]:
    """Return all runs that hold a slot, in the order in which they were added."""
    return _runs_in(db, ACTIVE)


def waiting_runs(db: Database) -> list[Run]:
    """Return all queued runs, in the order in which they were added."""
    return _runs_in(db, [RunState.QUEUED])


# Steps along runs_by_schedule from name to name, and for each name from state to state (counters has all
# names of states). So the cost grows with the number of schedules, not with the number of runs.
_LAST_RUNS = f"""
    WITH RECURSIVE names (name) AS (
        SELECT min(schedule) FROM runs WHERE schedule IS NOT NULL
        UNION ALL
        SELECT (SELECT min(schedule) FROM runs WHERE schedule > names.name) FROM names WHERE name IS NOT NULL
    ), newest (seq) AS (
        SELECT (
            SELECT max((SELECT max(seq) FROM runs WHERE schedule = names.name AND state = counters.name))
            FROM counters
        ) FROM names WHERE name IS NOT NULL
    )
    SELECT {_RUN} FROM newest CROSS JOIN runs USING (seq)
"""


def last_runs(db: Database) -> dict[str, Run]:
    """Return the newest run of each schedule that ever had one."""
    found = (rows.RUNS.read(row) for row in db.execute(_LAST_RUNS).fetchall())
    return {run.spec.schedule: run for run in found if run.spec.schedule is not None}


def ticks(db: Database, schedule: str, limit: int, before: int | None) -> Page[Tick]:
    """Return a page of a schedule's ticks, newest nominal time first."""
    earlier = "" if before is None else "AND nominal_time < :before"
    found = db.execute(
        f"SELECT nominal_time, {rows.TICKS.columns} FROM ticks WHERE schedule = :schedule {earlier}"
        " ORDER BY nominal_time DESC LIMIT :rows",
        {"schedule": schedule, "before": before, "rows": limit + 1},
    ).fetchall()
    return rows.make_page("ticks", [(place, rows.TICKS.read(row)) for place, *row in found], limit)


def counts(db: Database) -> LedgerCounts:
    """Return the numbers of runs and ticks, from the counters."""
    amounts = dict(db.execute("SELECT name, amount FROM counters").fetchall())
    by_state = {state: amounts[state.value] for state in RunState if amounts[state.value]}
    return LedgerCounts(runs=by_state, ticks=amounts["ticks"])


def progress(db: Database) -> dict[str, ScheduleProgress]:
    """Return the progress of each schedule, by name."""
    found = db.execute(f"SELECT {rows.PROGRESS.columns} FROM marks").fetchall()
    return {row[0]: rows.PROGRESS.read(row) for row in found}


def overrides(db: Database) -> dict[str, Any]:
    """Return the values that operators have set at run time, by name."""
    found = db.execute("SELECT name, value FROM overrides").fetchall()
    return {name: json.loads(value) for name, value in found}
