"""The SQL for runs with a key: two orders with one key are one run."""

from __future__ import annotations

from collections.abc import Sequence

from reactorhub.model.run import Run
from reactorhub.storage import rows
from reactorhub.storage.sqlite.sql import Database, add_run

_BY_KEY = f"SELECT {rows.RUNS.columns} FROM runs WHERE key = ?"
_SPENT = "SELECT 1 FROM spent_keys WHERE key = ?"
_RELEASE = "UPDATE runs SET held = 0 WHERE id = ?"


def add_keyed_runs(db: Database, runs: Sequence[Run]) -> list[Run | None]:
    """Store each run unless its key is taken. Return what the ledger has for each, see Ledger."""
    return [_kept(db, run) for run in runs]


def keyed_runs(db: Database, wanted: Sequence[str]) -> dict[str, Run | None]:
    """Return those of the keys that are taken, each with its run; None if the run has been deleted."""
    found = {key: _of_key(db, key) for key in wanted}
    return {key: run for key, run in found.items() if run is not None or _is_spent(db, key)}


def release_runs(db: Database, run_ids: Sequence[str]) -> None:
    """Note that these runs are no longer held."""
    db.executemany(_RELEASE, [(run_id,) for run_id in run_ids])


def _kept(db: Database, run: Run) -> Run | None:
    if run.key is not None:
        there = _of_key(db, run.key)
        if there is not None or _is_spent(db, run.key):
            return there
    add_run(db, run)
    return run


def _of_key(db: Database, key: str) -> Run | None:
    row = db.execute(_BY_KEY, (key,)).fetchone()
    return None if row is None else rows.RUNS.read(row)


def _is_spent(db: Database, key: str) -> bool:
    return db.execute(_SPENT, (key,)).fetchone() is not None
