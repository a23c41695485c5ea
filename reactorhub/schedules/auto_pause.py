"""Pauses a schedule whose runs fail again and again."""

from __future__ import annotations

from twisted.logger import Logger

from reactorhub.errors import UnknownSchedule
from reactorhub.model.run import Run, RunState
from reactorhub.policies.retries import FAILURES, failures_in_a_row, is_tried_again
from reactorhub.schedules.book import ScheduleBook
from reactorhub.storage.ledger import Ledger, RunFilter

_LOOK_BACK = 100  # how many runs are looked at, at least
_ENDED = FAILURES | {RunState.SUCCEEDED, RunState.INTERRUPTED}  # the last one links attempts to each other


class FailureWatch:
    """Counts failures from the ledger, so that a restart forgets none of them."""

    log = Logger()

    def __init__(self, ledger: Ledger, book: ScheduleBook) -> None:
        self._ledger = ledger
        self._book = book

    def concerns(self, run: Run) -> bool:
        """Whether a run that has ended for good may be one failure too many."""
        return run.state in FAILURES and self._watches(run.spec.schedule or "")

    def _watches(self, name: str) -> bool:
        schedule = self._book.schedules.get(name)
        watched = schedule is not None and schedule.pause_on_failure is not None
        return watched and self._book.paused(name) is None

    async def pauses(self, run: Run) -> bool:
        """Pause the run's schedule if it was one failure too many; whether it is paused for that.

        :raises LedgerError: if the ledger could not be asked, or the pause not be written down.
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
        """Return the last failures of the schedules whose pause the hub may not have lived to write down."""
        if not any(each.pause_on_failure for each in self._book.schedules.values()):
            return []
        newest = await self._ledger.last_runs()
        unsure = [name for name, run in newest.items() if run.state is not RunState.SUCCEEDED]
        found = [await self._last_failure(name) for name in unsure if self._watches(name)]
        return [run for run in found if run is not None]

    async def _last_failure(self, name: str) -> Run | None:
        """The newest run that failed for good, though others may have been made since."""
        page = await self._ledger.runs(RunFilter(schedule=name, states=FAILURES), _LOOK_BACK)
        return next((run for run in page.rows if not is_tried_again(run)), None)

    async def _count(self, run: Run) -> int:
        """Count the failures in a row, as far as they matter: each may have taken several attempts."""
        name, rule = run.spec.schedule or "", run.spec.retry
        rows = 2 * max(_LOOK_BACK, self._most(name) * (1 + (rule.max_retries if rule else 0)))
        page = await self._ledger.runs(RunFilter(schedule=name, states=_ENDED), rows)
        return failures_in_a_row(page.rows, self._book.resumed_at(name))

    def _most(self, name: str) -> int:
        schedule = self._book.schedules.get(name)
        return (schedule and schedule.pause_on_failure) or 0
