"""The ledger in one SQLite file. Its threads are its own; the reactor's thread never waits for the disk.

Writes are grouped: what is asked for while a transaction is under way forms the next one, so that all who
wait share one fsync. A write that fails is undone by itself; a transaction that fails takes its writes along.
A large transaction is answered over several turns of the reactor, for each answer makes its asker go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from reactorhub.errors import InvalidRequest, LedgerError
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import NO_FOLLOW_UP, FollowUp
from reactorhub.model.notification import IncidentEvent, Notification
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick
from reactorhub.storage.ledger import Ledger, LedgerCounts, Page, RunFilter
from reactorhub.storage.outbox import NotificationCounts
from reactorhub.storage.rows import read_cursor
from reactorhub.storage.sqlite import listing, notifications, sql
from reactorhub.storage.sqlite.file import Change, SqliteFile
from reactorhub.storage.sqlite.pruning import prune

P = ParamSpec("P")
R = TypeVar("R")
log = Logger()

_READERS = 2
_ANSWERS = 10  # writes that are answered in one turn of the reactor, at most
_TURN = 0.01  # seconds after which the rest of the answers waits for the next turn
_NOT_OPEN = "the ledger is not open: it takes orders after open() has fired and until close() is called"


@dataclass(frozen=True, slots=True)
class _Write:
    """One write that waits for its transaction."""

    change: Change
    done: Deferred[Any]


def _pool(threads: int, name: str) -> ThreadPool:
    pool = ThreadPool(threads, threads, name)
    # The process may end without close(): that is a kill, which the file stands, and must not hang on these.
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    pool.start()
    return pool


class SqliteLedger:
    """A :class:`reactorhub.storage.ledger.Ledger` in the file ``path``. ``busy_timeout`` is in seconds.

    Nothing is opened and no thread is started before :meth:`open`, so it may be built before a fork.
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
        """Open or create the file and bring its schema up to date.

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
        """Finish what was asked for, then close the file and end the threads. Does nothing if not open."""
        if not self._opened:
            return succeed(None)
        self._opened = False
        self._send()  # now, though a batch may be under way: the writer thread keeps the order
        closing = deferToThreadPool(self._reactor, self._writer, self._shut)
        return closing.addBoth(self._stop_writer)

    def _shut(self) -> None:  # in the writer thread, so that the reactor's need not wait for the readers
        self._readers.stop()
        self._file.close()

    def _stop_writer(self, result: Failure | None) -> Failure | None:
        self._writer.stop()
        while self._done:
            self._answer()
        return result

    def add_run(self, run: Run) -> Deferred[None]:
        """Keep a new run."""
        return self._write(sql.add_run, run)

    def save_run(self, run: Run) -> Deferred[None]:
        """Replace what is kept of a known run, but not its place and ``created_at``."""
        return self._write(sql.save_run, run)

    def finish_run(self, run: Run, follow_up: FollowUp = NO_FOLLOW_UP) -> Deferred[FollowUp]:
        """Replace what is kept of a run that has ended, and keep what its end brings about; or do neither."""

        def change(db: sql.Database) -> FollowUp:
            notifications.tell(db, follow_up.incident_event)
            return sql.finish_run(db, run, follow_up)

        return self._write(change)

    def add_batch(self, batch: Batch, runs: Sequence[Run]) -> Deferred[None]:
        """Keep a batch and all its runs, or nothing."""
        return self._write(sql.add_batch, batch, tuple(runs))

    def record_tick(
        self,
        tick: Tick,
        run: Run | None = None,
        incident_event: IncidentEvent | None = None,
        after: datetime | None = None,
    ) -> Deferred[bool]:
        """Keep a tick's row, its run, its schedule's progress and what is to be told; or fire with False."""

        def change(db: sql.Database) -> bool:
            recorded = sql.record_tick(db, tick, run, after)
            notifications.tell(db, incident_event if recorded else None)
            return recorded

        return self._write(change)

    def set_progress(
        self,
        keep: Sequence[ScheduleProgress],
        forget: Sequence[str] = (),
        incident_event: IncidentEvent | None = None,
    ) -> Deferred[None]:
        """Forget some schedules' marks and replace others, in one transaction with what is to be told."""

        def change(db: sql.Database) -> None:
            sql.set_progress(db, tuple(keep), tuple(forget))
            notifications.tell(db, incident_event)

        return self._write(change)

    def set_override(self, name: str, value: Any) -> Deferred[None]:
        """Keep an override; None removes it."""
        return self._write(sql.set_override, name, value)

    def prune(self, before: datetime, limit: int) -> Deferred[int]:
        """Forget at most so many rows of what was over before this moment; fire with how many went."""
        return self._write(prune, before, limit)

    def run(self, run_id: str) -> Deferred[Run]:
        """Look a run up. Fails with UnknownRun."""
        return self._read(sql.find_run, run_id)

    def runs(self, which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        """List runs, newest first. ``since`` is the first moment listed, ``until`` the first one beyond."""
        try:
            before = read_cursor("runs", cursor)
        except InvalidRequest as error:
            return fail(error)
        return self._read(listing.runs, which, limit, before)

    def batch(self, batch_id: str) -> Deferred[tuple[Batch, Mapping[RunState, int]]]:
        """Look a batch up, and count its runs by state. Fails with UnknownBatch."""
        return self._read(sql.find_batch, batch_id)

    def open_batches(self) -> Deferred[list[Batch]]:
        """The batches whose runs are not all final."""
        return self._read(sql.open_batches)

    def active_runs(self) -> Deferred[list[Run]]:
        """All runs that hold a slot, in the order in which they were added."""
        return self._read(sql.active_runs)

    def waiting_runs(self) -> Deferred[list[Run]]:
        """All queued runs, in the order in which they were added."""
        return self._read(sql.waiting_runs)

    def last_runs(self) -> Deferred[dict[str, Run]]:
        """The newest run of each schedule that ever had one."""
        return self._read(sql.last_runs)

    def ticks(self, schedule: str, limit: int, cursor: str | None = None) -> Deferred[Page[Tick]]:
        """List a schedule's ticks, newest nominal time first."""
        try:
            before = read_cursor("ticks", cursor)
        except InvalidRequest as error:
            return fail(error)
        return self._read(sql.ticks, schedule, limit, before)

    def counts(self) -> Deferred[LedgerCounts]:
        """How much is kept."""
        return self._read(sql.counts)

    def progress(self) -> Deferred[dict[str, ScheduleProgress]]:
        """What is remembered of each schedule, by name."""
        return self._read(sql.progress)

    def overrides(self) -> Deferred[dict[str, Any]]:
        """What operators have set at run time."""
        return self._read(sql.overrides)

    def next_notifications(self) -> Deferred[list[Notification]]:
        """The oldest waiting notice of each channel that has one."""
        return self._read(notifications.next_notifications)

    def try_notification(self, notification_id: str) -> Deferred[Notification]:
        """Count one more try of a notice; fires with the notice."""
        return self._write(notifications.try_notification, notification_id)

    def settle_notification(self, notification: Notification) -> Deferred[None]:
        """Replace what is kept of a notice."""
        return self._write(notifications.settle_notification, notification)

    def notification_counts(self) -> Deferred[NotificationCounts]:
        """How the notices fare."""
        return self._read(notifications.notification_counts)

    def tidy_alerts(self, schedules: Collection[str], channels: Collection[str]) -> Deferred[None]:
        """Forget the incidents of all other schedules; give up what waits in channels that are no more."""
        return self._write(notifications.tidy_alerts, tuple(schedules), tuple(channels))

    def _write(
        self, change: Callable[Concatenate[sql.Database, P], R], *args: P.args, **more: P.kwargs
    ) -> Deferred[R]:
        if not self._opened:
            return fail(LedgerError(_NOT_OPEN))
        done: Deferred[R] = Deferred()
        self._waiting.append(_Write(lambda db: change(db, *args, **more), done))
        if not self._in_flight:
            self._send()
        return done

    def _send(self) -> None:
        """Hand all that waits to the writer thread, as one transaction."""
        batch, self._waiting = self._waiting, []
        self._in_flight = bool(batch)
        if batch:
            changes = [write.change for write in batch]
            committing = deferToThreadPool(self._reactor, self._writer, self._file.commit, changes)
            committing.addErrback(self._undone, len(batch)).addCallback(self._settle, batch)

    def _undone(self, failure: Failure, writes: int) -> list[LedgerError]:
        """Say that none of the batch's writes was made, to each with an error of its own."""
        text = str(failure.value)
        if not isinstance(failure.value, LedgerError):
            log.failure("{writes} writes to the ledger were undone.", failure, writes=writes)
            text = f"the ledger undid this write, see the log for why: {text}"
        return [LedgerError(text) for _ in range(writes)]

    def _settle(self, results: Sequence[Any], batch: Sequence[_Write]) -> None:
        """Fire the batch's Deferreds. What the first of them make others ask for joins the next batch."""
        behind = bool(self._done)
        self._done.extend(zip(batch, results, strict=True))
        if not behind:
            self._answer_some()
        self._send()

    def _answer_some(self) -> None:
        """Fire some of the Deferreds whose writes are done, in order; more in the reactor's next turn."""
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

    def _read(
        self, question: Callable[Concatenate[sql.Database, P], R], *args: P.args, **more: P.kwargs
    ) -> Deferred[R]:
        if not self._opened:
            return fail(LedgerError(_NOT_OPEN))

        def asked(db: sql.Database) -> R:
            return question(db, *args, **more)

        return deferToThreadPool(self._reactor, self._readers, self._file.ask, asked)


_: type[Ledger] = SqliteLedger
