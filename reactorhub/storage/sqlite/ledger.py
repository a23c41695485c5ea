"""The ledger in one SQLite file. It has threads of its own; the reactor's thread never waits for the disk.

Writes are grouped: all writes that arrive during a transaction form the next one, so that they share one
fsync. A write that fails is undone on its own. If a transaction fails, all its writes fail. The results of a
large transaction are delivered over several turns of the reactor, because each result makes its caller go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from reactorhub.errors import LedgerError
from reactorhub.storage.ledger import Ledger
from reactorhub.storage.sqlite.base import SqlLedger
from reactorhub.storage.sqlite.file import Change, SqliteFile
from reactorhub.storage.sqlite.sql import Database

R = TypeVar("R")
log = Logger()

_READERS = 2  # so that one slow list of the API does not hold up all other reads
_ANSWERS = 10  # at most so many results are delivered in one turn of the reactor
_TURN = 0.01  # seconds after which the remaining results wait for the next turn
_NOT_OPEN = "the ledger is not open: call it after open() has fired and before close()"


@dataclass(frozen=True, slots=True)
class _Write:
    """One write that waits for its transaction."""

    change: Change
    done: Deferred[Any]


def _pool(threads: int, name: str) -> ThreadPool:
    pool = ThreadPool(threads, threads, name)
    # A process that ends without close() was killed. The file survives that. Threads must not delay the end.
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    pool.start()
    return pool


class SqliteLedger(SqlLedger):
    """A :class:`reactorhub.storage.ledger.Ledger` in the file ``path``. ``busy_timeout`` is in seconds.

    It opens no file and starts no thread before :meth:`open`, so it can be created before a fork.
    """

    def __init__(self, path: Path, reactor: IReactorFromThreads, busy_timeout: float = 5.0) -> None:
        self._file = SqliteFile(path, busy_timeout, _READERS)
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._opened = False
        self._waiting: list[_Write] = []
        self._in_flight = False
        self._done: deque[tuple[_Write, Any]] = deque()

    def open(self) -> Deferred[None]:
        """See Ledger.open.

        :raises LedgerError: if the file cannot be used, or a newer reactorhub wrote it.
        """
        self._writer = _pool(1, "ledger-writer")
        self._readers = _pool(_READERS, "ledger-readers")
        opening = deferToThreadPool(self._reactor, self._writer, self._file.open)
        return opening.addCallbacks(self._begin, self._abandon)

    def _begin(self, _: None) -> None:
        self._opened = True

    def _abandon(self, failure: Failure) -> Failure:
        self._readers.stop()
        self._writer.stop()
        return failure

    def close(self) -> Deferred[None]:
        """Finish the calls under way, close the file and end the threads. Does nothing if not open."""
        if not self._opened:
            return succeed(None)
        self._opened = False
        self._send()  # at once, though a transaction may be under way: the writer thread keeps the order
        closing = deferToThreadPool(self._reactor, self._writer, self._shut)
        return closing.addBoth(self._stop_writer)

    def _shut(self) -> None:  # runs in the writer thread, so that the reactor does not wait for the readers
        self._readers.stop()
        self._file.close()

    def _stop_writer(self, result: Failure | None) -> Failure | None:
        self._writer.stop()
        while self._done:
            self._answer()
        return result

    def _write(self, change: Callable[[Database], R]) -> Deferred[R]:
        if not self._opened:
            return fail(LedgerError(_NOT_OPEN))
        done: Deferred[R] = Deferred()
        self._waiting.append(_Write(change, done))
        if not self._in_flight:
            self._send()
        return done

    def _send(self) -> None:
        """Hand all waiting writes to the writer thread, as one transaction."""
        batch, self._waiting = self._waiting, []
        self._in_flight = bool(batch)
        if batch:
            changes = [write.change for write in batch]
            committing = deferToThreadPool(self._reactor, self._writer, self._file.commit, changes)
            committing.addErrback(self._undone, len(batch)).addCallback(self._settle, batch)

    def _undone(self, failure: Failure, writes: int) -> list[LedgerError]:
        """Return an error for each write of a transaction that failed."""
        text = str(failure.value)
        if not isinstance(failure.value, LedgerError):
            log.failure("{writes} writes to the ledger were undone", failure, writes=writes)
            text = f"the ledger undid this write, see the log for why: {text}"
        return [LedgerError(text) for _ in range(writes)]

    def _settle(self, results: Sequence[Any], batch: Sequence[_Write]) -> None:
        """Fire the Deferreds of a transaction. Writes made by their callbacks join the next transaction."""
        behind = bool(self._done)
        self._done.extend(zip(batch, results, strict=True))
        if not behind:
            self._answer_some()
        self._send()

    def _answer_some(self) -> None:
        """Fire some Deferreds of finished writes, in order. The others follow in the reactor's next turns."""
        until = self._clock.seconds() + _TURN
        for _ in range(min(len(self._done), _ANSWERS)):
            self._answer()
            if self._clock.seconds() >= until:
                break
        if self._done:
            self._clock.callLater(0, self._answer_some)

    def _answer(self) -> None:
        write, result = self._done.popleft()
        if isinstance(result, LedgerError):
            write.done.errback(result)
        else:
            write.done.callback(result)

    def _read(self, question: Callable[[Database], R]) -> Deferred[R]:
        if not self._opened:
            return fail(LedgerError(_NOT_OPEN))
        return deferToThreadPool(self._reactor, self._readers, self._file.ask, question)


_: type[Ledger] = SqliteLedger
