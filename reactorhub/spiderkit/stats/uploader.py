"""The Scrapy extension that uploads the stats of its crawl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.utils.misc import build_from_crawler
from scrapy.utils.reactor import is_reactor_installed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reactorhub.spiderkit.stats.options import INTERVAL, ON_IDLE, UploaderOptions, uploader_options
from reactorhub.spiderkit.stats.outbox import Outbox
from reactorhub.spiderkit.stats.plain import Plain, plain_stats

GRID = 0.1  # seconds


class StatsUploader:
    """Uploads the stats of its crawl when it closes, and before as ``STATSUPLOADER_UPLOAD_MODE`` says.

    ``UPLOAD_ON_CLOSE``: then only. ``UPLOAD_ON_IDLE``: also when the spider becomes idle, and again only
    after new requests. ``UPLOAD_INTERVAL``: also at the beginning and every ``STATSUPLOADER_UPLOAD_INTERVAL``
    seconds. ``connector`` is what uploads. The crawl does not wait for any upload; the process, or the run,
    waits at most five seconds for the last one.
    """

    def __init__(
        self, crawler: Crawler, options: UploaderOptions, connector: Any, clock: IReactorTime
    ) -> None:
        self.connector = connector
        self._crawler = crawler
        self._options = options
        self._outbox = Outbox(connector, clock, self._read)
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._engine_started = self._spider_is_closed = self._finished = False
        self._news = True
        self._listen()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the extension.

        :raises NotConfigured: if a setting cannot be used. Scrapy logs the message as a warning.
        """
        if not is_reactor_installed():
            raise NotConfigured("StatsUploader needs Twisted's reactor, and this crawl runs without it")
        from twisted.internet import reactor  # noqa: PLC0415 - it is installed only now

        try:
            options = uploader_options(crawler.settings)
        except ValueError as error:
            raise NotConfigured(str(error)) from error
        return cls(crawler, options, _connector(crawler, options), reactor)

    def _listen(self) -> None:
        handlers: dict[Callable[..., Any], object] = {
            self._spider_opened: signals.spider_opened,
            self._engine_has_started: signals.engine_started,
            self._spider_closed: signals.spider_closed,
            self._engine_stopped: signals.engine_stopped,
        }
        if self._options.mode == ON_IDLE:
            handlers |= {
                self._request_scheduled: signals.request_scheduled,
                self._spider_idle: signals.spider_idle,
            }
        for handler, signal in handlers.items():
            self._crawler.signals.connect(handler, signal=signal)

    def _read(self) -> tuple[str, Plain]:
        spider = self._crawler.spider
        assert isinstance(spider, Spider) and self._crawler.stats is not None
        return str(self._options.spider_id(spider)), plain_stats(self._crawler.stats.get_stats())

    def _spider_opened(self) -> None:
        if self._options.mode == INTERVAL:
            self._repeat()
        else:
            self._outbox.connect()

    def _repeat(self) -> None:
        """Upload now and after each interval, at whole tenths of a second.

        So the uploads of many crawls in one process share turns of the reactor, which makes them cheaper.
        """
        self._outbox.send()
        now, interval = self._clock.seconds(), self._options.interval
        grid = min(GRID, interval / 2)
        due = round((now + interval) / grid) * grid
        self._timer = self._clock.callLater(due - now, self._repeat)

    def _engine_has_started(self) -> None:
        self._engine_started = True

    def _request_scheduled(self) -> None:
        self._news = True

    def _spider_idle(self) -> None:
        if self._news:
            self._news = False
            self._outbox.send()

    async def _spider_closed(self) -> None:
        """Wait for the end of the engine: until then, other extensions may still count something.

        An engine that did not start does not end either; such a crawl was closed while it opened.
        """
        self._spider_is_closed = True
        if not self._engine_started:
            await self._engine_stopped()

    async def _engine_stopped(self) -> None:
        """Upload for the last time, unless the crawl was cut off before its spider closed."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._finished:
            return
        self._finished = True
        await (self._outbox.finish() if self._spider_is_closed else self._outbox.give_up())


def _connector(crawler: Crawler, options: UploaderOptions) -> Any:
    name = options.connector.__name__
    try:
        return build_from_crawler(options.connector, crawler, **options.confs)
    except Exception as error:
        raise NotConfigured(f"STATSUPLOADER_CONNECT_CONFS does not suit {name}: {error}") from error
