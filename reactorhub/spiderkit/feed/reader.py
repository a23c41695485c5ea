"""Takes entries from a feed before the spider runs dry, and keeps those that it works on.

At most two batches are open at any time: the next batch is taken while the spider works on the one before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater

from reactorhub.spiderkit.connection.errors import RedisUnavailable
from reactorhub.spiderkit.feed.accounts import Accounts
from reactorhub.spiderkit.feed.entries import Entry
from reactorhub.spiderkit.feed.queue import FeedQueue, Taken

SOURCES = ("list", "set", "zset", "stream")
LOOK = 2.0  # seconds after which an idle reader looks at the feed although nothing has rung
BUSY = 0.1  # seconds between looks at a scheduler with many requests
PATIENCE = 1.0  # seconds without a connection, until that is worth a line in the log
REFUSED = 1.0  # seconds until a refused command is tried again
UNAVAILABLE = 0.2  # seconds until a client that was connected a moment ago is asked again
LOOKS_PER_LEASE = 8  # how often it is looked for entries of consumers that died, in one lease
KEEPS_PER_LEASE = 4  # how often own entries are kept, in one lease


class Event:
    """Lets one coroutine wait until it is set. It stays set until it is cleared."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._is_set = False
        self._waiting: Deferred[None] = succeed(None)

    def set(self) -> None:
        """Let the coroutine go on, now or when it comes."""
        self._is_set = True
        if not self._waiting.called:
            self._waiting.callback(None)

    def clear(self) -> None:
        """Let the coroutine wait from now on."""
        self._is_set = False

    async def wait(self, seconds: float) -> None:
        """Wait until it is set, at most so long."""
        if not self._is_set:
            self._waiting = Deferred()
            self._waiting.addTimeout(seconds, self._clock, onTimeoutCancel=lambda _result, _timeout: None)
            await self._waiting


class Bell(Protocol):
    """What a reader needs of :class:`~reactorhub.spiderkit.feed.bells.Bells`."""

    def arm(self, kind: str, last_id: str) -> None:
        """Ring once when something is new."""


class Spider(Protocol):
    """What a reader needs of the spider that it reads for."""

    def backlog(self) -> int:
        """Return how many requests wait in the spider's scheduler."""

    async def deliver(self, entries: Sequence[Entry]) -> None:
        """Make the requests of entries. Never raises."""

    async def take(self, count: int) -> Taken:
        """Take at most so many entries, after those that were handled have left the stream.

        :raises RedisUnavailable: or :exc:`RedisRefused`, as the queue does.
        """

    def unfinished(self) -> list[str]:
        """Return the ids of the entries that Redis must keep for this spider."""

    def surrendered(self, ids: set[str]) -> None:
        """Note that another consumer has these entries, or that Redis lost them."""

    def waits(self) -> None:
        """Note that Redis has not been connected for a while."""

    def connected(self) -> None:
        """Note that Redis can be reached, and takes commands."""

    def trouble(self, error: Exception) -> None:
        """Note that Redis cannot be reached, or refuses a command."""


