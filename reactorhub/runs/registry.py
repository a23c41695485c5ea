"""The runs that are not final, and which of them belong to a schedule."""

from __future__ import annotations

from collections.abc import Mapping

from reactorhub.model.run import Run
from reactorhub.runs.lifecycle import Lifecycle


class RunRegistry:
    """A run is announced while the ledger is still writing it down, so that it counts at once; then it joins
    with its life, and leaves when it is over. What it costs to ask for the runs of one schedule does not
    grow with those of others."""

    def __init__(self) -> None:
        self._live_runs: dict[str, Lifecycle] = {}
        self._reserved: dict[str, Run] = {}
        self._ending: set[str] = set()
        self._by_schedule: dict[str, dict[str, None]] = {}

    @property
    def live_runs(self) -> Mapping[str, Lifecycle]:
        """The runs that have joined, by id, oldest first."""
        return self._live_runs

    def __len__(self) -> int:
        """Leaves out the runs whose end is being written down."""
        return len(self._live_runs) - len(self._ending) + len(self._reserved)

    def reserve(self, run: Run) -> None:
        """Count a run from now on."""
        self._reserved[run.id] = run
        self._enlist(run)

    def withdraw(self, run: Run) -> None:
        """Count a run no more that was announced, if it was, since nothing came of it."""
        if self._reserved.pop(run.id, None) is not None:
            self._strike(run)

    def add(self, live_run: Lifecycle) -> None:
        """Take a run up, announced before or not."""
        self._reserved.pop(live_run.run.id, None)
        self._live_runs[live_run.run.id] = live_run
        self._enlist(live_run.run)

    def ending(self, run: Run) -> None:
        """Take note that a run is over but for its row, if it has joined."""
        if run.id in self._live_runs:
            self._ending.add(run.id)

    def remove(self, run: Run) -> None:
        """Forget a run that is over."""
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
