"""The ledger's database file: connections, schema, transactions. Only the ledger's threads call it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.resources import files
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from reactorhub.errors import LedgerError, last_line

R = TypeVar("R")
Change = Callable[[sqlite3.Connection], Any]

_ADVICE = {
    "SQLITE_FULL": "free some space on its disk",
    "SQLITE_IOERR": "check its disk",
    "SQLITE_BUSY": "end the other program that has locked it",
    "SQLITE_READONLY": "let the hub's user write to it",
    "SQLITE_CANTOPEN": "let the hub's user create and open this file",
    "SQLITE_NOTADB": "move the file away, or choose another data folder",
    "SQLITE_CORRUPT": "move the file away and put a good copy in its place",
}


def schema_scripts() -> list[str]:
    """Return the schema's scripts in order. Script N upgrades a database from version N - 1 to version N."""
    found = [
        entry for entry in files("reactorhub.storage.sqlite.schema").iterdir() if entry.name.endswith(".sql")
    ]
    return [entry.read_text("utf-8") for entry in sorted(found, key=lambda entry: entry.name)]


def upgrade(db: sqlite3.Connection, scripts: Sequence[str]) -> None:
    """Run the scripts that are new to this database, each in one transaction.

    :raises LedgerError: if the database has a version beyond the last script.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(scripts):
        raise newer(version, len(scripts))
    for number, script in enumerate(scripts[version:], version + 1):
        with _undone_unless_committed(db):
            db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def newer(version: int, known: int) -> LedgerError:
    """Return the error for a file whose schema version is beyond the last ``known`` one."""
    return LedgerError(
        f"a newer reactorhub wrote it (schema {version}; this one knows schemas up to {known}):"
        " upgrade reactorhub, or choose another data folder"
    )


def explanation(path: Path, error: sqlite3.Error) -> LedgerError:
    """Return an error with SQLite's message about the file, and advice."""
    name = getattr(error, "sqlite_errorname", "")
    advice = next((f": {text}" for start, text in _ADVICE.items() if name.startswith(start)), "")
    return LedgerError(f"the ledger {path} cannot be used: {error}{advice}")


@contextmanager
def _undone_unless_committed(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


class SqliteFile:
    """One file with one connection that writes and ``readers`` that read. ``busy_timeout`` is in seconds.

    Call ``commit`` from one thread at a time, ``ask`` from at most as many threads as there are readers.
    """

    def __init__(self, path: Path, busy_timeout: float, readers: int) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._readers = readers

    def open(self) -> None:
        """Open or create the file, and upgrade its schema.

        :raises LedgerError: if the file cannot be used, or a newer reactorhub wrote it.
        """
        with self._explained(), ExitStack() as opened:
            self._db = opened.enter_context(closing(self._connect()))
            self._db.execute("PRAGMA synchronous = FULL")
            upgrade(self._db, schema_scripts())
            self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
            for _ in range(self._readers):
                reader = opened.enter_context(closing(self._connect()))
                reader.execute("PRAGMA query_only = ON")
                self._idle.put(reader)
            self._opened = opened.pop_all()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, self._busy_timeout, isolation_level=None, check_same_thread=False)
        with ExitStack() as failing:
            failing.callback(db.close)
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise LedgerError("its file system cannot hold a WAL: put the data folder on a local disk")
            db.execute("PRAGMA foreign_keys = ON")
            failing.pop_all()
        return db

    def close(self) -> None:
        """Move the WAL into the file and close all connections. No call of ``ask`` may be under way.

        :raises LedgerError: if the disk refuses. Committed changes stay in the WAL.
        """
        with self._explained(), self._opened:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def commit(self, changes: Sequence[Change]) -> list[Any]:
        """Make the changes in one transaction that survives a power cut.

        Return the result of each change. A change that failed is undone, and its LedgerError stands in its
        place.

        :raises LedgerError: if the transaction failed. Then no change was made.
        """
        with self._explained(), _undone_unless_committed(self._db):
            self._db.execute("BEGIN IMMEDIATE")
            results = [self._attempt(change) for change in changes]
            self._db.execute("COMMIT")
        return results

    def _attempt(self, change: Change) -> Any:
        self._db.execute("SAVEPOINT change")
        try:
            result = change(self._db)
        except Exception as error:  # any error of one change must leave the others intact
            if not self._db.in_transaction:  # SQLite rolled everything back, for example on a full disk
                raise
            self._db.execute("ROLLBACK TO change")
            result = self._explanation(error)
            result.__cause__ = error
        self._db.execute("RELEASE change")
        return result

    def ask(self, question: Callable[[sqlite3.Connection], R]) -> R:
        """Return the result of a question, which changes nothing.

        :raises LedgerError: if the file cannot be read.
        """
        reader = self._idle.get()
        try:
            with self._explained():
                return question(reader)
        finally:
            self._idle.put(reader)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._explanation(error) from error
        except LedgerError as error:
            raise LedgerError(f"the ledger {self._path} cannot be used: {error}") from error

    def _explanation(self, error: Exception) -> LedgerError:
        if isinstance(error, LedgerError):
            return LedgerError(*error.args)
        if not isinstance(error, sqlite3.Error):
            return LedgerError(
                f"the ledger {self._path} cannot hold a value of this write: {last_line(error)}"
            )
        return explanation(self._path, error)
