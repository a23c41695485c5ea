"""The ledger in memory: the same SQL over a database that has no file. The tests use it as their double."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import TypeVar

from twisted.internet.defer import Deferred, execute, succeed

from reactorhub.errors import LedgerError
from reactorhub.storage.ledger import Ledger
from reactorhub.storage.sqlite.base import SqlLedger
from reactorhub.storage.sqlite.file import schema_scripts, upgrade
from reactorhub.storage.sqlite.sql import Database

R = TypeVar("R")


@cache
def _empty() -> bytes:
    """Return an empty database of the newest schema. Copying it is ten times faster than making one."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, schema_scripts())
        return db.serialize()


class MemoryLedger(SqlLedger):
    """A :class:`reactorhub.storage.ledger.Ledger` whose Deferreds fire at once.

    It works without :meth:`open`. A :meth:`close` and the next open lose nothing, like a restart of the hub.
    While ``fail_writes`` is an exception, each write fails with it, as on a full disk.
    """

    def __init__(self) -> None:
        self.fail_writes: Exception | None = None
        self._closed = False
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.deserialize(_empty())
        weakref.finalize(self, self._db.close)

    def open(self) -> Deferred[None]:
        """Take calls (again)."""
        self._closed = False
        return succeed(None)

    def close(self) -> Deferred[None]:
        """Take no more calls."""
        self._closed = True
        return succeed(None)

    def _write(self, change: Callable[[Database], R]) -> Deferred[R]:
        return self._read(lambda db: self._transaction(db, change))

    def _transaction(self, db: Database, change: Callable[[Database], R]) -> R:
        if self.fail_writes is not None:
            raise self.fail_writes
        db.execute("BEGIN")
        try:
            result = change(db)
            db.execute("COMMIT")
        except BaseException as error:
            db.execute("ROLLBACK")
            if isinstance(error, TypeError | ValueError | sqlite3.Error):
                raise LedgerError(f"the ledger cannot hold a value of this write: {error}") from error
            raise
        return result

    def _read(self, question: Callable[[Database], R]) -> Deferred[R]:
        def unless_closed() -> R:
            if self._closed:
                raise LedgerError("the ledger is closed and takes no more calls: open it again")
            return question(self._db)

        return execute(unless_closed)


_: type[Ledger] = MemoryLedger
