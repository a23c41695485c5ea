"""Accepts runs from ticks and orders, tracks the live ones, and ends them at shutdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.engine.protocols import Crawl
from reactorhub.errors import ShuttingDown
from reactorhub.events.types import EventType
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import ChainedTick, Ended, FollowUp
from reactorhub.model.run import Run, RunSpec, RunState, Stop
from reactorhub.model.schedule import Schedule, Tick, TickOutcome
from reactorhub.model.values import View
from reactorhub.notifications.reporter import IncidentReporter
from reactorhub.policies.agenda import Missed
from reactorhub.policies.overlap import older, replacement, replaces_others, starts_at_most
from reactorhub.policies.retries import is_tried_again, next_attempt
from reactorhub.runs.admission import Admission
from reactorhub.runs.buffer import OverlapBuffer
from reactorhub.runs.escalation import SHUTDOWN, Escalation
from reactorhub.runs.keyed import Holds, KeyedOrder, KeyedOrders
from reactorhub.runs.lifecycle import Lifecycle, RunServices
from reactorhub.runs.registry import RunRegistry
from reactorhub.schedules.book import ScheduleBook
from reactorhub.wire.batch_orders import completion_order
from reactorhub.wire.views import tick_view

Emit = Callable[[EventType, Mapping[str, View]], None]
OnEnded = Callable[[Run, FollowUp], None]

_SHUT_DOWN = Stop(state=RunState.INTERRUPTED, reason="the hub was shut down")
_DIED = "the hub ended while the run was under way"


class Dispatcher:
    """Turns orders and due ticks into runs, and tracks every run that is not final."""

    log = Logger()

    def __init__(
        self,
        services: RunServices,
        book: ScheduleBook,
        new_id: Callable[[], str],
        emit: Emit,
        max_waiting: int,
        *,
        on_ended: OnEnded = lambda run, follow_up: None,
        reporter: IncidentReporter | None = None,
    ) -> None:
        """
        :param emit: takes an event's type and the view it is about.
        :param max_waiting: how many queued runs the hub accepts before it refuses more.
        :param on_ended: called with each run that is final on disk, and with what its end brings about.
        :param reporter: makes the incident events of schedules whose people want notifications.
        """
        self._reporter = reporter or IncidentReporter.nobody()
        self._services = services
        self._book = book
        self._new_id = new_id
        self._emit = emit
        self._registry = RunRegistry()
        self._open_batches: dict[str, Batch] = {}
        self._admission = Admission(services, book, self._registry, new_id, max_waiting)
        self._buffer = OverlapBuffer()
        self._holds = Holds()
        self._keyed = KeyedOrders(
            services.ledger, self._admission, self._registry, lambda run: self._new(run, None)
        )
        self._on_ended = on_ended
        self._stopping = False

    @property
    def live_runs(self) -> Mapping[str, Lifecycle]:
        """The runs that are not final, by id, oldest first."""
        return self._registry.live_runs

    @property
    def stopping(self) -> bool:
        """Whether the hub is stopping, so that it takes no orders."""
        return self._stopping

    @property
    def places(self) -> int:
        """How many more runs may wait."""
        return self._admission.places

    def limit_waiting(self, limit: int) -> None:
        """Change the limit of waiting runs."""
        self._admission.max_waiting = limit

    async def recover(self) -> None:
        """Mark the runs that were under way as interrupted, and write their follow-ups.

        :raises LedgerError: if the ledger cannot write.
        """
        self._open_batches = {each.id: each for each in await self._services.ledger.open_batches()}
        for run in await self._services.ledger.waiting_runs():
            self._registry.reserve(run)
        moment = self._services.now()
        died = [
            run.moved(RunState.INTERRUPTED, finished_at=moment, reason=_DIED)
            for run in await self._services.ledger.active_runs()
        ]
        died.sort(
            key=lambda run: not is_tried_again(run)
        )  # the attempts of retried runs are reserved before chained ticks are decided
        writes = [self._services.ledger.finish_run(run, self._recovered_follow_up(run)) for run in died]
        try:
            follow_ups = await gatherResults(writes, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        for run, follow_up in zip(died, follow_ups, strict=True):
            self._services.changed(run)
            self._leave_for_next_start(run, follow_up)

    def adopt(self, runs: list[Run]) -> None:
        """Start the life-cycles of runs that were queued when the hub last ended, in their old order."""
        for run in runs:
            if starts_at_most(self._schedule(run), run) is None:
                self._enter(run)
        for run in runs:
            self._take(run, self._schedule(run))
        for run in runs:
            if run.spec.nominal_time is not None and replaces_others(self._schedule(run), run):
                self._replace(run, older_only=True)

    async def submit(self, spec: RunSpec) -> Run:
        """Accept a run that does not wait for other runs of its schedule. It is on disk when this returns.

        :raises QueueFull: if the limit of waiting runs is reached.
        :raises ShuttingDown: if the hub is stopping.
        :raises LedgerError: if the ledger could not write the run. The run does not start.
        """
        self._refuse_if_stopping()
        (run,) = self._admission.order(spec)
        await self._kept([run], self._services.ledger.add_run(run))
        self._new(run, None)
        return run

    async def submit_keyed(self, orders: Sequence[KeyedOrder], *, held: bool = False) -> list[Run | None]:
        """Accept the runs of these orders that are new, all or none, and return the run of each order.

        An order whose key is taken gives the run that is there, or None if that run has been deleted. New
        runs are on disk when this returns.

        :param held: whether the new runs may not start before :meth:`release`.
        :raises QueueFull: if the new runs would exceed the limit of waiting runs now.
        :raises ShuttingDown: if the hub is stopping.
        :raises LedgerError: if the ledger could not write. No run starts.
        """
        self._refuse_if_stopping()
        return await self._keyed.accept(orders, held)

    async def keyed_runs(self, keys: Sequence[str]) -> Mapping[str, Run | None]:
        """Return those of the keys that are taken, each with its run; None if the run has been deleted.

        :raises LedgerError: if the ledger cannot read.
        """
        return await self._services.ledger.keyed_runs(keys) if keys else {}

    def held(self) -> list[Run]:
        """Return the runs that may not start before :meth:`release`, oldest first."""
        return [self.live_runs[run_id].run for run_id in self._holds if run_id in self.live_runs]

    def release(self, run_ids: Sequence[str]) -> None:
        """Let held runs start. The ledger is told, but the runs do not wait for that."""
        held = [run_id for run_id in run_ids if run_id in self._holds]
        if held:
            self._services.ledger.release_runs(held).addErrback(self._not_noted)
        for run_id in held:
            self._holds.release(run_id)

    def withdraw(self, run_id: str, reason: str) -> None:
        """Cancel a held run that may never start. It gives its key up, so that its order may come again."""
        live_run = self.live_runs.get(run_id)
        if live_run is not None and run_id in self._holds:
            live_run.run = replace(live_run.run, key=None)
            live_run.stop(
                Stop(state=RunState.CANCELLED, reason=reason),
                Escalation.graceful(live_run.run.spec.stop_grace),
            )

    async def submit_all(self, specs: Sequence[RunSpec], on_complete: Mapping[str, Any]) -> Batch:
        """Accept all these runs as a batch, or none of them. They are on disk when this returns.

        :param on_complete: the order for when all runs are final, see :mod:`reactorhub.wire.batch_orders`.

        :raises QueueFull: if the runs would exceed the limit of waiting runs now.
        :raises InvalidRequest: if the batch alone exceeds that limit.
        :raises ShuttingDown: if the hub is stopping.
        :raises LedgerError: if the ledger could not write the runs. No run starts.
        """
        self._refuse_if_stopping()
        batch = Batch(id=self._new_id(), created_at=self._services.now(), on_complete=on_complete)
        runs = self._admission.order(*(replace(spec, batch=batch.id) for spec in specs))
        await self._kept(runs, self._services.ledger.add_batch(batch, runs))
        self._open_batches[batch.id] = batch
        for run in runs:
            self._new(run, None)
        return batch

    async def tick(self, schedule: Schedule, nominal_time: datetime, after: datetime | None = None) -> None:
        """Record a due tick as a run, or as skipped with a reason.

        :param after: the schedule's progress moves only if it has reached this time; None for always.
        :raises LedgerError: if the ledger could not record the tick. The scheduler tries again.
        """
        start = self._admission.tick(schedule, nominal_time)
        incident_event, recorded = self._reporter.ticked(schedule, start.tick), False
        try:
            recorded = await self._services.ledger.record_tick(start.tick, start.run, incident_event, after)
        finally:
            if not recorded:
                self._admission.withdraw(start)
        if recorded:
            self._reporter.kept(incident_event)
            self._begin(start, schedule)

    async def missed(self, missed: Missed, after: datetime | None = None) -> None:
        """Record one or several ticks as missed.

        A paused schedule causes no notification, since its ticks would not have run.

        :param after: the schedule's progress moves only if it has reached this time; None for always.
        :raises LedgerError: if the ledger could not record the ticks. The scheduler tries again.
        """
        tick = self._admission.row(missed.schedule, missed.nominal_time, TickOutcome.MISSED, missed.reason)
        tick = replace(tick, until=missed.until)
        heard = self._book.paused(tick.schedule) is None
        incident_event = self._reporter.ticked(missed.schedule, tick) if heard else None
        if await self._services.ledger.record_tick(tick, None, incident_event, after):
            self._reporter.kept(incident_event)
            self._say(tick)

    def unfinished(self, schedule: str) -> list[Run]:
        """Return the runs of a schedule that are not final, oldest first."""
        return self._registry.of(schedule)

    async def stop(self, grace: float, hurry: Deferred[Any]) -> None:
        """Leave waiting runs queued, give crawls ``grace`` seconds to finish, then stop them.

        Returns when no crawl is left, at the latest a few seconds after the grace.

        :param hurry: ends the grace when it fires.
        """
        self._stopping = True
        for live_run in tuple(self.live_runs.values()):
            live_run.put_down()
        self.stop_services()
        everyone = DeferredList([live_run.finished() for live_run in self.live_runs.values()])
        await self._first_of(everyone, hurry, grace)
        for live_run in tuple(self.live_runs.values()):
            live_run.stop(_SHUT_DOWN, SHUTDOWN)
        await everyone

    def stop_services(self) -> None:
        """Stop the crawls that wait for work, since they would never end by themselves.

        What they have not handled goes back to where they got it. Those that have not opened yet are stopped
        as soon as they have.
        """
        for live_run in tuple(self.live_runs.values()):
            if live_run.crawl is not None:
                live_run.crawl.opened.addCallback(self._stop_service, live_run, live_run.crawl)

    @staticmethod
    def _stop_service(opened: None, live_run: Lifecycle, crawl: Crawl) -> None:
        if crawl.service:
            live_run.stop(_SHUT_DOWN, Escalation.graceful(live_run.run.spec.stop_grace))

    async def _first_of(self, everyone: Deferred[Any], hurry: Deferred[Any], grace: float) -> None:
        either: Deferred[None] = Deferred()

        def fire(result: Any) -> Any:
            if not either.called:
                either.callback(None)
            return result

        timer = self._services.clock.callLater(grace, fire, None)
        everyone.addCallback(fire)
        hurry.addCallback(fire)
        await either
        if timer.active():
            timer.cancel()

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise ShuttingDown("the hub is shutting down and takes no new runs")

    def _not_noted(self, failure: Failure) -> None:
        self.log.warn("runs that start are still held in the ledger: {error}", error=failure.value)

    async def _kept(self, runs: Sequence[Run], write: Deferred[None]) -> None:
        """Wait until new runs are on disk. If the write fails, withdraw the runs."""
        try:
            await write
        except BaseException:
            for run in runs:
                self._registry.withdraw(run)
            raise

    def _begin(self, start: ChainedTick, schedule: Schedule) -> None:
        """Act on a tick that is in the ledger."""
        if start.run is None:
            self._say(start.tick)
            return
        self._new(start.run, schedule)
        if replaces_others(schedule, start.run):
            self._replace(start.run)

    def _say(self, tick: Tick) -> None:
        self._emit(EventType.of_tick(tick.outcome), {"tick": tick_view(tick)})

    def _new(self, run: Run, schedule: Schedule | None) -> None:
        self._services.changed(run)
        self._take(run, schedule)

    def _take(self, run: Run, schedule: Schedule | None) -> None:
        live_run = Lifecycle(run, self._services, self._overlap_wait(run, schedule), self._follow_up)
        self._registry.add(live_run)
        if self._stopping:  # the run was being written to disk when the hub was told to stop
            live_run.put_down()
        live_run.begin().addCallback(self._ended)

    def _overlap_wait(self, run: Run, schedule: Schedule | None) -> Deferred[None] | None:
        if run.held:
            return self._holds.wait(run.id)
        limit = starts_at_most(schedule, run)
        if limit is None or run.spec.schedule is None:
            self._enter(run)
            return None
        return self._buffer.wait(run.spec.schedule, run.id, limit)

    def _enter(self, run: Run) -> None:
        if run.spec.schedule is not None:
            self._buffer.enter(run.spec.schedule, run.id)

    def _schedule(self, run: Run) -> Schedule | None:
        return self._book.schedules.get(run.spec.schedule or "")

    def _follow_up(self, final: Run) -> FollowUp:
        """Return the next attempt of a run that has ended, or else the ticks and the completion it causes."""
        self._registry.ending(final)
        again = next_attempt(final)
        if again is not None:
            return FollowUp(attempt=self._admission.new(again))
        moment, batch = (
            final.finished_at or self._services.now(),
            self._open_batches.get(final.spec.batch or ""),
        )
        completion = None if batch is None else completion_order(batch)
        return FollowUp(
            starts=tuple(self._admission.tick(each, moment, final) for each in self._book.followers(final)),
            completion=None if completion is None else self._admission.new(completion),
            incident_event=self._reporter.ended(self._schedule(final), final),
        )

    def _recovered_follow_up(self, died: Run) -> FollowUp:
        """Return the follow-up of a run that died with the process, its next attempt registered already.

        The completion of the run's batch is not registered here: the ledger writes it for one run only.
        """
        follow_up = self._follow_up(died)
        if follow_up.attempt is not None:
            self._registry.reserve(follow_up.attempt)
        return follow_up

    def _ended(self, ended: Ended) -> None:
        run, follow_up = ended.run, ended.follow_up
        self._registry.remove(run)
        self._holds.forget(run.id)
        if not self._stopping:
            self._go_on(ended)
            return
        self._leave_for_next_start(run, follow_up)
        if not run.state.final:
            self._registry.reserve(run)

    def _go_on(self, ended: Ended) -> None:
        """Begin what a run's end brings about.

        The order matters. The next attempt joins the registry before the run leaves the buffer. So it takes
        the run's place, and no other run of the schedule slips in between. Runs that follow come last: they
        belong to other schedules, or wait behind the attempt.
        """
        run, follow_up = ended.run, ended.follow_up
        if follow_up.attempt is not None:
            self._new(follow_up.attempt, None)
            if ended.late_cancel is not None:
                attempt = self.live_runs[follow_up.attempt.id]
                attempt.stop(ended.late_cancel, Escalation.graceful(run.spec.stop_grace))
        if run.spec.schedule is not None:
            self._buffer.leave(run.spec.schedule, run.id)
        for start in follow_up.starts:
            schedule = self._book.schedules.get(start.tick.schedule)
            if schedule is not None:
                self._begin(start, schedule)
            elif start.run is not None:  # a reload has removed the schedule meanwhile; the run is on disk
                self._new(start.run, None)
        if follow_up.completion is not None:
            self._new(follow_up.completion, None)
        self._report(run, follow_up)

    def _leave_for_next_start(self, run: Run, follow_up: FollowUp) -> None:
        """Leave what a run's end brings about queued; :meth:`adopt` begins it."""
        for queued in follow_up.runs:
            self._registry.reserve(queued)
            self._services.changed(queued)
        for start in follow_up.starts:
            if start.run is None:
                self._say(start.tick)
        self._report(run, follow_up)

    def _report(self, run: Run, follow_up: FollowUp) -> None:
        if not run.state.final:
            return
        if follow_up.completes:
            self._open_batches.pop(run.spec.batch or "", None)
        self._reporter.kept(follow_up.incident_event)
        try:
            self._on_ended(run, follow_up)
        except Exception:  # noqa: BLE001 - an error there must not keep the other runs from going on
            self.log.failure("the hub could not act on the end of run {run_id}", run_id=run.id)

    def _replace(self, run: Run, *, older_only: bool = False) -> None:
        """Cancel the other runs of the same schedule, or only the older runs."""
        stop, unfinished = replacement(run.spec.nominal_time), self._registry.of(run.spec.schedule or "")
        for other in older(run, unfinished) if older_only else unfinished:
            live_run = self.live_runs.get(other.id)
            if live_run is not None and other.id != run.id:
                live_run.stop(stop, Escalation.graceful(other.spec.stop_grace))
