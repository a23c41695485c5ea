"""The seam of the ledger: everything the hub asks of its durable record, as a Protocol.

:mod:`reactorhub.storage.sqlite.ledger` implements it in a file, :mod:`reactorhub.storage.sqlite.memory` in
memory. One suite of tests runs over both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import NO_FOLLOW_UP, FollowUp
from reactorhub.model.notification import IncidentEvent
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick
from reactorhub.storage.outbox import Outbox

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, newest first. ``next_cursor`` is opaque, and None on the last page."""

    rows: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list. An empty field filters nothing. ``created_at`` is in [``since``, ``until``)."""

    states: frozenset[RunState] = frozenset()
    spider: str | None = None
    project: str | None = None
    schedule: str | None = None
    batch: str | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCounts:
    """The number of runs in each state that occurs, and the number of tick rows."""

    runs: Mapping[RunState, int]
    ticks: int


class Ledger(Outbox, Protocol):
    """The durable record. A write's Deferred fires once the change would survive a power cut.

    Writes take effect in the order of the calls. A write is atomic: it fails with
    :exc:`reactorhub.errors.LedgerError` and changes nothing, or it takes effect as a whole. A read sees every
    write whose Deferred has fired.
    """

    def open(self) -> Deferred[None]:
        """Open or create the record, and upgrade its schema."""

    def close(self) -> Deferred[None]:
        """Finish the calls under way, then close. Later calls fail with LedgerError."""

    def add_run(self, run: Run) -> Deferred[None]:
        """Store a new run."""

    def add_keyed_runs(self, runs: Sequence[Run]) -> Deferred[list[Run | None]]:
        """Store new runs, each unless its key is taken, in one transaction.

        Fires with what the ledger has for each of them: the run itself, or the run that has its key. None
        stands for a run that had the key and has been deleted.

        A key is taken for 7 days, and as long as its run is kept. Runs without a key are always stored.
        """

    def keyed_runs(self, wanted: Sequence[str]) -> Deferred[dict[str, Run | None]]:
        """Those of the keys that are taken, each with its run; None if the run has been deleted."""

    def release_runs(self, run_ids: Sequence[str]) -> Deferred[None]:
        """Note that these runs are no longer held."""

    def save_run(self, run: Run) -> Deferred[None]:
        """Replace the stored run with the same id. Its place and its ``created_at`` do not change."""

    def finish_run(self, run: Run, follow_up: FollowUp = NO_FOLLOW_UP) -> Deferred[FollowUp]:
        """Replace a run that has ended and store its follow-up, in one transaction.

        Fires with the follow-up as it was stored. A chained tick whose nominal time is taken moves to the
        next free microsecond. The completion of a batch is left out while other runs of the batch are not
        final.
        """

    def add_batch(self, batch: Batch, runs: Sequence[Run]) -> Deferred[None]:
        """Store a new batch and all its runs, in one transaction."""

    def record_tick(
        self,
        tick: Tick,
        run: Run | None = None,
        incident_event: IncidentEvent | None = None,
        after: datetime | None = None,
    ) -> Deferred[bool]:
        """Store a tick, its run (if any), the schedule's progress and the notifications, in one transaction.

        Fires with False if the tick is already recorded. Then only the schedule's progress is updated, at
        most to this tick. The row of a single missed tick may be overwritten by what became of the tick after
        all.

        Progress moves forward to the tick's nominal time (or ``until``). It moves back only if it lies more
        than a day ahead of ``recorded_at``: then an earlier clock was wrong. Progress also counts the runs.

        :param after: the last moment that the previous tick accounts for, if the write of that tick is still
            under way. Progress must not pass a tick whose write failed, so it does not move until it has
            reached ``after``.
        """

    def run(self, run_id: str) -> Deferred[Run]:
        """Find a run. Fails with UnknownRun."""

    def runs(self, which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        """List runs, newest first. Fails with InvalidRequest if the cursor is not from this list."""

    def batch(self, batch_id: str) -> Deferred[tuple[Batch, Mapping[RunState, int]]]:
        """Find a batch, and count its runs in each state that occurs. Fails with UnknownBatch."""

    def open_batches(self) -> Deferred[list[Batch]]:
        """The batches whose runs are not all final."""

    def active_runs(self) -> Deferred[list[Run]]:
        """All runs that are starting, running or stopping, in the order in which they were added."""

    def waiting_runs(self) -> Deferred[list[Run]]:
        """All queued runs, in the order in which they were added."""

    def last_runs(self) -> Deferred[dict[str, Run]]:
        """The newest run of each schedule that ever had one."""

    def ticks(self, schedule: str, limit: int, cursor: str | None = None) -> Deferred[Page[Tick]]:
        """List a schedule's ticks, newest nominal time first."""

    def counts(self) -> Deferred[LedgerCounts]:
        """Count runs and ticks. The cost does not grow with history."""

    def progress(self) -> Deferred[dict[str, ScheduleProgress]]:
        """The progress of each schedule, by name."""

    def set_progress(
        self,
        keep: Sequence[ScheduleProgress],
        forget: Sequence[str] = (),
        incident_event: IncidentEvent | None = None,
    ) -> Deferred[None]:
        """Replace the progress of some schedules, delete that of others, and store the notifications.

        All of it is one transaction. The stored number of runs stays unless the fingerprint changes.
        """

    def overrides(self) -> Deferred[dict[str, Any]]:
        """The values that operators have set at run time, such as limits: JSON values by name."""

    def set_override(self, name: str, value: Any) -> Deferred[None]:
        """Store an override. None removes it."""

    def prune(self, before: datetime, limit: int) -> Deferred[int]:
        """Delete old rows, and fire with their number. 0 means that no old row is left.

        Final runs that ended before this moment are deleted first, oldest end first, each with its tick. Then
        follow the ticks without a run that were recorded before it, then the batches that were done before
        it.

        One call deletes at most ``limit`` rows, in one transaction. Its cost depends on these rows alone, not
        on the length of the history. A run and its tick are deleted together, so ``limit`` is at least 2.
        Progress stays. Cursors stay valid.
        """
