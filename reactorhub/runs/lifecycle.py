"""The life-cycle of one run, from queued to its final state.

The ledger has each transition before the hub acts on it. A crawl that must stop is stopped in ever harsher
steps, so that its slot comes back whatever the spider does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.engine.protocols import Crawl, Engine
from reactorhub.errors import LedgerError, last_line
from reactorhub.model.follow_up import NO_FOLLOW_UP, Ended, FollowUp
from reactorhub.model.placeholders import spec_for_spider
from reactorhub.model.run import ACTIVE, CrawlEnd, Run, RunState, Stop
from reactorhub.policies.expectations import expected_reasons
from reactorhub.policies.outcome import outcome_of
from reactorhub.runs.escalation import Escalation
from reactorhub.runs.expectation_check import held_to_expectations
from reactorhub.runs.slots import Slots
from reactorhub.storage.ledger import Ledger

_TRY_AGAIN = 5.0  # seconds until a failed write is tried again: long enough not to flood the log
_MAX_NAP = 60.0  # seconds; longer waits are split, so that clock steps and suspends are noticed
_INSTANT = 1e-6  # seconds; times have microseconds, so a smaller rest is a rounding error
_OWN_ERROR = "the hub has an error in the life-cycle of run {run_id}"


class Lifecycle:
    """Drives one run from ``queued`` to its final state."""

    log = Logger()

    def __init__(
        self,
        run: Run,
        services: RunServices,
        overlap_wait: Deferred[None] | None = None,
        follow_up: Callable[[Run], FollowUp] = lambda final: NO_FOLLOW_UP,
    ) -> None:
        """
        :param overlap_wait: fires when the schedule's overlap policy lets the run ask for a slot.
        :param follow_up: returns the follow-up of a run in its final state.
        """
        self.run = run
        self.crawl: Crawl | None = None
        self._kept = NO_FOLLOW_UP
        self._late_cancel: Stop | None = None
        self._services = services
        self._overlap_wait = overlap_wait
        self._follow_up = follow_up
        self._stop: Stop | None = None
        self._wait: Deferred[Any] | None = None
        self._put_down = False
        self._ending = False
        self._timers: list[IDelayedCall] = []
        self._done: Deferred[Ended] = Deferred()
        self._watchers: list[Deferred[Run]] = []

    @property
    def ended(self) -> bool:
        """Whether the hub is done with the run."""
        return self._done.called

    def finished(self) -> Deferred[Run]:
        """Return a new Deferred that fires with the run when the hub is done with it. It may be cancelled."""
        watcher: Deferred[Run] = Deferred(self._watchers.remove)
        if self.ended:
            watcher.callback(self.run)
        else:
            self._watchers.append(watcher)
        return watcher

    def begin(self) -> Deferred[Ended]:
        """Start the run, which is queued in the ledger.

        :return: fires when the hub is done with the run, before the Deferreds of :meth:`finished` do.
        """
        living = Deferred.fromCoroutine(self._live())
        living.addErrback(lambda failure: Deferred.fromCoroutine(self._fail(failure)))
        living.addErrback(self._broken)
        return self._done

    def stats(self) -> Mapping[str, Any]:
        """Return the live stats while the crawl runs, else those of the run."""
        return self.run.stats if self.crawl is None else self.crawl.stats()

    def errors(self) -> int | None:
        """Return the number of errors so far; None if it is not known."""
        return self.run.errors if self.crawl is None else self.crawl.errors()

    def stop(self, stop: Stop, escalation: Escalation) -> Deferred[Any]:
        """Order the run to end. Fires when the order is on disk, or the run has ended.

        The first order sets the reason; later orders only speed things up. A cancel also stops the next
        attempt: either the attempt is never created, or ``Ended.late_cancel`` asks for its cancellation too.
        """
        if self._ending:
            self._late_cancel = self._late_cancel or (stop if stop.state is RunState.CANCELLED else None)
            return self.finished()
        first, self._stop = self._stop is None, self._stop or stop
        if self.crawl is not None:
            said = self._say_stopping(stop, first)
            self._timers += escalation.timers(self._services.clock, self.crawl)
            self.crawl.stop()  # after the timers: a crawl may end within this call, and then cancels them
            return said
        if self._wait is not None:
            self._wait.cancel()
        return self.finished()

    def put_down(self) -> None:
        """End the life-cycle of a run that still waits. The run stays queued for the hub's next start."""
        self._put_down = True
        if self._wait is not None:
            self._wait.cancel()

    async def _live(self) -> None:
        if await self._start():
            try:
                final = await self._crawl()
            finally:
                self._services.slots.release(self.run.spec.queue)
            await self._finish(final)
        elif self._stop is not None and not self._put_down:
            await self._finish(self._stopped(self._stop))
        self._over()

    async def _start(self) -> bool:
        """Wait for the run's slot and write its start. Return False if the run must not start."""
        if not await self._time():
            return False
        while await self._slot():
            started = False
            try:
                started = await self._starting()
            finally:
                if not started:
                    self._services.slots.release(self.run.spec.queue)
            if started or not await self._pause(_TRY_AGAIN):
                return started
        return False

    async def _time(self) -> bool:
        """Wait for ``not_before``. Return False if the run must not start.

        Once its time has come, stepping the clock back does not undo it.
        """
        began = self._services.clock.seconds()
        while (left := self._time_left(self._services.clock.seconds() - began)) >= _INSTANT:
            if not await self._pause(min(left, _MAX_NAP)):
                return False
        return True

    def _time_left(self, waited: float) -> float:
        """Return the seconds until ``not_before``.

        A retry never waits longer than its delay, even if the clock is stepped back.

        :param waited: the seconds that the run has waited already.
        """
        run, not_before = self.run, self.run.spec.not_before
        if not_before is None:
            return 0
        left = (not_before - self._services.now()).total_seconds()
        delay = (not_before - run.created_at).total_seconds()
        return left if run.spec.retry_of is None else min(left, delay - waited)

    async def _slot(self) -> bool:
        """Wait for the overlap policy, then for a slot. Return False if the run must not start."""
        spec = self.run.spec
        if self._overlap_wait is not None and not await self._waited(self._overlap_wait):
            return False
        return await self._waited(self._services.slots.acquire(spec.queue, spec.priority))

    async def _pause(self, seconds: float) -> bool:
        pause: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self._services.clock.callLater(seconds, pause.callback, None)
        return await self._waited(pause)

    async def _waited(self, wait: Deferred[Any]) -> bool:
        if self._stop is not None or self._put_down:
            wait.addErrback(lambda failure: failure.trap(CancelledError))
            wait.cancel()
            return False
        self._wait = wait
        try:
            await wait
        except CancelledError:
            return False
        finally:
            self._wait = None
        return True

    async def _starting(self) -> bool:
        """Write that the run starts. Return False if the ledger cannot write, so that the run must wait."""
        starting = self.run.moved(RunState.STARTING, started_at=self._services.now())
        try:
            await self._services.ledger.save_run(starting)
        except LedgerError as error:
            self.log.error(
                "run {run_id} could not start and will be tried again: {error}",
                run_id=self.run.id,
                error=error,
            )
            return False
        self._become(starting)
        return True

    async def _crawl(self) -> Run:
        """Crawl while the slot is held. Return the run in its final state, not yet written."""
        if self._stop is not None:
            return self._stopped(self._stop)
        self.crawl = crawl = self._services.engine.launch(self.run.id, spec_for_spider(self.run))
        self.run = replace(self.run, isolated_because=crawl.isolated_because)
        crawl.opened.addCallback(self._opened)
        if self.run.spec.timeout is not None:
            self._timers.append(self._services.clock.callLater(self.run.spec.timeout, self._time_out))
        end = await crawl.done
        self.crawl = None
        self._cancel_timers()
        return self._judged(end, crawl)

    def _judged(self, end: CrawlEnd, crawl: Crawl) -> Run:
        outcome = outcome_of(end, self._stop, expected_reasons(self.run.spec.expect))
        return self.run.moved(
            outcome.state,
            finished_at=self._services.now(),
            reason=outcome.reason,
            error=outcome.error,
            errors=end.errors,
            finish_reason=end.finish_reason,
            stats=end.stats,
            pid=crawl.pid,
            feeds=crawl.feeds,
        )

    def _stopped(self, stop: Stop) -> Run:
        return self.run.moved(stop.state, finished_at=self._services.now(), reason=stop.reason)

    async def _finish(self, final: Run) -> None:
        """Write the end and the follow-up, however long that takes. From now on an order to stop is late."""
        self._ending, self._stop = True, None
        await self._keep(await held_to_expectations(final, self._services.ledger))

    async def _keep(self, final: Run) -> None:
        follow_up = self._follow_up(final)
        while True:
            try:
                follow_up = await self._services.ledger.finish_run(final, follow_up)
            except LedgerError as error:
                self.log.error(
                    "the end of run {run_id} could not be written and will be tried again: {error}",
                    run_id=final.id,
                    error=error,
                )
            else:
                break
            self.run = final
            if not await self._pause(_TRY_AGAIN):
                return
        self._kept = follow_up
        self._become(final)

    def _opened(self, _: None) -> None:
        self._act(self._say_running())

    async def _say_running(self) -> None:
        if self.run.state is RunState.STARTING and self.crawl is not None:
            facts = {"pid": self.crawl.pid, "feeds": self.crawl.feeds}
            await self._say(self.run.moved(RunState.RUNNING, **facts))

    def _say_stopping(self, stop: Stop, first: bool) -> Deferred[Any]:
        said = self.run.moved(RunState.STOPPING, reason=stop.reason) if first else self.run
        if stop.state is RunState.CANCELLED:  # no retry, even if the hub dies before the end is written
            said = replace(said, spec=replace(said.spec, retry=None))
        return succeed(None) if said == self.run else self._act(self._say(said))

    async def _say(self, said: Run) -> None:
        """Write a transition that has happened already. The crawl does not wait for the write."""
        if said.state is self.run.state:
            self.run = said
        else:
            self._become(said)
        try:
            await self._services.ledger.save_run(said)
        except LedgerError as error:
            self.log.error(
                "the state of run {run_id} could not be written: {error}", run_id=said.id, error=error
            )

    def _become(self, run: Run) -> None:
        self.run = run
        self._services.changed(run)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()

    def _time_out(self) -> None:
        seconds = self.run.spec.timeout
        reason = f"the run took longer than its timeout of {seconds:g} seconds"
        self.stop(
            Stop(state=RunState.TIMED_OUT, reason=reason), Escalation.graceful(self.run.spec.stop_grace)
        )

    def _act(self, act: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        """Run a coroutine. The returned Deferred fires when it has finished; cancelling it stops nothing."""
        acted: Deferred[None] = Deferred()

        def done(_: None) -> None:
            if not acted.called:
                acted.callback(None)

        Deferred.fromCoroutine(act).addErrback(self._broken).addCallback(done)
        return acted

    def _over(self) -> None:
        self._done.callback(Ended(run=self.run, follow_up=self._kept, late_cancel=self._late_cancel))
        watchers, self._watchers = self._watchers, []
        for (
            watcher
        ) in watchers:  # after the dispatcher: who waits for the end finds the next attempt in place
            watcher.callback(self.run)

    async def _fail(self, failure: Failure) -> None:
        """Fail the run after an error in the hub itself, so that its schedule does not wait for ever."""
        self.log.failure(_OWN_ERROR, failure, run_id=self.run.id)
        self.crawl, self._ending = None, True
        self._cancel_timers()
        if self.run.state in ACTIVE:
            reason = "the hub has an error of its own; see the hub's log"
            error = last_line(failure.value or Exception(failure.getErrorMessage()))
            await self._keep(
                self.run.moved(RunState.FAILED, finished_at=self._services.now(), reason=reason, error=error)
            )
        self._over()

    def _broken(self, failure: Failure) -> None:
        self.log.failure(_OWN_ERROR, failure, run_id=self.run.id)
        if not self.ended:
            self._over()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunServices:
    """The collaborators of every life-cycle."""

    clock: IReactorTime
    now: Callable[[], datetime]
    ledger: Ledger
    engine: Engine
    slots: Slots
    changed: Callable[[Run], None]
    """Called with each new state of a run."""
