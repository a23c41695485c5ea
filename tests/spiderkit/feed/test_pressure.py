"""Crawls of fed spiders: how much they take, and how soon."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from scrapy import Request
from twisted.internet.task import deferLater

from tests.spiderkit.feed.crawl_cases import CrawlCase, ShopSpider
from tests.spiderkit.feed.feed_cases import CLOCK
from tests.support.shop_project import until
from tests.support.stopwatch import Stopwatch


class PressureTests(CrawlCase):
    """How much is taken, and when."""

    async def test_two_batches_at_most(self) -> None:
        """The next batch is taken before the one before is done, and no more."""
        self.push(*(f"/hold/{n}" for n in range(40)))
        self.begin(redis_batch_size="5")
        await until(lambda: self.left() == (30, 10, 0))
        await deferLater(CLOCK, 0.2)
        assert self.left() == (30, 10, 0)
        while self.pages.held or len(self.items) < 40:
            self.pages.release()
            await deferLater(CLOCK, 0.01)
            assert self.left()[1] <= 10
        assert len(self.items) == 40

    async def test_full_scheduler_takes_nothing_more(self) -> None:
        """While the spider has enough requests of its own, the feed waits."""

        class Many(ShopSpider):
            def parse(self, response: Any) -> Any:
                for n in range(20):
                    yield Request(f"{response.url}/hold/{n}", callback=self.parse_child)

            def parse_child(self, response: Any) -> Any:
                yield {"url": response.url}

        self.push("/p/1")
        settings = {"CONCURRENT_REQUESTS_PER_DOMAIN": 2, "CONCURRENT_REQUESTS": 4}
        with patch.object(type(self.pages), "render", _held_below_p):
            self.begin(Many, settings=settings)
            await until(lambda: len(self.pages.held) >= 2)
            self.push(*(f"/p/{n}" for n in range(2, 30)))
            await deferLater(CLOCK, 0.3)
            assert self.server.ask("LLEN", self.keys.source) == 28

    async def test_pick_up_of_an_idle_spider(self) -> None:
        """A pushed URL is requested within 50 ms, whatever kind of key the source has turned out to be."""
        pushes = {"list": ("RPUSH",), "set": ("SADD",), "stream": ("XADD", "*", "url")}
        for key, (command, *more) in pushes.items():
            self.begin(redis_key=f"k-{key}")
            self.server.ask(command, f"k-{key}", *more, f"{self.site}/p/{key}/first")
            await until_hit(self, f"/p/{key}/first")
            await deferLater(CLOCK, 0.1)
            delays = []
            for n in range(20):
                path = f"/p/{key}/{n}"
                self.server.ask(command, f"k-{key}", *more, self.site + path)
                watch = Stopwatch(self.server.pid)
                await until_hit(self, path)
                delays.append(watch.seconds)
            assert sorted(delays)[-5] < 0.05, (key, delays)


def _held_below_p(pages: Any, request: Any) -> Any:
    if b"/hold" in request.uri:
        pages.held.append(request)
        request.notifyFinish().addErrback(lambda _: None)
        return 1  # NOT_DONE_YET
    return b"<html>"


async def until_hit(case: CrawlCase, path: str) -> None:
    """Wait until the site was asked for a page, with the precision of a millisecond."""
    deadline = CLOCK.seconds() + 10
    while not case.pages.hits[path]:
        assert CLOCK.seconds() < deadline
        await deferLater(CLOCK, 0.001)
