"""Takes runs on: what a tick becomes, which runs are alive, and how all of them end at shutdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults
from twisted.logger import Logger

from reactorhub.agenda import Missed
from reactorhub.boundaries import View
from reactorhub.errors import QueueFull, ShuttingDown
from reactorhub.life import SHUTDOWN, Ladder, Life, World
from reactorhub.model import Run, RunSpec, RunState, Schedule, Stop, Tick, TickOutcome
from reactorhub.overlap import refusal, replacement, replaces_others, turns
from reactorhub.retries import next_attempt
from reactorhub.turns import Turns
from reactorhub.views import tick_view

Emit = Callable[[str, Mapping[str, View]], None]
Ended = Callable[[Run, Run | None], None]

_DIED = "the hub ended while the run was going on"


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
        self._turns = Turns()
        self._listeners: list[Ended] = []
        self._stopping = False

    @property
    def lives(self) -> Mapping[str, Life]:
        """The runs that are not final, by id, oldest first."""
        return self._lives

    def listen(self, ended: Ended) -> None:
        """Tell ``ended`` of each run that has become final, with its next attempt if it has one."""
        self._listeners.append(ended)

    async def recover(self) -> None:
        """Write down that the runs under way have died with the process, and queue their next attempts.

        :raises LedgerError: if that could not be written down.
        """
        moment = self._world.now()
        died = [
            run.moved(RunState.INTERRUPTED, finished_at=moment, reason=_DIED)
            for run in await self._world.ledger.active_runs()
        ]
        both = [(run, self._follow(run)) for run in died]
        writes = [self._world.ledger.finish_run(*each) for each in both]
        try:
            await gatherResults(writes, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        for run, following in both:
            self._world.changed(run)
            if following is not None:
                self._world.changed(following)
            self._tell(run, following)

    def adopt(self, runs: list[Run], schedules: Mapping[str, Schedule]) -> None:
        """Take up the runs that were queued when the hub last ended, in their old order.

        :param schedules: the schedules in force, by name.
        """
        for run in runs:
            if turns(self._schedule(run, schedules), run) is None:
                self._enter(run)
        for run in runs:
            self._take(run, self._schedule(run, schedules))
        for run in runs:
            if run.spec.nominal_time is not None and replaces_others(self._schedule(run, schedules), run):
                self._replace(run, older_only=True)

    async def submit(self, spec: RunSpec, schedule: Schedule | None = None) -> Run:
        """Take a run on. When this returns, the run is on disk.

        :param schedule: whose overlap policy may make the run wait; None for a run that waits for nobody.
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
        self._new(run, schedule)
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
            self._new(run, schedule)
            if replaces_others(schedule, run):
                self._replace(run)

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
        return refusal(schedule, self.unfinished(schedule.name))

    def _new(self, run: Run, schedule: Schedule | None) -> None:
        self._world.changed(run)
        self._take(run, schedule)

    def _take(self, run: Run, schedule: Schedule | None) -> None:
        life = self._lives[run.id] = Life(run, self._world, self._turn(run, schedule), self._follow)
        life.finished().addCallback(lambda _: self._ended(life))
        life.begin()

    def _turn(self, run: Run, schedule: Schedule | None) -> Deferred[None] | None:
        most = turns(schedule, run)
        if most is None or run.spec.schedule is None:
            self._enter(run)
            return None
        return self._turns.wait(run.spec.schedule, run.id, most)

    def _enter(self, run: Run) -> None:
        if run.spec.schedule is not None:
            self._turns.enter(run.spec.schedule, run.id)

    def _schedule(self, run: Run, schedules: Mapping[str, Schedule]) -> Schedule | None:
        return schedules.get(run.spec.schedule or "")

    def _follow(self, final: Run) -> Run | None:
        """Return the next attempt of a run, not yet taken on."""
        spec = next_attempt(final)
        return None if spec is None else Run(id=self._new_id(), spec=spec, created_at=self._world.now())

    def _ended(self, life: Life) -> None:
        """Let the next attempt take a run's place before anybody else's turn comes."""
        run, following = life.run, life.next
        del self._lives[run.id]
        if following is not None and self._stopping:
            self._world.changed(following)
        elif following is not None:
            self._new(following, None)
        if run.spec.schedule is not None and not self._stopping:
            self._turns.leave(run.spec.schedule, run.id)
        if run.state.final:
            self._tell(run, following)

    def _tell(self, run: Run, following: Run | None) -> None:
        for listener in self._listeners:
            try:
                listener(run, following)
            except Exception:  # noqa: BLE001 - one that fails must not keep the others from hearing of it
                self.log.failure("the end of run {run_id} could not be told of", run_id=run.id)

    def _replace(self, run: Run, *, older_only: bool = False) -> None:
        """Cancel the other runs of the same schedule, or those of earlier ticks only."""
        stop = replacement(run.spec.nominal_time)
        for life in tuple(self._lives.values()):
            other = life.run
            if other.spec.schedule != run.spec.schedule or other.id == run.id:
                continue
            if not older_only or _is_older(other, run):
                life.stop(stop, Ladder.graceful(other.spec.stop_grace))

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


def _is_older(run: Run, than: Run) -> bool:
    """Whether a run stands for an earlier tick than another one does."""
    mine, its = run.spec.nominal_time, than.spec.nominal_time
    return mine is not None and its is not None and mine < its
