"""A look at the ledger from outside the hub, also while the hub writes it. Nothing is created or changed."""

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
"""From at most so many of its newest succeeded runs is told how long a schedule's runs last."""

_PATIENCE = 5.0  # seconds to wait for a hub that is just creating or recovering the file


@contextmanager
def open_snapshot(path: Path) -> Iterator[LedgerSnapshot]:
    """Open the ledger for questions, all answered as of one moment.

    A file of an older schema is read as the upgrade would leave it.

    :raises LedgerError: if there is none, if it cannot be read, or if a newer reactorhub wrote it; also
        within, where a question fails.
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
    """Open the file as it lies there.

    Even for reading SQLite makes a WAL and its index where there are none. After a clean stop there are none,
    nobody writes, and the file may be read as one that does not change.
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
        raise LedgerError("it holds nothing yet; start the hub once")
    return bool(version < known)


class LedgerSnapshot:
    """The questions. Make it with :func:`look`."""

    def __init__(self, db: sqlite3.Connection, defaults: Mapping[str, Mapping[str, str]]) -> None:
        """:param defaults: of a file of an older schema, the columns of the newest one by table."""
        self._db = db
        self._defaults = defaults

    def durations(self, schedules: Iterable[str]) -> dict[str, tuple[timedelta, ...]]:
        """Return how long the newest succeeded runs of each schedule took, from their start, newest first.

        A schedule without one is left out. The cost does not grow with the history behind these runs.
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
        """Return what is remembered of each schedule, by name."""
        found = self._db.execute(
            f"SELECT {self._columns('marks', rows.PROGRESS.columns)} FROM marks"
        ).fetchall()
        return {row[0]: rows.PROGRESS.read(row) for row in found}

    def overrides(self) -> dict[str, Any]:
        """Return what operators have set at run time, by name."""
        return sql.overrides(self._db)

    def ticks(self, schedule: str, limit: int) -> list[Tick]:
        """Return a schedule's newest ticks, newest nominal time first."""
        return self._ticks("ORDER BY nominal_time DESC LIMIT ?", schedule, limit)

    def tick(self, schedule: str, moment: datetime) -> Tick | None:
        """Return the row that accounts for a moment: its own, or one that stands for ticks around it."""
        before = "AND nominal_time <= ? ORDER BY nominal_time DESC LIMIT 1"
        found = self._ticks(before, schedule, rows.to_number(moment))
        return next((tick for tick in found if moment <= (tick.until or tick.nominal_time)), None)

    def first_tick(self, schedule: str) -> Tick | None:
        """Return the oldest tick that is kept of a schedule."""
        return next(iter(self._ticks("ORDER BY nominal_time LIMIT 1", schedule)), None)

    def run(self, run_id: str) -> Run | None:
        """Return the run with this id; None if there is none, or none any more."""
        return next(iter(self._runs("WHERE id = ?", run_id)), None)

    def newest_run(self, schedule: str) -> Run | None:
        """Return the run of a schedule that was added last."""
        newest = (
            "SELECT max((SELECT max(seq) FROM runs WHERE schedule = ? AND state = counters.name))"
            " FROM counters"
        )
        return next(iter(self._runs(f"WHERE seq = ({newest})", schedule)), None)

    def unfinished(self) -> list[Run]:
        """Return all runs that are queued or hold a slot, in the order in which they were added."""
        return self._runs(f"WHERE state IN ({sql.one_of(UNFINISHED)}) ORDER BY seq")

    def _ticks(self, rest: str, schedule: str, *parameters: Any) -> list[Tick]:
        columns = self._columns("ticks", rows.TICKS.columns)
        statement = f"SELECT {columns} FROM ticks WHERE schedule = ? {rest}"
        return [rows.TICKS.read(row) for row in self._db.execute(statement, (schedule, *parameters))]

    def _runs(self, rest: str, *parameters: Any) -> list[Run]:
        statement = f"SELECT {self._columns('runs', rows.RUNS.columns)} FROM runs {rest}"
        return [rows.RUNS.read(row) for row in self._db.execute(statement, parameters)]

    def _columns(self, table: str, wanted: str) -> str:
        """The columns to ask for, and in place of one that the file lacks what the upgrade would fill in."""
        if not self._defaults:
            return wanted
        there = _defaults(self._db, table)
        return ", ".join(
            name if name in there else f"{self._defaults[table][name]} AS {name}"
            for name in wanted.split(", ")
        )


def _newest_defaults() -> Mapping[str, Mapping[str, str]]:
    """The columns of each table that is asked, as the newest schema has them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, schema_scripts())
        return {table: _defaults(db, table) for table in ("runs", "ticks", "marks")}


def _defaults(db: sqlite3.Connection, table: str) -> Mapping[str, str]:
    """The columns of a table, each with its default as SQL."""
    columns = db.execute(f"PRAGMA table_info({table})").fetchall()
    return {name: default or "NULL" for _, name, _, _, default, _ in columns}
