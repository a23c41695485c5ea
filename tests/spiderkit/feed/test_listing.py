"""A fed spider leaves the key of its feed where the hub looks for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred

from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.feed.listing import MAX_FEEDS, list_feed
from tests.spiderkit.feed.crawl_cases import CrawlCase, ShopSpider
from tests.spiderkit.feed.feed_cases import CLOCK, FeedCase
from tests.support.redis_server import RedisServer
from tests.support.shop_project import until

FEEDS = "t:feeds"


def crawler(feeds: str | None = FEEDS) -> Any:
    """The part of a crawler that counts here."""
    return SimpleNamespace(reactorhub_feeds=feeds)


class ListingTests(FeedCase):
    """Which feeds the hub knows."""

    def listed(self) -> list[str]:
        """The keys of the feeds that the hub knows."""
        return list(self.server.ask("ZRANGE", FEEDS, 0, -1))

    async def test_a_feed_is_listed_once(self) -> None:
        """Feeds that were opened last are at the end; the oldest of too many are forgotten."""
        client = await self.client()
        self.server.ask("ZADD", FEEDS, *(word for n in range(MAX_FEEDS) for word in (n, f"old{n:04}")))
        for key in ("a", "b", "a"):
            await list_feed(crawler(), client, key)
        found = self.listed()
        self.assertEqual((len(found), found[0], set(found[-2:])), (MAX_FEEDS, "old0002", {"a", "b"}))

    async def test_without_a_hub(self) -> None:
        """Under plain ``scrapy crawl`` nothing is written."""
        await list_feed(crawler(None), await self.client(), "a")
        await list_feed(SimpleNamespace(), await self.client(), "a")  # type: ignore[arg-type]
        self.assertEqual(self.server.ask("DBSIZE"), 0)

    async def test_a_key_of_another_kind(self) -> None:
        """A feed that cannot be listed is no error."""
        self.server.ask("SET", FEEDS, "x")
        await list_feed(crawler(), await self.client(), "a")
        self.assertEqual(self.server.ask("GET", FEEDS), "x")

    async def test_a_redis_that_comes_later(self) -> None:
        """The feed is listed when Redis is there, and not at all if the client is stopped before."""
        server = RedisServer()
        self.addCleanup(server.close)
        clients = [RedisClient(address_of(server.url), CLOCK) for _ in range(2)]
        listing = []
        for key, client in zip("ab", clients, strict=True):
            self.addCleanup(client.stop)
            await client.start()
            listing.append(Deferred.fromCoroutine(list_feed(crawler(), client, key)))
        await clients[1].stop()
        await listing[1]
        server.start()
        await listing[0]
        self.assertEqual(server.ask("ZRANGE", FEEDS, 0, -1), ["a"])


class SpiderTests(CrawlCase):
    """A crawl with a hub around it."""

    async def test_a_spider_lists_its_feed(self) -> None:
        """As soon as it is open."""

        class Hubs(ShopSpider):
            @classmethod
            def from_crawler(cls, crawler: Any, *args: Any, **kwargs: Any) -> Any:
                crawler.reactorhub_feeds = FEEDS
                return super().from_crawler(crawler, *args, **kwargs)

        self.begin(Hubs)
        await until(lambda: self.server.ask("ZRANGE", FEEDS, 0, -1) == [self.keys.source])
