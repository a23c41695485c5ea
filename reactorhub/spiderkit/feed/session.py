"""The feed of one open spider: from the first entry to what goes back when the spider closes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property, partial
from typing import Any

from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable
from reactorhub.spiderkit.feed.accounts import Accounts
from reactorhub.spiderkit.feed.bells import Bells
from reactorhub.spiderkit.feed.delivery import Delivery, FedSpider
from reactorhub.spiderkit.feed.entries import Entry
from reactorhub.spiderkit.feed.idleness import Idleness
from reactorhub.spiderkit.feed.listing import list_feed
from reactorhub.spiderkit.feed.options import FeedOptions
from reactorhub.spiderkit.feed.outcomes import DeadLetter, Outcomes
from reactorhub.spiderkit.feed.private import (
    Follower,
    backlog,
    look_again,
)
from reactorhub.spiderkit.feed.queue import FeedKeys, FeedQueue, Handled, Taken, new_consumer
from reactorhub.spiderkit.feed.reader import Reader

READER_WITHIN = 0.5  # seconds that a closing spider waits for what takes entries and makes requests
CLOSE_WITHIN = 2.0  # seconds that a closing spider waits for Redis; the lease takes care of the rest


class Session:
    """Feeds one spider. The spider's crawler must have its engine before :meth:`open`."""

    def __init__(
        self,
        spider: FedSpider,
        crawler: Crawler,
        options: FeedOptions,
        address: RedisAddress,
        clock: Any,
        *,
        lent: Any = None,
    ) -> None:
        """
        :param address: the address of the server.
        :param lent: the connection that a hub lends; without it the feed has one of its own.
        """
        self.options = options
        self.address = address
        self._spider = spider
        self._crawler = crawler
        self._clock = clock
        self._lent = lent
        self._accounts = Accounts(self._finished, tree=options.tree)
        self.delivery = Delivery(spider, crawler, options, self._accounts, self)
        self._idleness = Idleness(clock, options.max_idle_time, self._look_again)
        self._follower: Follower | None = None
        self._going_back: Deferred[Any] = succeed(None)
        self._listing: Deferred[Any] = succeed(None)
        self._trouble = ""
        self._connected = self._opened = self._closing = False

    @cached_property
    def client(self) -> Any:
        """The client for all commands that do not block: the hub's, or one of its own."""
        return self._own_client if self._lent is None else self._lent

    @cached_property
    def _own_client(self) -> RedisClient:
        return self._new_client()

    @cached_property
    def queue(self) -> FeedQueue:
        """The feed in Redis."""
        keys = FeedKeys(self.options.redis_key)
        return FeedQueue(self.client, keys, new_consumer(), self.options.lease)

    @cached_property
    def _outcomes(self) -> Outcomes:
        return Outcomes(self.queue, self._spider.name, self._clock, self._told, self.trouble)

    @cached_property
    def _reader(self) -> Reader:
        options = self.options
        reader = Reader(
            self.queue,
            self.client.when_connected,
            self._accounts,
            self,
            self._clock,
            batch=options.batch,
            lease=options.lease,
            kind=options.kind,
        )
        reader.bells = self._bells = Bells(
            self.queue.keys, self.client, self._new_client, self._clock, reader.ring
        )
        return reader

    def _new_client(self) -> RedisClient:
        return RedisClient(self.address, self._clock)

    @property
    def _engine(self) -> ExecutionEngine:
        engine = self._crawler.engine
        assert engine is not None
        return engine

    def open(self) -> None:
        """Connect, and begin to feed the spider."""
        over = self._reader.request_is_over
        self._follower = Follower(self._engine, self._accounts, closing=self.begin_to_close, over=over)
        self._follower.follow()
        if self._lent is None:
            self._own_client.start()
        self._reader.start()
        self._opened = True
        listing = list_feed(self._crawler, self.client, self.options.redis_key)
        self._listing = deferred_from_coro(listing).addErrback(self._not_listed)

    def _not_listed(self, failure: Failure) -> None:
        self._log("debug", "The hub does not list the feed %s: %s", self.options.redis_key, failure.value)

    def ring(self) -> None:
        """Look at the feed now."""
        if self._opened:
            self._reader.ring()

    def stays(self) -> bool:
        """Return whether an idle spider has to stay open. Call this only when it is idle."""
        if lost := self._accounts.settle():
            self._log("debug", "%d entries count as handled: a component lost their requests", len(lost))
        if not self._connected or len(self._accounts):
            self._idleness.interrupt()
            return True
        return self._idleness.stays(self._crawler.stats.get_value("scheduler/enqueued", 0))

    async def deliver(self, entries: Sequence[Entry]) -> None:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        self._idleness.interrupt()
        self._count("taken", len(entries))
        self._count("taken_over", sum(entry.deliveries > 1 for entry in entries))
        await deferred_from_coro(self.delivery.deliver(entries))

    def bury(self, entry: Entry, reason: str) -> None:
        """See :class:`reactorhub.spiderkit.feed.delivery.Feed`."""
        task = self._accounts.task_of(entry.id)
        self._accounts.forget([entry.id])
        self._outcomes.bury(DeadLetter(entry, reason[:1000], task))
        self._reader.has_space()

    def _finished(self, handled: Handled) -> None:
        self._outcomes.handled(handled)
        self._reader.has_space()

    def error(self, entry_id: str | None) -> None:
        """Count an exception of an entry."""
        if entry_id is not None:
            self._accounts.error(entry_id)

    def backlog(self) -> int:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        return backlog(self._engine)

    async def take(self, count: int) -> Taken:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        return await self._outcomes.along_with(partial(self.queue.take, count))

    def unfinished(self) -> list[str]:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        return [*self._accounts.ids, *self._outcomes.ids]

    def surrendered(self, ids: set[str]) -> None:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        gone = [each for each in ids if each in self._accounts]
        if gone:
            self._accounts.forget(gone)
            self._log("warning", "%d entries of %s are not this spider's any more", len(gone), self._key)
            self._reader.has_space()

    def connected(self) -> None:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        if self._trouble:
            self._log("info", "Redis is back: the spider goes on to read %s", self._key)
        if not self._connected or self._trouble:
            self._connected, self._trouble = True, ""
            self._look_again()

    def waits(self) -> None:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        self.trouble(RedisUnavailable(self.client.state.reason))

    def trouble(self, error: Exception) -> None:
        """See :class:`reactorhub.spiderkit.feed.reader.Spider`."""
        self._connected = False
        if not self._trouble and not self._closing:
            self._trouble = str(error)
            self._log("warning", "The spider waits, since Redis cannot be used for %s: %s", self._key, error)

    @property
    def _key(self) -> str:
        return self.options.redis_key

    def begin_to_close(self) -> None:
        """Take nothing more, and give back at once what cannot be finished any more."""
        if self._closing or self._follower is None:
            return
        self._closing = self._accounts.closing = True
        self._idleness.interrupt()
        self._reader.stop()
        self._give_back(self._accounts.unfinishable(self._follower.running()))

    def read_no_more(self) -> None:
        """See :class:`reactorhub.spiderkit.feed.delivery.Feed`."""
        self._reader.stop()
        self._give_back(self._accounts.ids)

    def _give_back(self, ids: Sequence[str]) -> None:
        self._accounts.forget(ids)
        if ids:
            self._going_back = Deferred.fromCoroutine(self._try_to_give_back(ids))

    async def _try_to_give_back(self, ids: Sequence[str]) -> None:
        try:
            self._count("given_back", await self.queue.give_back(ids))
        except (RedisUnavailable, RedisRefused) as error:
            self.trouble(error)

    def closed(self) -> Deferred[None]:
        """Acknowledge what was handled, give back the rest, and disconnect. Never fails, and never lasts."""
        self.begin_to_close()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if not self._opened:
            return
        ending = Deferred.fromCoroutine(self._end())
        ending.addTimeout(CLOSE_WITHIN, self._clock)
        try:
            await ending
        except Exception as error:  # noqa: BLE001 - whatever it was, the lease takes care of the entries
            text = "What the spider has not handled of %s goes to others within %g s: %s"
            self._log("warning", text, self._key, self.options.lease, error or type(error).__name__)
        self._outcomes.stop()
        self._listing.cancel()
        await self._bells.stop()
        if self._lent is None:
            await self._own_client.stop()

    async def _end(self) -> None:
        await self._bounded(self._reader.ended())
        await self._going_back
        await self._outcomes.flush()
        while (ids := await self.queue.mine()) and (given_back := await self.queue.give_back(ids)):
            self._count("given_back", given_back)
        await self.queue.leave()

    async def _bounded(self, ending: Coroutine[Any, Any, None]) -> None:
        """Wait for the reader, but not long: a middleware of the project may keep it busy."""
        waiting = Deferred.fromCoroutine(ending)
        waiting.addTimeout(READER_WITHIN, self._clock, onTimeoutCancel=lambda _result, _timeout: None)
        await waiting

    def _look_again(self) -> None:
        if self._opened and not self._closing:
            look_again(self._engine)

    def _told(self, acknowledged: int, buried: int) -> None:
        self._count("acknowledged", acknowledged)
        self._count("dead", buried)

    def _count(self, what: str, number: int) -> None:
        if number:
            self._crawler.stats.inc_value(f"feed/{what}", number)

    def _log(self, level: str, text: str, *values: object) -> None:
        log: Callable[..., None] = getattr(self._spider.logger, level)
        log(text, *values)
