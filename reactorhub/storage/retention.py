"""Deletes old rows and files, in steps so small that they do not slow crawls down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.errors import LedgerError
from reactorhub.storage.old_files import Swept


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionConfig:
    """How long final runs with their ticks, log files and items files are kept. None means for ever."""

    runs: timedelta | None = None
    logs: timedelta | None = None
    items: timedelta | None = None


EVERY = 600.0
"""Seconds from one round to the next. One part of a round takes at most as long."""

PAUSE = 0.5
"""Seconds between two steps."""

AT_ONCE = 100
"""How many rows one step deletes. Other writes wait for the step, so it must stay short."""

FILES_AT_ONCE = 500
"""How many entries of a folder one step examines."""

MAX_JUMP = 86_400.0
"""If the wall clock jumps ahead by more seconds than this, nothing is deleted for as many seconds."""

Prune = Callable[[datetime, int], Deferred[int]]
Sweep = Callable[[float, Collection[str], int], Deferred[Swept]]


class ClockWatch:
    """Detects jumps of the wall clock. A wrong clock makes files look old that are needed tomorrow."""

    log = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], datetime]) -> None:
        self._clock = clock
        self._now = now
        self._seconds, self._moment = clock.seconds(), now()
        self._doubted_until = self._seconds

    def believed(self) -> bool:
        """Whether the clock has not jumped ahead by more than :data:`MAX_JUMP`, or has jumped back since."""
        seconds, moment = self._clock.seconds(), self._now()
        ahead = (moment - self._moment).total_seconds() - (seconds - self._seconds)
        self._seconds, self._moment = seconds, moment
        if ahead > MAX_JUMP:
            self._doubted_until = seconds + MAX_JUMP
            self.log.warn(
                "the clock jumped ahead by {hours:.0f} hours: retention deletes nothing for a day",
                hours=ahead / 3600,
            )
        elif ahead < -MAX_JUMP:
            self._doubted_until = seconds
        return seconds >= self._doubted_until


class Retention:
    """Deletes old rows from the ledger and old files from the folders, in rounds. ``rule`` may be replaced.

    A failure is logged once and tried again in the next round.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], datetime],
        prune: Prune,
        folders: Mapping[str, Sweep],
        unfinished: Callable[[], Collection[str]],
    ) -> None:
        """
        :param prune: the method of the ledger.
        :param folders: for the rules ``logs`` and ``items``, a function that sweeps some of the folder.
        :param unfinished: returns the ids of the runs that are not final.
        """
        self.rule = RetentionConfig()
        self._clock = clock
        self._now = now
        self._prune = prune
        self._folders = folders
        self._unfinished = unfinished
        self._gone: Counter[str] = Counter()
        self._troubles: set[str] = set()
        self._pause: Deferred[None] | None = None
        self._stopping = False
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self._round()).addErrback(self._broken))
        self._loop.clock = clock

    def start(self, rule: RetentionConfig) -> None:
        """Begin a round at once, and then every :data:`EVERY` seconds."""
        self.rule = rule
        self._watch = ClockWatch(self._clock, self._now)
        self._over: Deferred[LoopingCall] = self._loop.start(EVERY)

    async def stop(self) -> None:
        """Begin no more steps, and wait for the step under way. Does nothing if not started."""
        self._stopping = True
        if self._pause is not None:
            self._pause.cancel()
        if self._loop.running:
            self._loop.stop()
            await self._over

    async def _round(self) -> None:
        self._gone.clear()
        await self._part("runs", self._forget)
        for name, sweep in self._folders.items():
            await self._part(name, partial(self._look, sweep))
        if self._gone.total():
            gone = {name: self._gone[name] for name in ("runs", "logs", "items")}
            self.log.info("retention deleted {runs} rows, {logs} log files, {items} items files", **gone)

    async def _part(self, name: str, step: Callable[[datetime], Awaitable[Swept]]) -> None:
        """Take steps until nothing is left to delete, a step fails, the rule is gone, or the time is up.

        The next round continues from here.
        """
        trouble, more, end = None, True, self._clock.seconds() + EVERY
        while more and (before := self._before(name)) is not None:
            try:
                swept = await step(before)
            except LedgerError as error:
                swept = Swept(removed=0, done=True, trouble=str(error))
            self._gone[name] += swept.removed
            trouble = trouble or swept.trouble
            more = not swept.done and self._clock.seconds() < end and await self._rest()
            if not more:
                self._tell(name, trouble)

    def _before(self, name: str) -> datetime | None:
        """The moment before which the rule of this name deletes; None if it deletes nothing."""
        span: timedelta | None = getattr(self.rule, name)
        if span is None or self._stopping or not self._watch.believed():
            return None
        return self._now() - span

    async def _forget(self, before: datetime) -> Swept:
        gone = await self._prune(before, AT_ONCE)
        return Swept(removed=gone, done=not gone)

    async def _look(self, sweep: Sweep, before: datetime) -> Swept:
        return await sweep(before.timestamp(), frozenset(self._unfinished()), FILES_AT_ONCE)

    async def _rest(self) -> bool:
        """Pause, so that others can work. Return False if :meth:`stop` was called."""
        if self._stopping:
            return False
        self._pause = deferLater(self._clock, PAUSE)
        try:
            await self._pause
        except CancelledError:
            return False
        finally:
            self._pause = None
        return not self._stopping

    def _tell(self, name: str, trouble: str | None) -> None:
        """Log the first failure in a row, and the first success after it."""
        if trouble is not None and name not in self._troubles:
            self.log.error(
                "some of what is older than retention.{name} could not be deleted; will retry: {trouble}",
                name=name,
                trouble=trouble,
            )
        elif trouble is None and name in self._troubles:
            self.log.info("all that is older than retention.{name} could be deleted again", name=name)
        (self._troubles.discard if trouble is None else self._troubles.add)(name)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("retention failed because of a bug in the hub; it will try again", failure)
