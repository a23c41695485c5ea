"""Forgets what is over and older than the rule says, in steps so small that no crawl feels them."""

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
    """How long what is over is kept: final runs with their ticks, log files, items files. None: for ever."""

    runs: timedelta | None = None
    logs: timedelta | None = None
    items: timedelta | None = None


EVERY = 600.0
"""Seconds from one round to the next, and the most that one part of a round takes."""

PAUSE = 0.5
"""Seconds between two steps."""

AT_ONCE = 100
"""How many rows go in one step. Other writes wait for it, and for what it makes the disk do."""

FILES_AT_ONCE = 500
"""How many entries of a folder are looked at in one step."""

LEAP = 86_400.0
"""Seconds that the wall clock may leap ahead and be believed; if further, it is not for as long."""

Prune = Callable[[datetime, int], Deferred[int]]
Sweep = Callable[[float, Collection[str], int], Deferred[Swept]]


class ClockWatch:
    """Tells whether the wall clock can be believed: what it makes old in one leap may be needed tomorrow."""

    log = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], datetime]) -> None:
        self._clock = clock
        self._now = now
        self._seconds, self._moment = clock.seconds(), now()
        self._doubted_until = self._seconds

    def believed(self) -> bool:
        """Whether it has leapt no further than :data:`LEAP` in as many seconds, or has leapt back since."""
        seconds, moment = self._clock.seconds(), self._now()
        ahead = (moment - self._moment).total_seconds() - (seconds - self._seconds)
        self._seconds, self._moment = seconds, moment
        if ahead > LEAP:
            self._doubted_until = seconds + LEAP
            self.log.warn(
                "the clock has leapt ahead by {hours:.0f} hours: nothing is removed for a day",
                hours=ahead / 3600,
            )
        elif ahead < -LEAP:
            self._doubted_until = seconds
        return seconds >= self._doubted_until


class Retention:
    """Goes round by round through the ledger and the folders of logs and items. ``rule`` may be replaced.

    What fails is told of once in the hub's log and tried again in the next round.
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
        :param prune: the ledger's.
        :param folders: what looks at more of a folder, by the name of its rule: ``logs``, ``items``.
        :param unfinished: the ids of the runs that are not final.
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
        """Begin the first round at once, and then one every :data:`EVERY` seconds."""
        self.rule = rule
        self._watch = ClockWatch(self._clock, self._now)
        self._over: Deferred[LoopingCall] = self._loop.start(EVERY)

    async def stop(self) -> None:
        """Begin no more steps; returns when the one under way is over. Does nothing if not started."""
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
            self.log.info("removed what was too old: {runs} rows, {logs} logs, {items} items files", **gone)

    async def _part(self, name: str, step: Callable[[datetime], Awaitable[Swept]]) -> None:
        """Take steps until nothing is left to do, something fails, the rule no longer holds, or the others
        have waited long enough: the next round goes on from here."""
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
        """The moment before which things are too old by the rule of this name; None: nothing goes."""
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
        """Let the others have their turn; False if told to stop."""
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
        """Say once that something fails, and once that it no longer does."""
        if trouble is not None and name not in self._troubles:
            self.log.error(
                "what retention.{name} makes old cannot all be removed; this is tried again: {trouble}",
                name=name,
                trouble=trouble,
            )
        elif trouble is None and name in self._troubles:
            self.log.info("what retention.{name} makes old can be removed again", name=name)
        (self._troubles.discard if trouble is None else self._troubles.add)(name)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("the hub has an error in removing what is old; it will try again", failure)
