"""The runs that are not final, in all and by schedule."""

from __future__ import annotations

from collections.abc import Mapping

from reactorhub.model.run import Run
from reactorhub.runs.lifecycle import Lifecycle


class RunRegistry:
    """Registers runs from the moment they are created until they have ended.

    A run is reserved while the ledger writes it, so that it counts at once. Then it is added with its
    life-cycle, and removed when it has ended. The cost of :meth:`of` does not depend on other schedules.
    """

    def __init__(self) -> None:
        self._live_runs: dict[str, Lifecycle] = {}
        self._reserved: dict[str, Run] = {}
        self._ending: set[str] = set()
        self._by_schedule: dict[str, dict[str, None]] = {}

    @property
    def live_runs(self) -> Mapping[str, Lifecycle]:
        """The life-cycles that were added, by run id, oldest first."""
        return self._live_runs

    def __len__(self) -> int:
        """The number of runs, without those whose end is being written."""
        return len(self._live_runs) - len(self._ending) + len(self._reserved)

    def reserve(self, run: Run) -> None:
        """Count a run whose life-cycle has not begun."""
        self._reserved[run.id] = run
        self._enlist(run)

    def withdraw(self, run: Run) -> None:
        """Stop counting a reserved run. Does nothing if the run is not reserved."""
        if self._reserved.pop(run.id, None) is not None:
            self._strike(run)

    def add(self, live_run: Lifecycle) -> None:
        """Register a run's life-cycle, whether the run was reserved or not."""
        self._reserved.pop(live_run.run.id, None)
        self._live_runs[live_run.run.id] = live_run
        self._enlist(live_run.run)

    def ending(self, run: Run) -> None:
        """Note that a run's end is being written. Does nothing if the run has no life-cycle."""
        if run.id in self._live_runs:
            self._ending.add(run.id)

    def remove(self, run: Run) -> None:
        """Forget a run that has ended."""
        del self._live_runs[run.id]
        self._ending.discard(run.id)
        self._strike(run)

    def of(self, schedule: str) -> list[Run]:
        """Return the runs of a schedule that are not final, oldest first."""
        return [self._run(run_id) for run_id in self._by_schedule.get(schedule, ())]

    def _run(self, run_id: str) -> Run:
        live_run = self._live_runs.get(run_id)
        return self._reserved[run_id] if live_run is None else live_run.run

    def _enlist(self, run: Run) -> None:
        if run.spec.schedule is not None:
            self._by_schedule.setdefault(run.spec.schedule, {})[run.id] = None

    def _strike(self, run: Run) -> None:
        mates = self._by_schedule.get(run.spec.schedule or "", {})
        mates.pop(run.id, None)
        if not mates:
            self._by_schedule.pop(run.spec.schedule or "", None)
