"""The spiders that a feed feeds. They have the names and the habits of those of scrapy-redis."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping
from typing import Any, Self

from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider, DontCloseSpider
from scrapy.spiders import CrawlSpider
from twisted.internet.defer import Deferred

from reactorhub.spiderkit.connection.answer import Answer
from reactorhub.spiderkit.connection.parameters import address_from, leads_to, server_params
from reactorhub.spiderkit.feed.entries import STREAM, BadEntry, request_of, text_of
from reactorhub.spiderkit.feed.options import blocking_settings, options_of
from reactorhub.spiderkit.feed.private import entry_of
from reactorhub.spiderkit.feed.requests import requests_in, scrapy_request
from reactorhub.spiderkit.feed.server import blocking_server
from reactorhub.spiderkit.feed.session import Session


class RedisMixin:
    """Lets a spider wait for entries of a feed in Redis.

    Put it before the spider's class, and call :meth:`setup_redis` in ``from_crawler``. Attributes, methods
    and settings have the names of scrapy-redis. An entry leaves Redis only when its request was handled.
    """

    redis_key: str | None = None
    redis_batch_size: int | None = None
    redis_encoding: str | None = None
    max_idle_time: float | None = None
    reactorhub_service = True
    """Says to a hub that this spider waits for work: a hub that shuts down tells it at once to stop."""

    name: str
    crawler: Crawler
    logger: Any
    _session: Session | None = None
    _server: Any = None

    async def start(self) -> AsyncIterator[Any]:
        """Yield nothing: the requests come from Redis. Override this to send others first."""
        if getattr(self, "start_urls", None):
            self.logger.warning("start_urls are not requested: %s reads %s", self.name, self.redis_key)
        return
        yield  # makes this an asynchronous generator

    def setup_redis(self, crawler: Crawler | None = None) -> None:
        """Read the settings, and connect as soon as the spider opens.

        :raises ValueError: if an attribute or a setting cannot be used.
        """
        if self._session is not None:
            return
        crawler = crawler or getattr(self, "crawler", None)
        if crawler is None:
            raise ValueError("crawler is required")
        self._keep_domains()
        options = options_of(self, crawler.settings)
        self.redis_key, self.redis_encoding = options.redis_key, options.encoding
        self.redis_batch_size, self.max_idle_time = options.batch, options.max_idle_time
        if blocking := blocking_settings(crawler.settings):
            text = "Remove %s: classes of scrapy_redis block the reactor with each call"
            self.logger.warning(text, " and ".join(blocking))
        self._session = _session(self, crawler, options)
        self._listen(crawler)
        text = "Reading start URLs from redis key '%s' (batch size: %s, encoding: %s)"
        self.logger.info(text, options.redis_key, options.batch, options.encoding)

    def _keep_domains(self) -> None:
        """The example of scrapy-redis sets an iterator, which Scrapy would find empty the second time."""
        domains = getattr(self, "allowed_domains", None)
        if isinstance(domains, Iterator):
            self.allowed_domains = list(domains)

    def _listen(self, crawler: Crawler) -> None:
        connect = crawler.signals.connect
        connect(self._feed_opened, signal=signals.spider_opened)
        connect(self.spider_idle, signal=signals.spider_idle)
        connect(self._feed_closed, signal=signals.spider_closed)
        connect(self._feed_error, signal=signals.item_error)
        connect(self._feed_error, signal=signals.spider_error)

    def _feed_opened(self) -> None:
        assert self._session is not None
        self._session.open()

    async def _feed_closed(self) -> None:
        assert self._session is not None
        await _awaitable(self._session.closed())

    def _feed_error(self, response: Any) -> None:
        assert self._session is not None
        self._session.error(entry_of(getattr(response, "request", None)))

    def next_requests(self) -> Iterable[Any]:
        """Return the requests of the entry that is being delivered; nothing at any other time.

        It is called once for each entry. An override may filter or change what ``super()`` returns.
        """
        session = self._session
        entry = None if session is None else session.delivery.current
        if session is None or entry is None:
            return
        session.delivery.used = True
        data = _decoded(entry.data, session.options.encoding) if session.options.decode else entry.data
        try:
            yield from requests_in(self.make_request_from_data(data))
        except (BadEntry, CloseSpider):
            raise
        except Exception as error:
            self.logger.exception("make_request_from_data failed")
            raise BadEntry(f"make_request_from_data raised {type(error).__name__}: {error}") from error

    def make_request_from_data(self, data: Any) -> Any:
        """Return the request of an entry. Override this to read entries of another form.

        An override may return a request, several, or None. Whatever it raises makes the entry a dead letter.

        :param data: the entry as bytes; as text with ``REDIS_DECODE_RESPONSES``.
        :raises BadEntry: if the entry gives no request.
        """
        session = self._session
        entry = None if session is None else session.delivery.current
        full = entry is not None and entry.kind == STREAM
        text = text_of(data, self.redis_encoding or "utf-8")
        return scrapy_request(request_of(text, full=full), self)  # type: ignore[arg-type]  # it is a mixin

    def schedule_next_requests(self) -> None:
        """Look at the feed now."""
        session = self._session
        if session is None:
            return
        if session.delivery.bypassed:
            engine = self.crawler.engine
            assert engine is not None
            for request in self.next_requests():
                engine.crawl(request)
        else:
            session.ring()

    def spider_idle(self) -> None:
        """Keep the spider open, unless it has been idle for ``max_idle_time``.

        :raises DontCloseSpider: if the spider stays open.
        """
        self.schedule_next_requests()
        if self._session is not None and self._session.stays():
            raise DontCloseSpider

    def push(self, entry: str | bytes | Mapping[str, Any], score: float = 0) -> Awaitable[None]:
        """Add an entry to the feed, without blocking the reactor. Await the result.

        Text and bytes go to ``redis_key``, as a producer of scrapy-redis would push them. A mapping goes to
        the feed's stream, and may contain all of a request.

        :param score: the entry's score, if the key is a sorted set.
        :raises RedisUnavailable: if Redis cannot be reached. The entry may have been added.
        :raises RedisRefused: if Redis refuses the command.
        """
        if self._session is None:
            raise ValueError("setup_redis was not called")
        pushing = self._session.queue.push(entry, self._session.options.kind, score)
        return _awaitable(Deferred.fromCoroutine(pushing))

    def __dir__(self) -> Iterable[str]:
        """Leave ``server`` out: Scrapy's feeds read every attribute that is listed here."""
        return [name for name in super().__dir__() if name != "server"]

    @property
    def server(self) -> Any:
        """A client of the package redis, for spiders written for scrapy-redis. Each of its calls blocks."""
        if self._server is None and self._session is not None:
            options, params = self._session.options, server_params(self.crawler.settings)
            self._server = blocking_server(params, self._session.address, options.decode)
            warnings.warn(
                "self.server blocks the reactor, and all crawls on it, while it waits for Redis. "
                "Use `await self.push(entry)` to add entries.",
                stacklevel=2,
            )
        return self._server

    @server.setter
    def server(self, server: Any) -> None:
        self._server = server


def _awaitable(deferred: Deferred[None]) -> Answer[None]:
    answer: Answer[None] = Answer()
    deferred.chainDeferred(answer)
    return answer


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except ValueError as error:
        raise BadEntry(f"the entry cannot be decoded as {encoding}") from error


def _session(spider: Any, crawler: Crawler, options: Any) -> Session:
    from twisted.internet import reactor  # noqa: PLC0415 - Scrapy has installed it by now

    params, lent = server_params(crawler.settings), getattr(crawler, "reactorhub_connection", None)
    address = lent.address if params is None and lent is not None else address_from(params or {})
    shared = lent if lent is not None and leads_to(lent.address, address) else None
    return Session(spider, crawler, options, address, reactor, lent=shared)


class RedisSpider(RedisMixin, Spider):
    """A spider that waits for entries in Redis."""

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Create the spider and set up its feed."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.setup_redis(crawler)
        return spider


class RedisCrawlSpider(RedisMixin, CrawlSpider):
    """A spider with rules that waits for entries in Redis."""

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Create the spider and set up its feed."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.setup_redis(crawler)
        return spider
