"""One run's life, from queued to its final state.

Each transition is in the ledger before it is acted upon. Told to stop, a crawl is taken down a ladder of
ever harsher rungs, so that the slot comes back whatever the spider does.
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
from reactorhub.model.run import ACTIVE, CrawlEnd, Run, RunState, Stop
from reactorhub.policies.outcome import outcome_of
from reactorhub.runs.escalation import Escalation
from reactorhub.runs.expectation_check import held_to_expectations
from reactorhub.runs.slots import Slots
from reactorhub.storage.ledger import Ledger

_TRY_AGAIN = 5.0  # seconds until a ledger that could not write is asked again
_MAX_NAP = 60.0  # seconds; a later time is waited for in steps, so that clock steps and suspends are seen
_INSTANT = 1e-6  # seconds; no time is told finer, and what is left below that is the rounding of floats
_OWN_ERROR = "the hub has an error in the life of run {run_id}"


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
        :param turn: what to wait for before asking for a slot.
        :param follow: returns what the end of a run that is final brings about.
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
        """The stats as they stand: live ones while there is a crawl."""
        return self.run.stats if self.crawl is None else self.crawl.stats()

    def errors(self) -> int | None:
        """The run's errors so far."""
        return self.run.errors if self.crawl is None else self.crawl.errors()

    def stop(self, stop: Stop, escalation: Escalation) -> Deferred[Any]:
        """Tell the run to end, whatever it is doing; fires when that is on disk, or the run is over.

        A later order only makes haste; the first gives the reason. One to cancel holds for the next attempt
        too, where there is one: it is not made, or is to be cancelled in its turn if ``recall`` says so.
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
        """Let a run that still waits for its slot stay queued in the ledger for the hub's next start."""
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
        """Wait until the run has its slot and the ledger knows that it starts; False if it is not to."""
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
        """Wait for the run's time; False if it was told not to. A time that has come has come for good."""
        began = self._services.clock.seconds()
        while (left := self._time_left(self._services.clock.seconds() - began)) >= _INSTANT:
            if not await self._pause(min(left, _MAX_NAP)):
                return False
        return True

    def _time_left(self, waited: float) -> float:
        """Return the seconds until the run's time. No clock that is put back makes an attempt wait for longer
        than its delay."""
        run, not_before = self.run, self.run.spec.not_before
        if not_before is None:
            return 0
        left = (not_before - self._services.now()).total_seconds()
        delay = (not_before - run.created_at).total_seconds()
        return left if run.spec.retry_of is None else min(left, delay - waited)

    async def _slot(self) -> bool:
        """Wait for the run's turn and its slot; False if it was told not to."""
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
        """Write down that the run starts; False if the ledger cannot, and the run must wait."""
        starting = self.run.moved(RunState.STARTING, started_at=self._services.now())
        try:
            await self._services.ledger.save_run(starting)
        except LedgerError as error:
            self.log.error("run {run_id} cannot start: {error}", run_id=self.run.id, error=error)
            return False
        self._become(starting)
        return True

    async def _crawl(self) -> Run:
        """Crawl, in a slot that is held; return the run as it is to be written down."""
        if self._stop is not None:
            return self._stopped(self._stop)
        self.crawl = crawl = self._services.engine.launch(self.run.id, self.run.spec)
        crawl.opened.addCallback(self._opened)
        if self.run.spec.timeout is not None:
            self._timers.append(self._services.clock.callLater(self.run.spec.timeout, self._time_out))
        end = await crawl.done
        self.crawl = None
        self._cancel_timers()
        return self._judged(end, crawl.pid)

    def _judged(self, end: CrawlEnd, pid: int | None) -> Run:
        outcome = outcome_of(end, self._stop)
        return self.run.moved(
            outcome.state,
            finished_at=self._services.now(),
            reason=outcome.reason,
            error=outcome.error,
            errors=end.errors,
            finish_reason=end.finish_reason,
            stats=end.stats,
            pid=pid,
        )

    def _stopped(self, stop: Stop) -> Run:
        return self.run.moved(stop.state, finished_at=self._services.now(), reason=stop.reason)

    async def _finish(self, final: Run) -> None:
        """Write down the end and what it brings about, however long it takes; both hold from now on."""
        self._ending, self._stop = True, None
        await self._keep(await held_to_expectations(final, self._services.ledger))

    async def _keep(self, final: Run) -> None:
        follow_up = self._follow_up(final)
        while True:
            try:
                follow_up = await self._services.ledger.finish_run(final, follow_up)
            except LedgerError as error:
                self.log.error(
                    "the end of run {run_id} is not on disk: {error}", run_id=final.id, error=error
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
            await self._say(self.run.moved(RunState.RUNNING, pid=self.crawl.pid))

    def _say_stopping(self, stop: Stop, first: bool) -> Deferred[Any]:
        said = self.run.moved(RunState.STOPPING, reason=stop.reason) if first else self.run
        if stop.state is RunState.CANCELLED:  # not tried again, even if the hub dies before the end
            said = replace(said, spec=replace(said.spec, retry=None))
        return succeed(None) if said == self.run else self._act(self._say(said))

    async def _say(self, said: Run) -> None:
        """Write down what has happened already; the crawl does not wait for it."""
        if said.state is self.run.state:
            self.run = said
        else:
            self._become(said)
        try:
            await self._services.ledger.save_run(said)
        except LedgerError as error:
            self.log.error("run {run_id}: {error}", run_id=said.id, error=error)

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
        """Begin with something; what is returned fires when it is done, and may be cancelled without harm."""
        acted: Deferred[None] = Deferred()

        def done(_: None) -> None:
            if not acted.called:
                acted.callback(None)

        Deferred.fromCoroutine(act).addErrback(self._broken).addCallback(done)
        return acted

    def _over(self) -> None:
        self._done.callback(Ended(run=self.run, follow_up=self._kept, late_cancel=self._late_cancel))
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(self.run)

    async def _fail(self, failure: Failure) -> None:
        """End the run after an error of the hub's own, so that its schedule does not wait for it for ever."""
        self.log.failure(_OWN_ERROR, failure, run_id=self.run.id)
        self.crawl, self._ending = None, True
        self._cancel_timers()
        if self.run.state in ACTIVE:
            reason = "the hub has an error of its own, see its log"
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
    """What every life works with."""

    clock: IReactorTime
    now: Callable[[], datetime]
    ledger: Ledger
    engine: Engine
    slots: Slots
    changed: Callable[[Run], None]
    """Told of each state a run has reached, once it is on disk."""
