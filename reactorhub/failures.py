"""Pauses a schedule whose runs fail again and again."""

from __future__ import annotations

from twisted.logger import Logger

from reactorhub.boundaries import Ledger, RunFilter
from reactorhub.model import Run, RunState
from reactorhub.retries import FAILURES, failures_in_a_row, is_tried_again
from reactorhub.schedule_book import ScheduleBook

_LOOK_BACK = 100  # how many runs are looked at, at least
_TELLING = FAILURES | {RunState.SUCCEEDED}


class FailureWatch:
    """Counts failures from the ledger, so that a restart forgets none of them."""

    log = Logger()

    def __init__(self, ledger: Ledger, book: ScheduleBook) -> None:
        self._ledger = ledger
        self._book = book

    def concerns(self, run: Run) -> bool:
        """Whether a run that has ended for good may be one failure too many."""
        schedule = self._book.schedules.get(run.spec.schedule or "")
        watched = schedule is not None and schedule.pause_on_failure is not None
        return watched and run.state in FAILURES and self._book.paused(run.spec.schedule or "") is None

    async def pauses(self, run: Run) -> bool:
        """Pause the run's schedule if it was one failure too many; whether it is paused for that.

        :raises LedgerError: if the ledger could not be asked, or the pause not be written down.
        """
        name, count = run.spec.schedule or "", await self._count(run)
        if not self.concerns(run) or count < self._most(name):
            return False
        reason = f"{count} {'run' if count == 1 else 'runs'} in a row failed, the last: {run.reason}"
        self.log.warn("schedule {name} is paused: {reason}", name=name, reason=reason)
        return await self._book.pause(name, reason)

    async def overdue(self) -> list[Run]:
        """Return the last runs of the schedules whose pause the hub may not have lived to write down."""
        if not any(each.pause_on_failure for each in self._book.schedules.values()):
            return []
        newest = (await self._ledger.last_runs()).values()
        return [run for run in newest if self.concerns(run) and not is_tried_again(run)]

    async def _count(self, run: Run) -> int:
        """Count the failures in a row, as far as they matter: each may have taken several attempts."""
        name, rule = run.spec.schedule or "", run.spec.retry
        rows = max(_LOOK_BACK, self._most(name) * (1 + (rule.max_retries if rule else 0)))
        page = await self._ledger.runs(RunFilter(schedule=name, states=_TELLING), rows)
        return failures_in_a_row(page.rows, self._book.resumed_at(name))

    def _most(self, name: str) -> int:
        schedule = self._book.schedules.get(name)
        return (schedule and schedule.pause_on_failure) or 0
