"""Makes requests of entries, and gives them to the spider's engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from scrapy import Request, signals
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider

from reactorhub.spiderkit.feed.accounts import Accounts
from reactorhub.spiderkit.feed.entries import BadEntry, Entry
from reactorhub.spiderkit.feed.options import FeedOptions
from reactorhub.spiderkit.feed.private import as_start, close, entry_of, mark
from reactorhub.spiderkit.feed.requests import task_of


class FedSpider(Protocol):
    """What a feed needs of its spider."""

    name: str
    logger: Any

    def next_requests(self) -> Iterable[Any]:
        """Return the requests of the entry that is being delivered."""


class Feed(Protocol):
    """What a delivery needs of the feed."""

    def bury(self, entry: Entry, reason: str) -> None:
        """Make an entry a dead letter."""

    def read_no_more(self) -> None:
        """Take nothing more, and give back what was taken."""


class Delivery:
    """Delivers entries to one spider, one after the other."""

    def __init__(
        self, spider: FedSpider, crawler: Crawler, options: FeedOptions, accounts: Accounts, feed: Feed
    ) -> None:
        self.current: Entry | None = None
        """The entry that is being delivered."""
        self.used = False
        """Whether the spider made requests of this entry."""
        self.bypassed = False
        """Whether the spider's own ``next_requests`` reads Redis, without a look at what is delivered."""
        self._spider = spider
        self._crawler = crawler
        self._options = options
        self._accounts = accounts
        self._feed = feed
        self._counts_items = False

    @property
    def _engine(self) -> ExecutionEngine:
        engine = self._crawler.engine
        assert engine is not None
        return engine

    async def deliver(self, entries: Sequence[Entry]) -> None:
        """Make the requests of entries. Never raises."""
        for entry in entries:
            if not self._accounts.closing and not self.bypassed and entry.id in self._accounts:
                await self._deliver(entry)

    async def _deliver(self, entry: Entry) -> None:
        try:
            self._check_deliveries(entry)
            async for output in await as_start(self._engine, self._requests_of(entry)):
                await self._send(entry, output)
        except CloseSpider as error:
            close(self._engine, error.reason or "cancelled")
        except BadEntry as error:
            self._spider.logger.warning("An entry of %s is a dead letter: %s", self._options.redis_key, error)
            self._feed.bury(entry, str(error))
        except Exception as error:
            self._spider.logger.exception("An entry of %s is a dead letter", self._options.redis_key)
            self._feed.bury(entry, f"a spider middleware raised {type(error).__name__}: {error}")
        else:
            self._accounts.delivered(entry.id)

    def _check_deliveries(self, entry: Entry) -> None:
        most = self._options.max_deliveries
        if entry.deliveries > most:
            raise BadEntry(f"the entry was delivered {most} times, and was not handled within its lease")

    def _requests_of(self, entry: Entry) -> list[Any]:
        self.current, self.used = entry, False
        try:
            found = list(self._spider.next_requests())
        except (BadEntry, CloseSpider):
            raise
        except Exception as error:
            self._spider.logger.exception("next_requests failed")
            raise BadEntry(f"next_requests raised {type(error).__name__}: {error}") from error
        finally:
            self.current = None
        if not self.used:
            self._let_read_itself()
        return found

    def _let_read_itself(self) -> None:
        self.bypassed = True
        self._feed.read_no_more()
        self._spider.logger.warning(
            "next_requests of the spider %s reads Redis itself, and does not call super(): its entries are "
            "read when the spider is idle, block the reactor, and are lost if the process dies",
            self._spider.name,
        )

    async def _send(self, entry: Entry, output: Any) -> None:
        if not isinstance(output, Request):
            await self._engine.scraper.start_itemproc_async(output, response=None)
        elif not self._accounts.closing:
            if not self.bypassed:
                mark(output, entry.id)
                if (task := task_of(output)) is not None:
                    self._belongs_to(entry, task)
            self._crawl(output)

    def _crawl(self, request: Request) -> None:
        try:
            self._engine.crawl(request)
        except Exception as error:
            self._spider.logger.exception("A request cannot be scheduled")
            raise BadEntry(f"the scheduler raised {type(error).__name__}: {error}") from error

    def _belongs_to(self, entry: Entry, task: str) -> None:
        """Count for a task. Only then items are counted: a handler of their signal costs 50 µs for each."""
        self._accounts.of_task(entry.id, task)
        if not self._counts_items:
            self._counts_items = True
            self._crawler.signals.connect(self._item, signal=signals.item_scraped)

    def _item(self, response: Any) -> None:
        entry_id = entry_of(getattr(response, "request", None))
        if entry_id is not None:
            self._accounts.item(entry_id)
