"""Decides what becomes of a tick that is due: a run, or a row that says why there is none."""

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
    """Takes orders and ticks in as runs that count from now on, while the ledger is still writing them down.

    What the ledger then refuses is to be withdrawn again.
    """

    def __init__(
        self,
        services: RunServices,
        book: ScheduleBook,
        registry: RunRegistry,
        new_id: Callable[[], str],
        max_waiting: int,
    ) -> None:
        """:param most_waiting: how many queued runs the hub takes before it refuses more."""
        self.max_waiting = max_waiting
        self._services = services
        self._book = book
        self._registry = registry
        self._new_id = new_id

    def order(self, *specs: RunSpec) -> list[Run]:
        """Return a run for each of the specs.

        :raises QueueFull: if so many would then wait that the hub takes none of them.
        :raises InvalidRequest: if they are more than the hub ever takes.
        """
        if len(specs) > self.max_waiting:
            why = f"are {len(specs)}, and hub.max_queued_runs lets no more than {self.max_waiting} wait"
            raise InvalidRequest({"runs": why})
        if self._waiting() + len(specs) > self.max_waiting:
            raise QueueFull(f"the limit of {self.max_waiting} waiting runs is reached; try again later")
        runs = [self.new(spec) for spec in specs]
        for run in runs:
            self._registry.reserve(run)
        return runs

    def tick(self, schedule: Schedule, nominal_time: datetime, upstream: Run | None = None) -> ChainedTick:
        """Return the tick as it is to be written down.

        :param upstream: the run whose end has brought it about.
        """
        reason = self._refusal(schedule)
        if reason is not None:
            return ChainedTick(tick=self.row(schedule, nominal_time, TickOutcome.SKIPPED, reason), run=None)
        run = self.new(spec_after(schedule.spec, upstream, nominal_time))
        self._registry.reserve(run)
        self._book.count(schedule.name, 1)
        return ChainedTick(tick=self.row(schedule, nominal_time, TickOutcome.RUN, None, run.id), run=run)

    def withdraw(self, start: ChainedTick) -> None:
        """Forget what the ledger has not taken."""
        if start.run is not None:
            self._registry.withdraw(start.run)
            self._book.count(start.tick.schedule, -1)

    def new(self, spec: RunSpec) -> Run:
        """Return a new run that does not count yet."""
        return Run(id=self._new_id(), spec=spec, created_at=self._services.now())

    def row(
        self,
        schedule: Schedule,
        nominal_time: datetime,
        outcome: TickOutcome,
        reason: str | None,
        run_id: str | None = None,
    ) -> Tick:
        """Return the row for a tick."""
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
