"""Crawls of fed spiders: when an entry leaves Redis, and what goes back when a spider ends."""

from __future__ import annotations

import asyncio
from typing import Any

from scrapy import Request, signals
from scrapy.core.scheduler import Scheduler
from scrapy.exceptions import CloseSpider, DropItem, IgnoreRequest
from twisted.internet.task import deferLater

from tests.spiderkit.feed.crawl_cases import CrawlCase, ShopSpider
from tests.spiderkit.feed.feed_cases import CLOCK
from tests.support.shop_project import until


class AcknowledgeTests(CrawlCase):
    """When an entry leaves Redis."""

    class Parent(ShopSpider):
        """Yields an item and a request for a page that the test holds."""

        def parse(self, response: Any) -> Any:
            """Follow the parent page to its child."""
            yield {"url": response.url}
            if "parent" in response.url:
                yield Request(response.urljoin("/hold/child"), meta=response.meta)

    async def test_entry_is_pending_while_its_response_is_awaited(self) -> None:
        """It is in the stream, and pending, until the page is there."""
        self.push("/hold/1")
        self.begin()
        await until(lambda: self.pages.held)
        assert list(self.pending().values()) == [[f"{self.site}/hold/1"]]
        self.pages.release()
        await until(lambda: self.left() == (0, 0, 0))
        assert self.urls() == ["/hold/1"]

    async def test_response(self) -> None:
        """By default an entry does not wait for the requests that its response led to."""
        self.push("/p/parent")
        self.begin(self.Parent)
        await until(lambda: self.pages.held)
        await until(lambda: self.left() == (0, 0, 0))

    async def test_tree(self) -> None:
        """With REDIS_ACK = tree it waits for all of them."""
        self.push("/p/parent")
        self.begin(self.Parent, settings={"REDIS_ACK": "tree"})
        await until(lambda: self.pages.held)
        await deferLater(CLOCK, 0.1)
        assert self.left() == (0, 1, 0)
        self.pages.release()
        await until(lambda: self.left() == (0, 0, 0))
        assert self.urls() == ["/hold/child", "/p/parent"]

    async def test_tree_with_the_same_request_again(self) -> None:
        """A callback may yield its own request once more."""
        seen: list[str] = []

        class It(ShopSpider):
            def parse(self, response: Any) -> Any:
                seen.append(response.url)
                if len(seen) == 1:
                    yield response.request

        for ack in ("tree", "response"):
            seen.clear()
            self.push("/p/1")
            crawler, done = self.begin(It, settings={"REDIS_ACK": ack})
            await until(lambda: len(seen) == 2)
            await until(lambda: self.left() == (0, 0, 0))
            await self.stopped(crawler, done)

    async def test_items_are_stored_first(self) -> None:
        """A slow pipeline holds the acknowledgement up."""
        go = asyncio.Event()

        class Pipe:
            async def process_item(self, item: Any) -> Any:
                await go.wait()
                return item

        self.push("/p/1")
        self.begin(settings={"ITEM_PIPELINES": {Pipe: 1}})
        await until(lambda: self.pages.hits["/p/1"])
        await deferLater(CLOCK, 0.1)
        assert self.left() == (0, 1, 0)
        go.set()
        await until(lambda: self.left() == (0, 0, 0))

    async def test_redirects_and_retries_belong_to_the_entry(self) -> None:
        """An entry waits for the page that it is redirected to."""
        self.server.ask("RPUSH", self.keys.source, f"{self.site}/moved/../hold/1")
        self.begin()
        await until(lambda: self.pages.held or self.items)
        assert self.left()[1] == (1 if self.pages.held else 0)
        self.pages.release()
        await until(lambda: self.left() == (0, 0, 0))
        retry = {"RETRY_ENABLED": True, "RETRY_TIMES": 2}
        crawler, _ = self.begin(settings=retry, redis_key="retry")
        self.server.ask("RPUSH", "retry", f"{self.site}/broken/2")
        await until(lambda: crawler.stats.get_value("feed/acknowledged"))
        assert self.pages.hits["/broken/2"] == 3

    async def test_what_counts_as_handled(self) -> None:
        """Failed downloads, exceptions, dropped items, filtered and refused requests."""

        class It(ShopSpider):
            def parse(self, response: Any) -> Any:
                if "raise" in response.url:
                    raise ValueError("no")
                yield {"url": response.url}

        class Pipe:
            def process_item(self, item: Any) -> Any:
                raise DropItem("no")

        def refuse(request: Request) -> None:
            if "refused" in request.url:
                raise IgnoreRequest

        class Middleware:
            def process_request(self, request: Request) -> Any:
                if "other" in request.url:
                    return Request(f"{request.url.partition('/p')[0]}/p/fresh")
                if "ignored" in request.url:
                    raise IgnoreRequest
                return None

        self.push("/broken", "/p/raise", "/p/1", "/p/refused", "/p/other", "/p/ignored")
        for _ in range(2):
            self.server.ask("XADD", self.keys.stream, "*", "url", f"{self.site}/p/x", "dont_filter", "false")
        settings = {"ITEM_PIPELINES": {Pipe: 1}, "DOWNLOADER_MIDDLEWARES": {Middleware: 1}}
        crawler, _ = self.begin(It, settings=settings)
        crawler.signals.connect(refuse, signal=signals.request_scheduled)
        await until(lambda: crawler.stats.get_value("feed/acknowledged") == 8)
        assert self.left() == (0, 0, 0)
        assert (self.pages.hits["/p/x"], self.pages.hits["/p/fresh"]) == (1, 1)

    async def test_request_that_a_component_loses(self) -> None:
        """An idle spider has nothing under way: its entries have been handled."""

        class Losing(Scheduler):
            def enqueue_request(self, request: Request) -> bool:
                return True

        self.push("/p/1")
        self.begin(settings={"SCHEDULER": Losing})
        await until(lambda: self.left() == (0, 0, 0))

    async def test_scheduler_that_fails(self) -> None:
        """Its entries are dead letters, and so are not lost."""

        class Failing(Scheduler):
            def enqueue_request(self, request: Request) -> bool:
                raise OSError("no space left")

        self.push("/p/1")
        self.begin(settings={"SCHEDULER": Failing})
        await until(lambda: self.left() == (0, 0, 1))
        (letter,) = self.server.events(self.keys.dead)
        assert letter["reason"] == "the scheduler raised OSError: no space left"


