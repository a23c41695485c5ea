"""The facade of the hub: every order and every question of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from reactorhub.config import HubConfig
from reactorhub.engine.protocols import Engine
from reactorhub.errors import QueueFull, UnknownSpider
from reactorhub.events.types import EventType
from reactorhub.hub.resolver import SpecResolver
from reactorhub.hub.status import HubParts, HubStatus
from reactorhub.model.run import Run, RunSpec, RunState, Stop
from reactorhub.model.schedule import Schedule, Tick
from reactorhub.model.values import View
from reactorhub.policies.agenda import Missed
from reactorhub.policies.chains import spec_after
from reactorhub.policies.limits import Limits
from reactorhub.runs.escalation import FORCED, Escalation
from reactorhub.runs.lifecycle import RunServices
from reactorhub.runs.limits import LiveLimits
from reactorhub.storage.ledger import Ledger, Page, RunFilter
from reactorhub.wire.batch_orders import BatchOrder
from reactorhub.wire.orders import Order, rerun_of
from reactorhub.wire.spiders import catalog_view
from reactorhub.wire.views import batch_view, run_view

_MAX_DOCTOR_WAIT = 5.0  # seconds for which a list of spiders waits for what the doctor says of them
_MAX_WRITE_WAIT = 10.0  # seconds; then a cancel returns although a ledger in trouble has not written it


class Hub:
    """Accepts orders and answers questions. An order returns once its effect is on disk."""

    log = Logger()

    def __init__(self, config: HubConfig, parts: HubParts, version: str) -> None:
        self._status = HubStatus(config, parts, version)
        self._parts = parts
        self._now = parts.services.now
        self._ledger: Ledger = parts.services.ledger
        self._engine: Engine = parts.services.engine
        self._limits = LiveLimits(self._ledger, parts.services.slots, _limits_of(config), self._now)
        self._resolver = SpecResolver(
            self._engine, lambda: self._limits.in_force, lambda: self.config.projects
        )
        self._views = parts.views
        self.code: Callable[[], list[View]] = list
        """Returns which version of each project's code is in force."""

    @property
    def config(self) -> HubConfig:
        """The config in force."""
        return self._status.config

    # -- starting

    async def recover(self) -> None:
        """Restore the hub from the ledger: progress, limits, and the runs that died with the process."""
        await self._parts.book.open(self.config.schedules)
        await self._tidy_alerts(self.config)
        await self._limits.recover()
        await self._parts.dispatcher.recover()
        await self._parts.ended_runs.recover()

    def warn_of_unknown_spiders(self) -> None:
        """Log a warning for each spider that schedules name and no project has. Their runs will fail."""
        named: dict[tuple[str, str], list[str]] = {}
        for schedule in self._parts.book.schedules.values():
            named.setdefault((schedule.spec.spider, schedule.spec.project), []).append(schedule.name)
        for (spider, project), names in named.items():
            try:
                self._engine.resolve(spider, project)
            except UnknownSpider as error:
                more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
                self.log.warn("schedule {name}{more}: {error}", name=names[0], more=more, error=error)

    def warn_of_broken_modules(self, projects: Container[str]) -> None:
        """Say in the log, in a warning each, which modules of these projects could not be imported."""
        for broken in self._engine.catalog().broken:
            if broken.project in projects:
                self.log.warn(
                    "project {project}: {what}: {error}",
                    project=broken.project,
                    what=broken.told("its spiders cannot run"),
                    error=" ".join(broken.error.split()),
                )

    async def adopt(self) -> None:
        """Continue with the runs that waited when the hub last ended, in their old order."""
        self._parts.dispatcher.adopt(await self._ledger.waiting_runs())

    async def run_on_start(self) -> None:
        """Run the schedules with ``run_on_start``, unless they have a run left from before the restart."""
        for schedule in self._parts.book.schedules.values():
            wanted = schedule.enabled and schedule.run_on_start
            free = self._parts.book.paused(schedule.name) is None and not self._parts.book.is_over(
                schedule.name
            )
            if wanted and free and not self._parts.dispatcher.unfinished(schedule.name):
                try:
                    await self._parts.dispatcher.submit(spec_after(schedule.spec, None))
                except QueueFull as error:
                    self.log.warn(
                        "{schedule} is not run on start: {error}", schedule=schedule.name, error=error
                    )

    def entries(self) -> Iterable[tuple[Schedule, datetime]]:
        """Return each schedule with the time up to which its ticks are recorded."""
        return self._parts.book.entries()

    # -- ticks from the scheduler

    async def tick(self, schedule: Schedule, nominal_time: datetime, after: datetime | None = None) -> None:
        """Record a due tick.

        :param after: the nominal time of the schedule's previous tick that is still in flight.
        :raises LedgerError: if the ledger could not record the tick. The scheduler tries again.
        """
        if not self._parts.book.is_over(schedule.name):
            await self._parts.dispatcher.tick(schedule, nominal_time, after)
        self._parts.book.advance(schedule.name, nominal_time, after)

    async def missed(self, missed: Missed, after: datetime | None = None) -> None:
        """Record missed ticks.

        :param after: the nominal time of the schedule's previous tick that is still in flight.
        :raises LedgerError: if the ledger could not record the ticks. The scheduler tries again.
        """
        if not self._parts.book.is_over(missed.schedule.name):
            await self._parts.dispatcher.missed(missed, after)
        self._parts.book.advance(missed.schedule.name, missed.last, after)

    # -- orders

    async def submit(self, order: Order) -> Run:
        """Accept a run.

        :raises UnknownSpider: if no project has the spider, or several do and none was named.
        :raises InvalidRequest: if there is no such queue.
        :raises QueueFull: if the limit of waiting runs is reached.
        """
        return await self._parts.dispatcher.submit(self._resolver.spec(order))

    def spec_of(self, order: Order) -> RunSpec:
        """Return the spec of the run that an order asks for.

        :raises UnknownSpider: if no project has the spider, or several do and none was named.
        :raises InvalidRequest: if there is no such queue, or the isolation cannot be had.
        """
        return self._resolver.spec(order)

    async def submit_batch(self, order: BatchOrder) -> View:
        """Accept many runs together, and one more run for when they are final.

        :raises InvalidRequest: naming the orders with an unknown spider or queue, or if the batch alone
            exceeds the limit of waiting runs. No run is accepted.
        :raises QueueFull: if the runs would exceed the limit of waiting runs now.
        """
        specs, completion = self._resolver.specs(order)
        on_complete = order.on_complete(completion)
        batch = await self._parts.dispatcher.submit_all(specs, on_complete)
        return await self.batch(batch.id)

    async def trigger(self, name: str) -> Run:
        """Run a schedule's spider now, regardless of its trigger, pause and overlap policy.

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        return await self._parts.dispatcher.submit(spec_after(self._parts.book.get(name).spec, None))

    async def rerun(self, run_id: str) -> Run:
        """Accept a new run with the inputs of an earlier run and the retries that its schedule has now.

        :raises UnknownRun: if there is no run of this id.
        """
        spec = rerun_of((await self.run(run_id)).spec)
        schedule = self._parts.book.schedules.get(spec.schedule or "")
        spec = replace(spec, retry=None if schedule is None else schedule.spec.retry)
        if spec.queue not in self.limits.queues:
            spec = replace(spec, queue="default")
        return await self._parts.dispatcher.submit(spec)

    async def cancel(self, run_id: str, force: bool = False) -> Run:
        """Cancel a run.

        A waiting run is cancelled when this returns. If the run is crawling, the order to stop is on disk
        when this returns, unless the ledger takes longer than 10 seconds. A final run is not changed.

        :param force: cut downloads off at once instead of after the run's ``stop_grace``.
        :raises UnknownRun: if there is no run of this id.
        """
        live_run = self._parts.dispatcher.live_runs.get(run_id)
        if live_run is None:
            return await self.run(run_id)
        order = Stop(state=RunState.CANCELLED, reason="cancelled by an operator")
        ordered = live_run.stop(order, FORCED if force else Escalation.graceful(live_run.run.spec.stop_grace))
        await _at_most(ordered, _MAX_WRITE_WAIT, self._parts.services)
        return live_run.run

    async def pause(self, name: str, reason: str | None = None) -> View:
        """Skip a schedule's ticks until it is resumed; a restart does not resume it.

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        changed = await self._parts.book.pause(name, reason)
        return await self._views.announced(EventType.SCHEDULE_PAUSED, name, changed)

    async def resume(self, name: str) -> View:
        """Let a schedule's ticks run again.

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        changed = await self._parts.book.resume(name)
        return await self._views.announced(EventType.SCHEDULE_RESUMED, name, changed)

    async def try_channel(self, name: str) -> View:
        """Send a test message by a channel, without the outbox; return whether it was delivered.

        :raises UnknownChannel: if there is no channel of this name.
        """
        error = await self._parts.notifier.test(name, self._parts.new_id(), self._status.name)
        return {"channel": name, "delivered": error is None, "error": error}

    async def set_limits(self, wanted: Mapping[str, Any]) -> View:
        """Change limits at once. They survive a restart and override the schedule file.

        :raises InvalidRequest: naming each invalid limit.
        """
        await self._limits.set(wanted)
        self._parts.publisher.event(EventType.LIMITS_CHANGED, {"limits": self.limits_view()})
        return self.limits_view()

    async def hear_limits(self, words: Mapping[str, str], *, data_lost: bool) -> None:
        """Change limits to what Redis says.

        :param words: all limits in Redis, by name, as texts. One that makes no sense is ignored, and shown.
        :param data_lost: whether Redis has lost its data, so that a limit that is gone means nothing.
        :raises LedgerError: if the ledger cannot write. No limit changes.
        """
        if await self._limits.hear(words, data_lost=data_lost):
            self._parts.publisher.event(EventType.LIMITS_CHANGED, {"limits": self.limits_view()})

    async def put_in_force(self, config: HubConfig) -> View:
        """Go on with another config; return what it changes: schedules and projects by name."""
        projects = self.config.projects
        added, removed = _missing(config.projects, projects), _missing(projects, config.projects)
        changes = await self._parts.book.replace(config.schedules)
        self._status.use(config)
        self._limits.use_file(_limits_of(config))
        self._parts.dispatcher.limit_waiting(config.max_queued_runs)
        view = {
            "added": list(changes.added),
            "changed": list(changes.changed),
            "removed": list(changes.removed),
            "unchanged": len(changes.unchanged),
            "needs_restart": self._status.needs_restart(),
            "added_projects": added,
            "removed_projects": removed,
        }
        if added:
            self.warn_of_broken_modules(added)
        self.warn_of_unknown_spiders()
        self._act(self._tidy_alerts(config), "the incidents of schedules that are gone are kept")
        self._parts.publisher.event(EventType.CONFIG_RELOADED, {"config": view})
        return view

    def reject(self, errors: tuple[str, ...]) -> None:
        """Keep the old config in force, and publish the errors of the new one."""
        self._status.errors = errors
        self._parts.publisher.event(EventType.CONFIG_REJECTED, {"config": self._status.config_view()})

    # -- questions

    async def run(self, run_id: str, wait: float = 0.0) -> Run:
        """Return a run. With ``wait``, return once the run is final or ``wait`` seconds have passed.

        :raises UnknownRun: if there is no run of this id.
        """
        live_run = self._parts.dispatcher.live_runs.get(run_id)
        if live_run is None:
            return await self._ledger.run(run_id)
        if wait > 0:
            await _at_most(live_run.finished(), wait, self._parts.services)
        return live_run.run

    def live_view(self, run: Run) -> View:
        """Return a run's view, with live stats while it crawls."""
        live_run = self._parts.dispatcher.live_runs.get(run.id)
        return (
            run_view(run) if live_run is None else run_view(live_run.run, live_run.stats(), live_run.errors())
        )

    async def runs(self, which: RunFilter, limit: int, cursor: str | None) -> Page[Run]:
        """List runs, newest first."""
        return await self._ledger.runs(which, limit, cursor)

    async def batch(self, batch_id: str) -> View:
        """Return a batch's view.

        :raises UnknownBatch: if there is no batch of this id.
        """
        return batch_view(*await self._ledger.batch(batch_id))

    async def ticks(self, name: str, limit: int, cursor: str | None) -> Page[Tick]:
        """List a schedule's ticks, newest first.

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        return await self._ledger.ticks(self._parts.book.get(name).name, limit, cursor)

    def schedules(self) -> AsyncIterator[View]:
        """Yield the views of all schedules, in the file's order, over several turns of the reactor.

        All views are of the same file, even if a reload happens meanwhile.
        """
        return self._views.all()

    async def schedule(self, name: str) -> View:
        """Return a schedule's view.

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        return await self._views.one(name)

    def upcoming(
        self, name: str, after: datetime | None, count: int
    ) -> tuple[Schedule, tuple[datetime, ...]]:
        """Return a schedule and its next nominal times.

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        schedule = self._parts.book.get(name)
        return schedule, self._views.upcoming(schedule, after, count)

    async def spiders(self) -> View:
        """Return the view of all spiders with what the doctor says, and of modules that failed to import.

        Where the doctor needs long to read the code, the view comes without its findings.
        """
        doctor, projects = self._parts.doctor, self.config.projects
        await _at_most(doctor.known(projects.values()), _MAX_DOCTOR_WAIT, self._parts.services)
        reports = {name: report for name in projects if (report := doctor.report(name)) is not None}
        return catalog_view(self._engine.catalog(), reports)

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._limits.in_force

    def limits_view(self) -> View:
        """Return the limits in force, and under ``drift`` those that override the file."""
        return self._limits.view()

    async def status(self) -> View:
        """Return the view of ``GET /api/status``."""
        limits = self._limits.view()
        drift = {
            "limits": limits["drift"],
            "ignored_limits": limits["ignored"],
            "paused": self._parts.book.all_paused(),
        }
        counts, notifications = await self._ledger.counts(), await self._ledger.notification_counts()
        return {**self._status.status(counts, notifications), "projects": self.code(), "drift": drift}

    def heartbeat(self) -> View:
        """Return the heartbeat: the status without the parts that need the ledger."""
        return self._status.heartbeat()

    # -- within

    async def _tidy_alerts(self, config: HubConfig) -> None:
        heard = [schedule.name for schedule in config.schedules.values() if schedule.notify is not None]
        await self._ledger.forget_removed(heard, config.channels)

    def _act(self, act: Coroutine[Deferred[Any], Any, None], otherwise: str) -> None:
        acting = Deferred.fromCoroutine(act)
        acting.addErrback(lambda failure: self.log.failure("{otherwise}", failure, otherwise=otherwise))


def _missing(names: Iterable[str], there: Container[str]) -> list[str]:
    return [name for name in names if name not in there]


def _limits_of(config: HubConfig) -> Limits:
    return Limits(config.max_concurrent_runs, config.queues)


async def _at_most(wait: Deferred[Any], seconds: float, services: RunServices) -> None:
    timer = services.clock.callLater(seconds, wait.cancel)
    try:
        await wait
    except CancelledError:
        return
    finally:
        if timer.active():
            timer.cancel()
