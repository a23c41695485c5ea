"""Turns orders and due ticks into new runs, or into a reason why there is no run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from reactorhub.errors import InvalidRequest, QueueFull
from reactorhub.model.follow_up import ChainedTick
from reactorhub.model.run import Run, RunSpec
from reactorhub.model.schedule import Schedule, Tick, TickOutcome
from reactorhub.policies.chains import spec_after
from reactorhub.policies.overlap import PAUSED, skip_reason
from reactorhub.runs.lifecycle import RunServices
from reactorhub.runs.registry import RunRegistry
from reactorhub.schedules.book import ScheduleBook


class Admission:
    """Creates runs and reserves their places at once, before the ledger has written them.

    If the ledger rejects the write, call :meth:`withdraw`.
    """

    def __init__(
        self,
        services: RunServices,
        book: ScheduleBook,
        registry: RunRegistry,
        new_id: Callable[[], str],
        max_waiting: int,
    ) -> None:
        """:param max_waiting: how many queued runs the hub accepts before it refuses more."""
        self.max_waiting = max_waiting
        self._services = services
        self._book = book
        self._registry = registry
        self._new_id = new_id

    @property
    def places(self) -> int:
        """How many more runs may wait."""
        return max(0, self.max_waiting - self._waiting())

    def order(self, *specs: RunSpec) -> list[Run]:
        """Return a new run for each spec, its place reserved.

        :raises QueueFull: if the runs would exceed the limit of waiting runs now.
        :raises InvalidRequest: if there are more runs than the limit, so that no retry can help.
        """
        if len(specs) > self.max_waiting:
            why = f"{len(specs)} runs are more than hub.max_queued_runs allows ({self.max_waiting})"
            raise InvalidRequest({"runs": why})
        if self._waiting() + len(specs) > self.max_waiting:
            raise QueueFull(f"the limit of {self.max_waiting} waiting runs is reached; try again later")
        runs = [self.new(spec) for spec in specs]
        for run in runs:
            self._registry.reserve(run)
        return runs

    def tick(self, schedule: Schedule, nominal_time: datetime, upstream: Run | None = None) -> ChainedTick:
        """Return the tick and, unless the tick is skipped, its new run with its place reserved.

        :param upstream: the run whose end caused the tick.
        """
        reason = self._refusal(schedule)
        if reason is not None:
            return ChainedTick(tick=self.row(schedule, nominal_time, TickOutcome.SKIPPED, reason), run=None)
        run = self.new(spec_after(schedule.spec, upstream, nominal_time))
        self._registry.reserve(run)
        self._book.count(schedule.name, 1)
        return ChainedTick(tick=self.row(schedule, nominal_time, TickOutcome.RUN, None, run.id), run=run)

    def withdraw(self, start: ChainedTick) -> None:
        """Give up the place of a run whose tick the ledger did not write."""
        if start.run is not None:
            self._registry.withdraw(start.run)
            self._book.count(start.tick.schedule, -1)

    def new(self, spec: RunSpec) -> Run:
        """Return a new run without a reserved place."""
        return Run(id=self._new_id(), spec=spec, created_at=self._services.now())

    def row(
        self,
        schedule: Schedule,
        nominal_time: datetime,
        outcome: TickOutcome,
        reason: str | None,
        run_id: str | None = None,
    ) -> Tick:
        """Return the tick as the ledger will record it now."""
        return Tick(
            schedule=schedule.name,
            nominal_time=nominal_time,
            outcome=outcome,
            reason=reason,
            run_id=run_id,
            recorded_at=self._services.now(),
        )

    def _waiting(self) -> int:
        return len(self._registry) - self._services.slots.used

    def _refusal(self, schedule: Schedule) -> str | None:
        paused = self._book.paused(schedule.name)
        if paused is not None:
            return f"{PAUSED}{paused}"
        if self._waiting() >= self.max_waiting:
            return f"the hub is at capacity: the limit of {self.max_waiting} waiting runs is reached"
        return skip_reason(schedule, self._registry.of(schedule.name))