class Reader:
    """Reads one feed for one spider, until it is stopped."""

    def __init__(
        self,
        queue: FeedQueue,
        when_connected: Callable[[], Deferred[None]],
        accounts: Accounts,
        spider: Spider,
        clock: Any,
        *,
        batch: int,
        lease: float,
        kind: str,
    ) -> None:
        """:param kind: the kind of the source before it exists for the first time."""
        self.bells: Bell | None = None
        self._queue = queue
        self._when_connected = when_connected
        self._accounts = accounts
        self._spider = spider
        self._clock = clock
        self._batch = batch
        self._lease = lease
        self._kind = kind
        self._stopped = self._waits_for_backlog = False
        self._due = True
        self._reply_lost = False
        self._space, self._news = Event(clock), Event(clock)
        self._connecting: Deferred[None] = succeed(None)
        self._reading: Deferred[None] = succeed(None)
        self._timers: list[Deferred[None]] = []

    def start(self) -> None:
        """Begin to read."""
        self._reading = Deferred.fromCoroutine(self._serve())
        self._timers = [
            Deferred.fromCoroutine(self._every(self._lease / LOOKS_PER_LEASE, self._look_due)),
            Deferred.fromCoroutine(self._every(self._lease / KEEPS_PER_LEASE, self._keep)),
        ]

    def stop(self) -> None:
        """Take nothing more. What is being taken now is not delivered."""
        self._stopped = True
        self._connecting.cancel()
        self._space.set()
        self._news.set()

    async def ended(self) -> None:
        """Wait until nothing is being taken, and keep no entry any more."""
        for timer in self._timers:
            timer.cancel()
        await self._reading

    def ring(self) -> None:
        """Look at the feed now: it may have new entries."""
        self._news.set()

    def has_space(self) -> None:
        """Note that an entry is not open any more."""
        if len(self._accounts) <= self._batch:
            self._space.set()

    def request_is_over(self) -> None:
        """Note that the spider has one request less."""
        if self._waits_for_backlog and self._spider.backlog() < self._batch:
            self._space.set()

    async def _serve(self) -> None:
        while not self._stopped:
            try:
                await self._connection()
                await self._turn()
            except CancelledError:
                continue
            except RedisUnavailable as error:
                self._reply_lost = True
                await self._pause(error, UNAVAILABLE)
            except Exception as error:  # noqa: BLE001 - whatever it was, the spider must not wait for ever
                await self._pause(error, REFUSED)

    async def _connection(self) -> None:
        self._connecting = self._when_connected()
        if self._connecting.called:
            return
        notice = self._clock.callLater(PATIENCE, self._spider.waits)
        try:
            await self._connecting
        finally:
            if notice.active():
                notice.cancel()

    async def _pause(self, error: Exception, seconds: float) -> None:
        if not self._stopped:
            self._spider.trouble(error)
            self._news.clear()
            await self._news.wait(seconds)

    async def _turn(self) -> None:
        self._space.clear()
        room = self._room()
        if not room:
            self._waits_for_backlog = len(self._accounts) <= self._batch
            await self._space.wait(BUSY if self._waits_for_backlog else LOOK)
            self._waits_for_backlog = False
            return
        self._news.clear()
        if self._reply_lost:
            await self._give_unknown_back()
            self._reply_lost = False
        if self._due:
            self._due = False
            await self._deliver(await self._queue.take_over(room))
            if not (room := self._room()):
                return
        taken = await self._spider.take(room)
        self._spider.connected()
        await self._deliver(taken.entries)
        if len(taken.entries) < room and not self._stopped:
            await self._wait(taken.kind, taken.last_id)

    async def _give_unknown_back(self) -> None:
        """Give back what was taken without a reply: it would wait for the end of the lease otherwise."""
        known = set(self._spider.unfinished())
        if unknown := [each for each in await self._queue.mine() if each not in known]:
            await self._queue.give_back(unknown)

    async def _wait(self, kind: str, last_id: str) -> None:
        if kind in SOURCES:
            self._kind = kind
        elif kind != "none":
            kinds = "a list, a set, a sorted set or a stream"
            self._spider.trouble(TypeError(f"the key is a {kind}, and must be {kinds}"))
        if self.bells is not None:
            self.bells.arm(self._kind, last_id)
        await self._news.wait(LOOK)

    def _room(self) -> int:
        still_open = len(self._accounts)
        if self._stopped or still_open > self._batch or self._spider.backlog() >= self._batch:
            return 0
        return 2 * self._batch - still_open

    async def _deliver(self, entries: Sequence[Entry]) -> None:
        known = set(self._spider.unfinished())  # after an outage an entry's own consumer may take it over
        new = [entry for entry in entries if entry.id not in known]
        if new and not self._stopped:
            self._accounts.take(new)
            await self._spider.deliver(new)

    def _look_due(self) -> Deferred[None]:
        self._due = True
        self._news.set()
        return succeed(None)

    async def _keep(self) -> None:
        if ids := self._spider.unfinished():
            self._spider.surrendered(await self._queue.keep(ids))

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        try:
            while True:
                await deferLater(self._clock, seconds)
                try:
                    await work()
                except Exception:  # noqa: BLE001 - the next attempt to take says so
                    continue
        except CancelledError:
            return