class EndTests(CrawlCase):
    """How a spider waits and ends."""

    async def test_max_idle_time(self) -> None:
        """A spider that was idle for so long ends as finished, not before, and not while it has work."""
        self.push("/hold/1")
        crawler, done = self.begin(max_idle_time="0.3")
        await until(lambda: self.pages.held)
        await deferLater(CLOCK, 0.5)
        assert not done.called
        self.pages.release()
        began = CLOCK.seconds()
        await done
        assert 0.25 < CLOCK.seconds() - began < 2
        assert crawler.stats.get_value("finish_reason") == "finished"

    async def test_setting_for_the_idle_time(self) -> None:
        """MAX_IDLE_TIME_BEFORE_CLOSE is the default of max_idle_time; without it the spider waits."""
        _, ends = self.begin(settings={"MAX_IDLE_TIME_BEFORE_CLOSE": 0.1})
        _, waits = self.begin()
        await ends
        assert not waits.called

    async def test_stop_gives_back_at_once(self) -> None:
        """What was not requested is in the list again before the requests in flight have ended."""
        self.push(*(f"/hold/{n}" for n in range(10)))
        crawler, done = self.begin(
            redis_batch_size="5", settings={"CONCURRENT_REQUESTS": 2, "CONCURRENT_REQUESTS_PER_DOMAIN": 2}
        )
        await until(lambda: len(self.pages.held) == 2)
        stopping = asyncio.ensure_future(crawler.stop_async())
        await until(lambda: self.left() == (8, 2, 0))
        assert self.server.ask("LRANGE", self.keys.source, 0, 1) == [
            f"{self.site}/hold/2",
            f"{self.site}/hold/3",
        ]
        self.pages.release()
        await until(stopping.done)
        await done
        assert self.left() == (8, 0, 0)
        assert self.urls() == ["/hold/0", "/hold/1"]

    async def test_what_is_cut_off_goes_back(self) -> None:
        """A download that ends by force while the spider closes was not handled."""
        self.push("/hold/1", "/p/raise")

        class It(ShopSpider):
            async def parse(self, response: Any) -> Any:
                await deferLater(CLOCK, 0.3).asFuture(asyncio.get_event_loop())
                raise ValueError("cut off")

        crawler, done = self.begin(It)
        await until(lambda: self.pages.held and self.pages.hits["/p/raise"])
        stopping = asyncio.ensure_future(crawler.stop_async())
        self.pages.held[0].transport.abortConnection()
        await until(stopping.done)
        await done
        assert self.left() == (2, 0, 0)

    async def test_tree_that_cannot_be_finished_goes_back(self) -> None:
        """Its first page was handled, but not the pages that it led to."""

        class It(ShopSpider):
            def parse(self, response: Any) -> Any:
                yield {"url": response.url}
                for n in range(2 if "parent" in response.url else 0):
                    yield response.follow(f"/hold/{n}")

        self.push("/p/parent")
        crawler, done = self.begin(It, settings={"REDIS_ACK": "tree", "CONCURRENT_REQUESTS": 1})
        await until(lambda: self.pages.held)
        await self.stopped(crawler, done)
        assert len(self.urls()) == 2
        assert self.left() == (1, 0, 0)

    async def test_middleware_that_hangs(self) -> None:
        """It holds up neither the end of the spider nor what goes back."""

        class Middleware:
            async def process_start(self, start: Any) -> Any:
                async for each in start:
                    await asyncio.sleep(600)
                    yield each

        self.push("/p/1", "/p/2")
        crawler, done = self.begin(settings={"SPIDER_MIDDLEWARES": {Middleware: 10}})
        await until(lambda: self.left() == (0, 2, 0))
        began = CLOCK.seconds()
        await self.stopped(crawler, done)
        assert CLOCK.seconds() - began < 2
        assert self.left() == (2, 0, 0)

    async def test_spider_that_closes_itself(self) -> None:
        """CloseSpider in make_request_from_data closes it, and the entry goes back."""

        class It(ShopSpider):
            def make_request_from_data(self, data: Any) -> Any:
                raise CloseSpider("enough")

        self.push("/p/1")
        crawler, done = self.begin(It)
        await done
        assert crawler.stats.get_value("finish_reason") == "enough"
        assert self.left() == (1, 0, 0)
