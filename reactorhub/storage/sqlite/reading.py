"""Reads the ledger from outside the hub, even while the hub writes to it. Nothing is created or changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reactorhub.errors import LedgerError
from reactorhub.model.run import UNFINISHED, Run
from reactorhub.model.schedule import ScheduleProgress, Tick
from reactorhub.storage import rows
from reactorhub.storage.sqlite import sql
from reactorhub.storage.sqlite.file import explanation, newer, schema_scripts, upgrade

NEWEST_RUNS = 20
"""How many of the newest succeeded runs of a schedule show how long its runs take."""

_PATIENCE = 5.0  # seconds to wait while a hub creates or recovers the file


@contextmanager
def open_snapshot(path: Path) -> Iterator[LedgerSnapshot]:
    """Open the ledger. All questions are answered as of one moment.

    A file of an older schema reads as the upgrade would leave it.

    :raises LedgerError: if there is no ledger, if it cannot be read, or if a newer reactorhub wrote it. A
        question that fails raises it too.
    """
    try:
        with closing(_connect(path)) as db:
            defaults = _newest_defaults() if _is_old(db) else {}
            db.execute("BEGIN")
            yield LedgerSnapshot(db, defaults)
    except sqlite3.Error as error:
        raise explanation(path, error) from error
    except LedgerError as error:
        raise LedgerError(f"the ledger {path} cannot be read: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file without changing it.

    SQLite creates a WAL and its index if they do not exist, even for reading. They do not exist after a clean
    stop; then no hub writes, and the file is opened as one that never changes.
    """
    if not path.exists():
        raise LedgerError("there is no such file yet; start the hub once")
    wal, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    if wal.exists() and not index.exists():
        raise LedgerError(f"{index.name} is missing beside {wal.name}; start the hub once")
    how = "mode=ro" if wal.exists() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", _PATIENCE, isolation_level=None, uri=True)


def _is_old(db: sqlite3.Connection) -> bool:
    known = len(schema_scripts())
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > known:
        raise newer(version, known)
    if version < 1:
        raise LedgerError("it is still empty; start the hub once")
    return bool(version < known)


class LedgerSnapshot:
    """The ledger as of one moment. Use :func:`open_snapshot`."""

    def __init__(self, db: sqlite3.Connection, defaults: Mapping[str, Mapping[str, str]]) -> None:
        """:param defaults: for a file of an older schema, the columns of the newest schema by table."""
        self._db = db
        self._defaults = defaults

    def durations(self, schedules: Iterable[str]) -> dict[str, tuple[timedelta, ...]]:
        """Return how long the newest succeeded runs of each schedule took, newest first.

        Schedules without such a run are left out. The cost does not grow with history.
        """
        statement = (
            "SELECT started_at, finished_at FROM runs WHERE schedule = ? AND state = 'succeeded'"
            f" ORDER BY seq DESC LIMIT {NEWEST_RUNS}"
        )
        found = {}
        for name in schedules:
            spans = self._db.execute(statement, (name,)).fetchall()
            took = tuple(timedelta(microseconds=max(0, end - start)) for start, end in spans if start and end)
            found.update({name: took} if took else {})
        return found

    def progress(self) -> dict[str, ScheduleProgress]:
        """Return the progress of each schedule, by name."""
        found = self._db.execute(
            f"SELECT {self._columns('marks', rows.PROGRESS.columns)} FROM marks"
        ).fetchall()
        return {row[0]: rows.PROGRESS.read(row) for row in found}

    def overrides(self) -> dict[str, Any]:
        """Return the values that operators have set at run time, by name."""
        return sql.overrides(self._db)

    def ticks(self, schedule: str, limit: int) -> list[Tick]:
        """Return a schedule's newest ticks, newest nominal time first."""
        return self._ticks("ORDER BY nominal_time DESC LIMIT ?", schedule, limit)

    def tick(self, schedule: str, moment: datetime) -> Tick | None:
        """Return the row for the tick of this moment, or the row for several ticks that includes it."""
        before = "AND nominal_time <= ? ORDER BY nominal_time DESC LIMIT 1"
        found = self._ticks(before, schedule, rows.to_number(moment))
        return next((tick for tick in found if moment <= (tick.until or tick.nominal_time)), None)

    def first_tick(self, schedule: str) -> Tick | None:
        """Return the oldest stored tick of a schedule."""
        return next(iter(self._ticks("ORDER BY nominal_time LIMIT 1", schedule)), None)

    def run(self, run_id: str) -> Run | None:
        """Return the run with this id; None if the ledger does not have it."""
        return next(iter(self._runs("WHERE id = ?", run_id)), None)

    def newest_run(self, schedule: str) -> Run | None:
        """Return the run of a schedule that was added last."""
        newest = (
            "SELECT max((SELECT max(seq) FROM runs WHERE schedule = ? AND state = counters.name))"
            " FROM counters"
        )
        return next(iter(self._runs(f"WHERE seq = ({newest})", schedule)), None)

    def unfinished(self) -> list[Run]:
        """Return all runs that are not final, in the order in which they were added."""
        return self._runs(f"WHERE state IN ({sql.one_of(UNFINISHED)}) ORDER BY seq")

    def _ticks(self, rest: str, schedule: str, *parameters: Any) -> list[Tick]:
        columns = self._columns("ticks", rows.TICKS.columns)
        statement = f"SELECT {columns} FROM ticks WHERE schedule = ? {rest}"
        return [rows.TICKS.read(row) for row in self._db.execute(statement, (schedule, *parameters))]

    def _runs(self, rest: str, *parameters: Any) -> list[Run]:
        statement = f"SELECT {self._columns('runs', rows.RUNS.columns)} FROM runs {rest}"
        return [rows.RUNS.read(row) for row in self._db.execute(statement, parameters)]

    def _columns(self, table: str, wanted: str) -> str:
        """The columns to select. The default replaces a column that the file does not have."""
        if not self._defaults:
            return wanted
        there = _defaults(self._db, table)
        return ", ".join(
            name if name in there else f"{self._defaults[table][name]} AS {name}"
            for name in wanted.split(", ")
        )


def _newest_defaults() -> Mapping[str, Mapping[str, str]]:
    """The columns of the tables read here, in the newest schema."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, schema_scripts())
        return {table: _defaults(db, table) for table in ("runs", "ticks", "marks")}


def _defaults(db: sqlite3.Connection, table: str) -> Mapping[str, str]:
    """The columns of a table, each with its default as SQL."""
    columns = db.execute(f"PRAGMA table_info({table})").fetchall()
    return {name: default or "NULL" for _, name, _, _, default, _ in columns}
