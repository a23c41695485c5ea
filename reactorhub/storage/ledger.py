"""The seams: what the machinery asks of the world outside, as Protocols.

Each has a double in :mod:`reactorhub.adapters.memory` that ships with the hub, and one suite of tests that
runs over the double and over the real adapter.
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
    """One page of a list, newest first. ``next_cursor`` is opaque; None on the last page."""

    rows: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list; an empty field filters nothing. ``since``/``until`` bound ``created_at``."""

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
    """How much the ledger holds: runs by state (only states that occur), and tick rows."""

    runs: Mapping[RunState, int]
    ticks: int


class Ledger(Outbox, Protocol):
    """The durable record. Every write's Deferred fires once the change would survive a power cut.

    Writes take effect in the order in which they were asked for, and each either happens whole or fails
    with :exc:`reactorhub.errors.LedgerError` and leaves nothing. Reads see every write that has fired.
    """

    def open(self) -> Deferred[None]:
        """Open or create the record and bring its schema up to date."""

    def close(self) -> Deferred[None]:
        """Finish what was asked for, then close. Later calls fail with LedgerError."""

    def add_run(self, run: Run) -> Deferred[None]:
        """Keep a new run."""

    def save_run(self, run: Run) -> Deferred[None]:
        """Replace what is kept of a known run; ``run.id`` tells which. Its place in the order stays."""

    def finish_run(self, run: Run, follow_up: FollowUp = NO_FOLLOW_UP) -> Deferred[FollowUp]:
        """Replace what is kept of a run that has ended, and keep what its end brings about, or do neither.

        Fires with what was written: a start whose nominal time is taken comes a microsecond later, and the
        completion of a batch is left out while other runs of it are not final.
        """

    def add_batch(self, batch: Batch, runs: Sequence[Run]) -> Deferred[None]:
        """Keep a new batch and all its runs, in one transaction."""

    def record_tick(
        self,
        tick: Tick,
        run: Run | None = None,
        incident_event: IncidentEvent | None = None,
        after: datetime | None = None,
    ) -> Deferred[bool]:
        """Keep a tick's row, its run (if it has one), the schedule's progress, and what is to be told of it,
        in one transaction.

        The schedule's mark, if there is one, is moved forward to the tick's nominal time (or ``until``),
        never back, unless it lies more than a day ahead of ``recorded_at``: that came of a clock which has
        been put right. A run is counted in the mark. Fires with False where this (schedule, nominal time) has
        its row, and then moves the mark no further than there and writes nothing else; only the row of a
        single missed tick gives way to one that says what became of it after all.

        :param after: the last moment that the tick before this one accounts for, if that is still being
            written down. The mark does not pass a tick whose write failed: it stays if it is not there yet.
        """

    def run(self, run_id: str) -> Deferred[Run]:
        """Look a run up. Fails with UnknownRun."""

    def runs(self, which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        """List runs, newest first. Fails with InvalidRequest for a cursor that is not this list's."""

    def batch(self, batch_id: str) -> Deferred[tuple[Batch, Mapping[RunState, int]]]:
        """Look a batch up, and count its runs by those states that occur. Fails with UnknownBatch."""

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
        """How much is kept. Its cost does not grow with history."""

    def progress(self) -> Deferred[dict[str, ScheduleProgress]]:
        """What is remembered of each schedule, by name."""

    def set_progress(
        self,
        keep: Sequence[ScheduleProgress],
        forget: Sequence[str] = (),
        incident_event: IncidentEvent | None = None,
    ) -> Deferred[None]:
        """Replace these schedules' marks, forget others, keep what is to be told, in one transaction.

        A mark's count of runs stays as the ledger has it unless its fingerprint is another one.
        """

    def overrides(self) -> Deferred[dict[str, Any]]:
        """What operators have set at run time (JSON values by name), such as limits."""

    def set_override(self, name: str, value: Any) -> Deferred[None]:
        """Keep an override; None removes it."""

    def prune(self, before: datetime, limit: int) -> Deferred[int]:
        """Forget final runs that ended before this moment, in the order of their ends, each with its tick;
        then ticks that no run was made of, recorded before it; then batches that were done before it. Fires
        with how many rows went; 0: none is left.

        At most ``most`` rows go, in one transaction, and the cost is theirs, however long the history is. A
        run and its tick, two rows, go together, so ``most`` is at least 2. Marks stay, and so does the place
        of what is kept: a cursor leads on from where it stood.
        """
