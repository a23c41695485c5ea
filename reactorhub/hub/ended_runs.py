"""What the hub does once a run is final: reports a finished batch, pauses a schedule that keeps failing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from reactorhub.events.publisher import EventPublisher
from reactorhub.events.types import EventType
from reactorhub.hub.schedules import ScheduleViews
from reactorhub.model.follow_up import FollowUp
from reactorhub.model.run import FINAL, Run
from reactorhub.schedules.auto_pause import AutoPause
from reactorhub.storage.ledger import Ledger, RunFilter
from reactorhub.wire.views import batch_view

MAX_REPUBLISHED = 500  # runs at a start; a sink takes them in ten writes
_RECENT = timedelta(days=1)


class EndedRuns:
    """Acts on each run whose final state is on disk. An error here is logged and stops no other run."""

    log = Logger()

    def __init__(
        self,
        ledger: Ledger,
        publisher: EventPublisher,
        views: ScheduleViews,
        failures: AutoPause,
        now: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._views = views
        self._failures = failures
        self._now = now

    async def recover(self) -> None:
        """Do what may be left undone because the hub died: pause schedules, and publish how runs ended."""
        for run in await self._failures.overdue():
            await self._pause_if_failing(run)
        recent = RunFilter(states=FINAL, since=self._now() - _RECENT)
        newest_first = (await self._ledger.runs(recent, MAX_REPUBLISHED)).rows
        for run in reversed(newest_first):
            self._publisher.publish_again(run)

    def ended(self, run: Run, follow_up: FollowUp) -> None:
        """Report the batch that this end completes, and pause the schedule if it has failed too often."""
        if run.spec.batch is not None and follow_up.completes:
            self._act(
                self._report_batch(run.spec.batch), f"batch {run.spec.batch} is done, but no event says so"
            )
        if follow_up.attempt is None and self._failures.concerns(run):
            self._act(
                self._pause_if_failing(run), f"schedule {run.spec.schedule} is not paused for its failures"
            )

    def _act(self, act: Coroutine[Deferred[Any], Any, None], otherwise: str) -> None:
        acting = Deferred.fromCoroutine(act)
        acting.addErrback(lambda failure: self.log.failure("{otherwise}", failure, otherwise=otherwise))

    async def _report_batch(self, batch_id: str) -> None:
        batch = await self._ledger.batch(batch_id)
        self._publisher.event(EventType.BATCH_FINISHED, {"batch": batch_view(*batch)})

    async def _pause_if_failing(self, run: Run) -> None:
        if await self._failures.pauses(run):
            await self._views.announced(EventType.SCHEDULE_PAUSED, run.spec.schedule or "", True)
