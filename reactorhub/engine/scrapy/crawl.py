"""One crawl in progress, from the creation of its crawler to the facts about its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from scrapy import Spider, signals
from scrapy.core.engine import ExecutionEngine
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.containment.at_exit import call_at_exit
from reactorhub.containment.contexts import RunContext
from reactorhub.containment.leftovers import RunEnding
from reactorhub.containment.logging_globals import forget_filters
from reactorhub.containment.logging_views import close_handlers
from reactorhub.containment.streams import finish_lines
from reactorhub.containment.threads import outside
from reactorhub.containment.variables import forget_variables
from reactorhub.engine.isolated.child.feed import ItemsFile
from reactorhub.engine.isolated.child.fields import FieldCounter
from reactorhub.engine.isolated.child.told import is_service
from reactorhub.engine.scrapy.crawler import HubCrawler
from reactorhub.engine.scrapy.private import CRAWLER_LOGGER, engine_of, stats_of
from reactorhub.engine.scrapy.private.engines import stop_timers
from reactorhub.engine.scrapy.private.stats import count_live
from reactorhub.errors import last_line
from reactorhub.model.run import CrawlEnd
from reactorhub.model.values import trusted
from reactorhub.policies.comparisons import count_of
from reactorhub.policies.expectations import FIELD_COUNT

_MAX_REASON = 200  # characters of a finish reason
_LOOK_AGAIN = 0.05  # seconds between attempts to stop a crawl whose engine does not run yet


class ScrapyCrawl:
    """See :class:`reactorhub.engine.protocols.Crawl`."""

    log = Logger()
    pid: int | None = None  # it lives in the hub's own process
    isolated_because: str | None = None

    def __init__(
        self,
        clock: IReactorTime,
        context: RunContext,
        items: Path,
        fields: Iterable[str] = (),
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param fields: the item fields to count.
        :param on_end: called outside of the run when its log is about to be closed.
        """
        self.opened: Deferred[None] = Deferred()
        self.done: Deferred[CrawlEnd] = Deferred()
        self._clock = clock
        self._on_end = on_end
        self._items = ItemsFile(str(items.absolute()))
        self._fields = fields
        self._field_counter: FieldCounter | None = None  # signals alone would not keep it alive
        self._context = context
        self._run_log = context.log
        self._crawler: HubCrawler | None = None
        self._finish_reason: str | None = None
        self._stopping = self._cutting = False
        self._look: IDelayedCall | None = None
        self._leftovers: RunEnding | None = None

    def begin(self, make: Callable[[], tuple[HubCrawler, Callable[[], Deferred[None]]]]) -> None:
        """Create the crawler and start it, within the run's own context."""
        self._context.enter(self._begin, make)

    def _begin(self, make: Callable[[], tuple[HubCrawler, Callable[[], Deferred[None]]]]) -> None:
        try:
            crawler, start = make()
            self._adopt(crawler)
            crawling = start()
        except BaseException:  # noqa: BLE001 - sys.exit() in a spider's __init__ ends its own run only
            self._ended(Failure())
        else:
            crawling.addBoth(self._ended)

    def _adopt(self, crawler: HubCrawler) -> None:
        self._crawler = crawler
        crawler.run_context = self._context
        self._run_log.configure(crawler.settings)
        crawler.items = self._items
        self._items.watch(crawler)
        self._field_counter = FieldCounter(crawler, self._fields, FIELD_COUNT)
        crawler.signals.connect(self._spider_opened, signals.spider_opened)
        crawler.signals.connect(self._spider_closed, signals.spider_closed)

    def _spider_opened(self) -> None:
        if not self.opened.called:
            outside(self.opened.callback, None)  # the hub's own timers must not end with the run
        if self._crawler is not None:
            with suppress(Exception):  # the class of the stats may be the project's
                count_live(self._crawler.stats, self._run_log.counts)

    def _spider_closed(self, spider: Spider, reason: object) -> None:
        self._finish_reason = _text(reason)[:_MAX_REASON]
        if self._crawler is not None:
            for level, count in self._run_log.counts.items():
                self._crawler.stats.set_value(f"log_count/{level}", count)

    @property
    def feeds(self) -> bool:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        return self._items.replaced

    @property
    def service(self) -> bool:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        return self._crawler is not None and is_service(self._crawler.spidercls)

    def stats(self) -> Mapping[str, Any]:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        if self._crawler is None:
            return {}
        counts = {f"log_count/{level}": count for level, count in self._run_log.counts.items()}
        return {**_collected(self._crawler), **counts}

    def errors(self) -> int:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        return self._run_log.errors + self._context.silent

    def stop(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`.

        Scrapy loses a stop that comes while the spider opens, and such a crawl never ends. So the order
        waits until the engine runs.
        """
        if not self._stopping:
            self._stopping = True
            self._context.enter(self._stop_when_running)

    def _stop_when_running(self) -> None:
        self._look = None
        if self.done.called:
            return
        engine = self._engine()
        if self._crawler is None or engine is None or not engine.running:
            self._look = self._clock.callLater(_LOOK_AGAIN, self._stop_when_running)
            return
        self._go(self._crawler.stop_async())
        if self._cutting:
            self._cut()

    def abort(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self.stop()
        self._cutting = True
        self._cut()

    def _cut(self) -> None:
        engine = self._engine()
        if self._crawler is not None and engine is not None:
            self._crawler.in_flight.cut(engine, self._look_now)

    def _look_now(self) -> None:
        """Stop before a crawl whose downloads are cut off looks finished, where the stop still waits."""
        if self._look is not None:
            self._look.cancel()
            self._stop_when_running()

    def cancel_tasks(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self.abort()
        for task in tuple(self._context.tasks):
            task.cancel()

    def abandon(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._end(CrawlEnd(failure="the crawl did not end when it was told to and was abandoned"))
        if self._leftovers is not None:
            outside(self._leftovers.finish)  # nothing is waited for any more

    def _go(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        going = deferred_from_coro(coroutine)
        going.addErrback(lambda failure: failure.trap(asyncio.CancelledError))
        going.addErrback(lambda failure: self.log.failure("a crawl could not be stopped", failure))

    def _ended(self, result: Failure | None) -> None:
        failure = None
        if isinstance(result, Failure):
            failure = last_line(result.value or Exception(result.getErrorMessage()))
            self._context.enter(_log_failure, result)
        self._end(CrawlEnd(failure=failure, finish_reason=self._finish_reason))

    def _end(self, end: CrawlEnd) -> None:
        """End what the run has left behind, then close its log. Most runs leave nothing and end at once."""
        if self.done.called or self._leftovers is not None:
            return
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if (engine := self._engine()) is not None and self._finish_reason is None:
            with suppress(BaseException):  # the downloader may be the project's
                self._context.enter(stop_timers, engine)
        self._leftovers = RunEnding(self._context, self._clock, partial(self._close, end))
        outside(self._leftovers.begin)

    def _close(self, end: CrawlEnd) -> None:
        facts = self._facts(end)
        self._items.close()
        call_at_exit(self._context)
        close_handlers(self._context)
        finish_lines(self._context)
        forget_filters(self._context)
        forget_variables(self._context)
        for take_out in self._context.at_end:
            with suppress(Exception):  # the run's code may have taken it out itself
                take_out()
        self._on_end()
        self._context.over = True
        self._run_log.close()
        if self._crawler is not None and self._engine() is not None and self._finish_reason is None:
            self._context.enter(self._release, self._crawler)
        self._crawler = self._field_counter = None
        self.done.callback(facts)

    def _release(self, crawler: HubCrawler) -> None:
        """Release the connections of an engine that did not close."""
        self._go(crawler.signals.send_catch_log_async(signals.engine_stopped))

    def _engine(self) -> ExecutionEngine | None:
        return None if self._crawler is None else engine_of(self._crawler)

    def _facts(self, end: CrawlEnd) -> CrawlEnd:
        stats = {**self.stats(), **(self._leftovers.stats() if self._leftovers else {})}
        items = count_of(stats.get("item_scraped_count"))
        return CrawlEnd(
            failure=end.failure,
            finish_reason=end.finish_reason,
            items=items,
            errors=self.errors(),
            exceptions=max(self._context.exceptions, count_of(stats.get("spider_exceptions/count"))),
            error=self._context.error,
            stats=stats,
            **self._won(items, stats),
        )

    def _won(self, items: int, stats: Mapping[str, Any]) -> dict[str, Any]:
        """Return what became of the pages and of the items."""
        crawler = self._crawler
        if crawler is None:
            return {}
        crawler.pages.downloads = crawler.in_flight.begun
        return {**crawler.pages.facts(crawler.spidercls, stats), **crawler.storing.facts(items)}


def _text(value: object) -> str:
    """Return the text of a finish reason. A spider may give an object of any class."""
    try:
        return str(value)
    except BaseException:  # noqa: BLE001 - code of the project
        return type(value).__name__


def _collected(crawler: HubCrawler) -> dict[str, Any]:
    """Return the stats of a crawl. They are empty if its collector raises: it may be the project's own."""
    collector = stats_of(crawler)
    try:
        return {} if collector is None else trusted(dict(collector.get_stats()))
    except BaseException:  # noqa: BLE001 - code of the project
        return {}


def _log_failure(failure: Failure) -> None:
    exc_info = (failure.type, failure.value, failure.getTracebackObject())
    logging.getLogger(CRAWLER_LOGGER).error("The crawl raised an exception", exc_info=exc_info)  # type: ignore[arg-type]
