"""Takes runs on: what a tick becomes, which runs are alive, and how all of them end at shutdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from reactorhub.agenda import Missed
from reactorhub.boundaries import View
from reactorhub.errors import QueueFull, ShuttingDown
from reactorhub.life import SHUTDOWN, Life, World
from reactorhub.model import Overlap, Run, RunSpec, RunState, Schedule, Stop, Tick, TickOutcome
from reactorhub.overlap import refusal, waits_for_earlier
from reactorhub.views import tick_view

Emit = Callable[[str, Mapping[str, View]], None]


class Dispatcher:
    """Turns orders and due ticks into runs and keeps every run that is not final."""

    log = Logger()

    def __init__(
        self,
        world: World,
        new_id: Callable[[], str],
        emit: Emit,
        most_waiting: int,
    ) -> None:
        """
        :param emit: takes an event's type and the view it is about.
        :param most_waiting: how many queued runs the hub takes before it refuses more.
        """
        self._world = world
        self._new_id = new_id
        self._emit = emit
        self.most_waiting = most_waiting
        self._lives: dict[str, Life] = {}
        self._arriving: dict[str, Run] = {}
        self._stopping = False

    @property
    def lives(self) -> Mapping[str, Life]:
        """The runs that are not final, by id, oldest first."""
        return self._lives

    def adopt(self, runs: list[Run], policies: Mapping[str, Overlap]) -> None:
        """Take up the runs that were queued when the hub last ended, in their old order.

        :param policies: the overlap policy of each schedule, by name.
        """
        for run in runs:
            self._take(run, policies.get(run.spec.schedule or "", Overlap.ALLOW_ALL))

    async def submit(self, spec: RunSpec, overlap: Overlap = Overlap.ALLOW_ALL) -> Run:
        """Take a run on. When this returns, the run is on disk.

        :raises QueueFull: if as many runs wait as the hub takes.
        :raises ShuttingDown: if the hub is stopping.
        :raises LedgerError: if the run could not be kept; nothing will run.
        """
        if self._stopping:
            raise ShuttingDown("the hub is shutting down and takes no new runs")
        if self.is_full():
            raise QueueFull(f"the limit of {self.most_waiting} waiting runs is reached; try again later")
        run = self._arrival(spec)
        try:
            await self._world.ledger.add_run(run)
        finally:
            del self._arriving[run.id]
        self._new(run, overlap)
        return run

    def is_full(self) -> bool:
        """Whether so many runs wait that no more are taken."""
        waiting = len(self._lives) - self._world.slots.used + len(self._arriving)
        return waiting >= self.most_waiting

    async def tick(self, schedule: Schedule, nominal_time: datetime, paused: str | None) -> None:
        """Account for a due tick: as a run, or as skipped with the reason.

        :param paused: why the schedule is paused, or None.
        :raises LedgerError: if neither could be kept; the tick is still to be accounted for.
        """
        reason = self._refusal(schedule, paused)
        if reason is not None:
            await self._record(self._tick(schedule, nominal_time, TickOutcome.SKIPPED, reason))
            return
        run = self._arrival(replace(schedule.spec, nominal_time=nominal_time))
        tick = self._tick(schedule, nominal_time, TickOutcome.RUN, None, run.id)
        try:
            recorded = await self._world.ledger.record_tick(tick, run)
        finally:
            del self._arriving[run.id]
        if recorded:
            self._new(run, schedule.overlap)

    async def missed(self, missed: Missed) -> None:
        """Account for a tick, or several, that came due when nobody looked."""
        tick = self._tick(missed.schedule, missed.nominal_time, TickOutcome.MISSED, missed.reason)
        await self._record(replace(tick, until=missed.until))

    def unfinished(self, schedule: str) -> list[Run]:
        """The runs of a schedule that are not final, oldest first."""
        runs = [*(life.run for life in self._lives.values()), *self._arriving.values()]
        return [run for run in runs if run.spec.schedule == schedule]

    async def stop(self, grace: float, hurry: Deferred[Any]) -> None:
        """Let waiting runs stay queued, give crawls ``grace`` seconds to finish, then stop them.

        Returns when no crawl is left, at the latest a few seconds after the grace.

        :param hurry: skips the rest of the grace when it fires.
        """
        self._stopping = True
        for life in tuple(self._lives.values()):
            life.put_down()
        everyone = DeferredList([life.finished() for life in self._lives.values()])
        await self._first_of(everyone, hurry, grace)
        order = Stop(state=RunState.INTERRUPTED, reason="the hub was shut down")
        for life in tuple(self._lives.values()):
            life.stop(order, SHUTDOWN)
        await everyone

    async def _first_of(self, everyone: Deferred[Any], hurry: Deferred[Any], grace: float) -> None:
        either: Deferred[None] = Deferred()

        def fire(result: Any) -> Any:
            if not either.called:
                either.callback(None)
            return result

        timer = self._world.clock.callLater(grace, fire, None)
        everyone.addCallback(fire)
        hurry.addCallback(fire)
        await either
        if timer.active():
            timer.cancel()

    def _refusal(self, schedule: Schedule, paused: str | None) -> str | None:
        if paused is not None:
            return f"the schedule is paused: {paused}"
        if self.is_full():
            return f"the hub is at capacity: the limit of {self.most_waiting} waiting runs is reached"
        return refusal(schedule.overlap, self.unfinished(schedule.name))

    def _new(self, run: Run, overlap: Overlap) -> None:
        self._world.changed(run)
        self._take(run, overlap)

    def _take(self, run: Run, overlap: Overlap) -> None:
        earlier = self._earlier(run) if waits_for_earlier(overlap) else None
        life = self._lives[run.id] = Life(run, self._world, earlier)
        life.finished().addCallback(lambda _: self._lives.pop(run.id, None))
        life.begin()

    def _earlier(self, run: Run) -> Deferred[Any] | None:
        lives = [life for life in self._lives.values() if life.run.spec.schedule == run.spec.schedule]
        return DeferredList([life.finished() for life in lives], consumeErrors=True) if lives else None

    def _arrival(self, spec: RunSpec) -> Run:
        """Return a new run that counts from now on, while the ledger is still writing it down."""
        run = Run(id=self._new_id(), spec=spec, created_at=self._world.now())
        self._arriving[run.id] = run
        return run

    def _tick(
        self,
        schedule: Schedule,
        nominal_time: datetime,
        outcome: TickOutcome,
        reason: str | None,
        run_id: str | None = None,
    ) -> Tick:
        return Tick(
            schedule=schedule.name,
            nominal_time=nominal_time,
            outcome=outcome,
            reason=reason,
            run_id=run_id,
            recorded_at=self._world.now(),
        )

    async def _record(self, tick: Tick) -> None:
        if await self._world.ledger.record_tick(tick):
            self._emit(f"tick.{tick.outcome.value}", {"tick": tick_view(tick)})
