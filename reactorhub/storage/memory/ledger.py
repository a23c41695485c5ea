"""A ledger in memory: the double that ships with the hub. It does what the one on disk does, until exit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, succeed
from twisted.logger import Logger

from reactorhub.errors import LedgerError
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import NO_FOLLOW_UP, FollowUp
from reactorhub.model.notification import IncidentEvent, Notification
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick
from reactorhub.policies.incidents import OWN_MISTAKES, announce
from reactorhub.storage.ledger import Ledger, LedgerCounts, Page, RunFilter
from reactorhub.storage.memory.notifications import MemoryIncidentStore
from reactorhub.storage.memory.tables import MemoryTables
from reactorhub.storage.outbox import NotificationCounts, log_changes

R = TypeVar("R")


class MemoryLedger:
    """A :class:`reactorhub.storage.ledger.Ledger` whose Deferreds fire at once.

    It works without :meth:`open`, and keeps what it has over a :meth:`close` and the next open, as a restart
    would find it. Set ``fail_writes`` to an exception and each write fails with it, as with a full disk.
    """

    log = Logger()

    def __init__(self) -> None:
        self.fail_writes: Exception | None = None
        self._closed = False
        self._tables = MemoryTables()
        self._incidents = MemoryIncidentStore()

    def open(self) -> Deferred[None]:
        """Take orders (again)."""
        self._closed = False
        return succeed(None)

    def close(self) -> Deferred[None]:
        """Take no more orders."""
        self._closed = True
        return succeed(None)

    def add_run(self, run: Run) -> Deferred[None]:
        """Keep a new run."""
        return self._write(lambda: self._tables.add_run(run))

    def save_run(self, run: Run) -> Deferred[None]:
        """Replace what is kept of a known run, but not its place and ``created_at``."""
        return self._write(lambda: self._tables.save_run(run))

    def finish_run(self, run: Run, follow_up: FollowUp = NO_FOLLOW_UP) -> Deferred[FollowUp]:
        """Replace what is kept of a run that has ended, and keep what its end brings about; or do neither."""
        return self._write(lambda: self._finish_run(run, follow_up))

    def _finish_run(self, run: Run, follow_up: FollowUp) -> FollowUp:
        brought = self._tables.finish_run(run, follow_up)
        self._tell(follow_up.incident_event)
        return brought

    def add_batch(self, batch: Batch, runs: Sequence[Run]) -> Deferred[None]:
        """Keep a batch and all its runs, or nothing."""
        return self._write(lambda: self._tables.add_batch(batch, runs))

    def record_tick(
        self,
        tick: Tick,
        run: Run | None = None,
        incident_event: IncidentEvent | None = None,
        after: datetime | None = None,
    ) -> Deferred[bool]:
        """Keep a tick's row, its run, its schedule's progress and what is to be told; or fire with False."""
        return self._write(lambda: self._record_tick(tick, run, incident_event, after))

    def _record_tick(
        self, tick: Tick, run: Run | None, incident_event: IncidentEvent | None, after: datetime | None
    ) -> bool:
        kept = self._tables.record_tick(tick, run, after)
        if kept:
            self._tell(incident_event)
        return kept

    def set_progress(
        self,
        keep: Sequence[ScheduleProgress],
        forget: Sequence[str] = (),
        incident_event: IncidentEvent | None = None,
    ) -> Deferred[None]:
        """Forget some schedules' marks, replace others, and keep what is to be told."""
        return self._write(lambda: self._set_progress(keep, forget, incident_event))

    def _set_progress(
        self, keep: Sequence[ScheduleProgress], forget: Sequence[str], incident_event: IncidentEvent | None
    ) -> None:
        self._tables.set_progress(keep, forget)
        self._tell(incident_event)

    def set_override(self, name: str, value: Any) -> Deferred[None]:
        """Keep an override; None removes it."""
        return self._write(lambda: self._tables.set_override(name, value))

    def prune(self, before: datetime, limit: int) -> Deferred[int]:
        """Forget at most so many rows of what was over before this moment; fire with how many went."""
        return self._write(lambda: self._tables.prune(before, limit))

    def run(self, run_id: str) -> Deferred[Run]:
        """Look a run up. Fails with UnknownRun."""
        return self._read(lambda: self._tables.run(run_id))

    def runs(self, which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        """List runs, newest first. ``since`` is the first moment listed, ``until`` the first one beyond."""
        return self._read(lambda: self._tables.runs(which, limit, cursor))

    def batch(self, batch_id: str) -> Deferred[tuple[Batch, Mapping[RunState, int]]]:
        """Look a batch up, and count its runs by state. Fails with UnknownBatch."""
        return self._read(lambda: self._tables.batch(batch_id))

    def open_batches(self) -> Deferred[list[Batch]]:
        """The batches whose runs are not all final."""
        return self._read(self._tables.open_batches)

    def active_runs(self) -> Deferred[list[Run]]:
        """All runs that hold a slot, in the order in which they were added."""
        return self._read(lambda: [run for run in self._tables.all_runs() if run.state.active])

    def waiting_runs(self) -> Deferred[list[Run]]:
        """All queued runs, in the order in which they were added."""
        return self._read(lambda: [run for run in self._tables.all_runs() if run.state is RunState.QUEUED])

    def last_runs(self) -> Deferred[dict[str, Run]]:
        """The newest run of each schedule that ever had one."""
        return self._read(
            lambda: {
                run.spec.schedule: run for run in self._tables.all_runs() if run.spec.schedule is not None
            }
        )

    def ticks(self, schedule: str, limit: int, cursor: str | None = None) -> Deferred[Page[Tick]]:
        """List a schedule's ticks, newest nominal time first."""
        return self._read(lambda: self._tables.ticks(schedule, limit, cursor))

    def counts(self) -> Deferred[LedgerCounts]:
        """How much is kept."""
        return self._read(self._tables.counts)

    def progress(self) -> Deferred[dict[str, ScheduleProgress]]:
        """What is remembered of each schedule, by name."""
        return self._read(self._tables.progress)

    def overrides(self) -> Deferred[dict[str, Any]]:
        """What operators have set at run time."""
        return self._read(self._tables.overrides)

    def next_notifications(self) -> Deferred[list[Notification]]:
        """The oldest waiting notice of each channel that has one."""
        return self._read(self._incidents.next_notifications)

    def try_notification(self, notification_id: str) -> Deferred[Notification]:
        """Count one more try of a notice; fires with the notice."""
        return self._write(lambda: self._incidents.try_notification(notification_id))

    def settle_notification(self, notification: Notification) -> Deferred[None]:
        """Replace what is kept of a notice."""
        return self._write(lambda: self._incidents.put(notification))

    def notification_counts(self) -> Deferred[NotificationCounts]:
        """How the notices fare."""
        return self._read(self._incidents.counts)

    def tidy_alerts(self, schedules: Collection[str], channels: Collection[str]) -> Deferred[None]:
        """Forget the incidents of all other schedules; give up what waits in channels that are no more."""
        return self._write(lambda: log_changes(self._incidents.tidy(schedules, channels)))

    def _tell(self, incident_event: IncidentEvent | None) -> None:
        if incident_event is None:
            return
        try:
            log_changes(announce(incident_event, self._incidents))
        except OWN_MISTAKES:
            self.log.failure(
                "nobody is told that {name} has {happening}",
                name=incident_event.schedule,
                event_kind=incident_event.event_kind,
            )

    def _write(self, change: Callable[[], R]) -> Deferred[R]:
        def unless_failing() -> R:
            if self.fail_writes is not None:
                raise self.fail_writes
            try:
                return change()
            except (TypeError, ValueError) as error:
                raise LedgerError(f"the ledger cannot hold a value of this write: {error}") from error

        return self._read(unless_failing)

    def _read(self, question: Callable[[], R]) -> Deferred[R]:
        def unless_closed() -> R:
            if self._closed:
                raise LedgerError("the ledger is closed and takes no more orders: open it again")
            return question()

        return execute(unless_closed)


_: type[Ledger] = MemoryLedger
