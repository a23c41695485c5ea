"""Pauses a schedule whose runs fail again and again."""

from __future__ import annotations

from twisted.logger import Logger

from reactorhub.errors import UnknownSchedule
from reactorhub.model.run import Run, RunState
from reactorhub.policies.retries import FAILURES, failures_in_a_row, is_tried_again
from reactorhub.schedules.book import ScheduleBook
from reactorhub.storage.ledger import Ledger, RunFilter

_LOOK_BACK = 100  # runs to read at least, so that usual limits need one read
_ENDED = FAILURES | {
    RunState.SUCCEEDED,
    RunState.INTERRUPTED,
}  # interrupted attempts link the attempts before and after them


class AutoPause:
    """Counts the failures of schedules in the ledger, so that a restart does not reset the count."""

    log = Logger()

    def __init__(self, ledger: Ledger, book: ScheduleBook) -> None:
        self._ledger = ledger
        self._book = book

    def concerns(self, run: Run) -> bool:
        """Return whether the end of ``run``, which is not retried, may pause its schedule."""
        return run.state in FAILURES and self._watches(run.spec.schedule or "")

    def _watches(self, name: str) -> bool:
        schedule = self._book.schedules.get(name)
        watched = schedule is not None and schedule.pause_on_failure is not None
        return watched and self._book.paused(name) is None

    async def pauses(self, run: Run) -> bool:
        """Pause the run's schedule if it has failed too often. Return whether this call paused it.

        :raises LedgerError: if the ledger could not be read or could not write the pause.
        """
        name, count = run.spec.schedule or "", await self._count(run)
        if not self.concerns(run) or count < self._most(name):
            return False
        reason = f"{count} {'run' if count == 1 else 'runs'} in a row failed, the last: {run.reason}"
        self.log.warn("schedule {name} is paused: {reason}", name=name, reason=reason)
        try:
            return await self._book.pause(name, reason)
        except UnknownSchedule:  # a reload has removed it meanwhile
            return False

    async def overdue(self) -> list[Run]:
        """Return the last failure of each schedule that may have missed its pause because the hub died."""
        if not any(each.pause_on_failure for each in self._book.schedules.values()):
            return []
        newest = await self._ledger.last_runs()
        unsure = [name for name, run in newest.items() if run.state is not RunState.SUCCEEDED]
        found = [await self._last_failure(name) for name in unsure if self._watches(name)]
        return [run for run in found if run is not None]

    async def _last_failure(self, name: str) -> Run | None:
        """Return the newest failed run that was not retried, even if newer runs exist."""
        page = await self._ledger.runs(RunFilter(schedule=name, states=FAILURES), _LOOK_BACK)
        return next((run for run in page.rows if not is_tried_again(run)), None)

    async def _count(self, run: Run) -> int:
        """Count the failures in a row, as far as the limit needs. Each may have taken several attempts."""
        name, rule = run.spec.schedule or "", run.spec.retry
        rows = 2 * max(_LOOK_BACK, self._most(name) * (1 + (rule.max_retries if rule else 0)))
        page = await self._ledger.runs(RunFilter(schedule=name, states=_ENDED), rows)
        return failures_in_a_row(page.rows, self._book.resumed_at(name))

    def _most(self, name: str) -> int:
        schedule = self._book.schedules.get(name)
        return (schedule and schedule.pause_on_failure) or 0
