"""What all ledgers that speak SQL have in common: each call is one function over an open database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail

from reactorhub.errors import InvalidRequest
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import NO_FOLLOW_UP, FollowUp
from reactorhub.model.notification import IncidentEvent, Notification
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick
from reactorhub.storage.ledger import LedgerCounts, Page, RunFilter
from reactorhub.storage.outbox import NotificationCounts
from reactorhub.storage.rows import read_cursor
from reactorhub.storage.sqlite import keys, listing, notifications, sql
from reactorhub.storage.sqlite.pruning import prune

R = TypeVar("R")


class SqlLedger(ABC):
    """The calls of :class:`reactorhub.storage.ledger.Ledger`, except ``open`` and ``close``.

    A subclass chooses the database and the thread in which its functions run.
    """

    @abstractmethod
    def _write(self, change: Callable[[sql.Database], R]) -> Deferred[R]:
        """Run ``change`` in a transaction. The Deferred fires with its result once that is committed."""

    @abstractmethod
    def _read(self, question: Callable[[sql.Database], R]) -> Deferred[R]:
        """Run ``question``, which changes nothing. The Deferred fires with its result."""

    def add_run(self, run: Run) -> Deferred[None]:
        """See Ledger.add_run."""
        return self._write(lambda db: sql.add_run(db, run))

    def add_keyed_runs(self, runs: Sequence[Run]) -> Deferred[list[Run | None]]:
        """See Ledger.add_keyed_runs."""
        added = tuple(runs)
        return self._write(lambda db: keys.add_keyed_runs(db, added))

    def keyed_runs(self, wanted: Sequence[str]) -> Deferred[dict[str, Run | None]]:
        """See Ledger.keyed_runs."""
        names = tuple(wanted)
        return self._read(lambda db: keys.keyed_runs(db, names))

    def release_runs(self, run_ids: Sequence[str]) -> Deferred[None]:
        """See Ledger.release_runs."""
        released = tuple(run_ids)
        return self._write(lambda db: keys.release_runs(db, released))

    def save_run(self, run: Run) -> Deferred[None]:
        """See Ledger.save_run."""
        return self._write(lambda db: sql.save_run(db, run))

    def finish_run(self, run: Run, follow_up: FollowUp = NO_FOLLOW_UP) -> Deferred[FollowUp]:
        """See Ledger.finish_run."""

        def change(db: sql.Database) -> FollowUp:
            notifications.store_notifications(db, follow_up.incident_event)
            return sql.finish_run(db, run, follow_up)

        return self._write(change)

    def add_batch(self, batch: Batch, runs: Sequence[Run]) -> Deferred[None]:
        """See Ledger.add_batch."""
        added = tuple(runs)
        return self._write(lambda db: sql.add_batch(db, batch, added))

    def record_tick(
        self,
        tick: Tick,
        run: Run | None = None,
        incident_event: IncidentEvent | None = None,
        after: datetime | None = None,
    ) -> Deferred[bool]:
        """See Ledger.record_tick."""

        def change(db: sql.Database) -> bool:
            recorded = sql.record_tick(db, tick, run, after)
            notifications.store_notifications(db, incident_event if recorded else None)
            return recorded

        return self._write(change)

    def set_progress(
        self,
        keep: Sequence[ScheduleProgress],
        forget: Sequence[str] = (),
        incident_event: IncidentEvent | None = None,
    ) -> Deferred[None]:
        """See Ledger.set_progress."""
        kept, forgotten = tuple(keep), tuple(forget)

        def change(db: sql.Database) -> None:
            sql.set_progress(db, kept, forgotten)
            notifications.store_notifications(db, incident_event)

        return self._write(change)

    def set_override(self, name: str, value: Any) -> Deferred[None]:
        """See Ledger.set_override."""
        return self._write(lambda db: sql.set_override(db, name, value))

    def prune(self, before: datetime, limit: int) -> Deferred[int]:
        """See Ledger.prune."""
        return self._write(lambda db: prune(db, before, limit))

    def run(self, run_id: str) -> Deferred[Run]:
        """See Ledger.run."""
        return self._read(lambda db: sql.find_run(db, run_id))

    def runs(self, which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        """See Ledger.runs."""
        return self._page("runs", cursor, lambda db, before: listing.runs(db, which, limit, before))

    def batch(self, batch_id: str) -> Deferred[tuple[Batch, Mapping[RunState, int]]]:
        """See Ledger.batch."""
        return self._read(lambda db: sql.find_batch(db, batch_id))

    def open_batches(self) -> Deferred[list[Batch]]:
        """See Ledger.open_batches."""
        return self._read(sql.open_batches)

    def active_runs(self) -> Deferred[list[Run]]:
        """See Ledger.active_runs."""
        return self._read(sql.active_runs)

    def waiting_runs(self) -> Deferred[list[Run]]:
        """See Ledger.waiting_runs."""
        return self._read(sql.waiting_runs)

    def last_runs(self) -> Deferred[dict[str, Run]]:
        """See Ledger.last_runs."""
        return self._read(sql.last_runs)

    def ticks(self, schedule: str, limit: int, cursor: str | None = None) -> Deferred[Page[Tick]]:
        """See Ledger.ticks."""
        return self._page("ticks", cursor, lambda db, before: sql.ticks(db, schedule, limit, before))

    def counts(self) -> Deferred[LedgerCounts]:
        """See Ledger.counts."""
        return self._read(sql.counts)

    def progress(self) -> Deferred[dict[str, ScheduleProgress]]:
        """See Ledger.progress."""
        return self._read(sql.progress)

    def overrides(self) -> Deferred[dict[str, Any]]:
        """See Ledger.overrides."""
        return self._read(sql.overrides)

    def next_notifications(self) -> Deferred[list[Notification]]:
        """See Outbox.next_notifications."""
        return self._read(notifications.next_notifications)

    def try_notification(self, notification_id: str) -> Deferred[Notification]:
        """See Outbox.try_notification."""
        return self._write(lambda db: notifications.try_notification(db, notification_id))

    def settle_notification(self, notification: Notification) -> Deferred[None]:
        """See Outbox.settle_notification."""
        return self._write(lambda db: notifications.settle_notification(db, notification))

    def notification_counts(self) -> Deferred[NotificationCounts]:
        """See Outbox.notification_counts."""
        return self._read(notifications.notification_counts)

    def forget_removed(self, schedules: Collection[str], channels: Collection[str]) -> Deferred[None]:
        """See Outbox.forget_removed."""
        names = tuple(schedules), tuple(channels)
        return self._write(lambda db: notifications.forget_removed(db, *names))

    def _page(
        self, kind: str, cursor: str | None, question: Callable[[sql.Database, int | None], Page[R]]
    ) -> Deferred[Page[R]]:
        try:
            before = read_cursor(kind, cursor)
        except InvalidRequest as error:
            return fail(error)
        return self._read(lambda db: question(db, before))
