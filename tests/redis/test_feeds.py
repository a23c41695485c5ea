"""Feeds and their dead letters, in a real Redis."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from reactorhub.errors import InvalidRequest, RedisError, UnknownFeed
from reactorhub.redis import feed_scripts
from reactorhub.redis.feeds import Feeds
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.feed.queue import Entry, FeedKeys, FeedQueue
from tests.support.deferreds import done
from tests.support.redis_server import OneServer

KEY = "shop:start_urls"
INBOX = "t:inbox"


class FeedsTests(OneServer, TestCase):
    """One server, empty for each test."""

    async def setUp(self) -> None:
        """Begin with an empty server and one feed that a spider has opened."""
        self.server.ask("FLUSHALL")
        self.client = RedisClient(address_of(self.server.url), reactor)
        self.addCleanup(self.client.stop)
        await self.client.start()
        self.feeds = Feeds(self.client, "t:", lambda: "why")
        self.server.ask("ZADD", "t:feeds", 1, KEY)

    async def dead_urls(self, *urls: str, **options: Any) -> FeedQueue:
        """Make dead letters of URLs, as a spider does."""
        queue = FeedQueue(self.client, FeedKeys(KEY), "me", 60)
        for url in urls:
            self.server.ask("RPUSH", KEY, url)
        for entry in (await queue.take(100)).entries:
            await queue.bury(entry, "no good", spider="prices")
        return queue

    def dead_entry(self, text: str, source: str = INBOX) -> str:
        """Make a dead letter of an entry of the inbox; return its id."""
        fields = ("entry", text, "from", source, "reason", "bad", "at", "now", "deliveries", 1)
        return str(self.server.ask("XADD", f"{INBOX}:dead", "*", *fields))

    async def letters(self, key: str, limit: int = 50) -> list[Any]:
        """The dead letters of a feed, newest first."""
        found, _ = await self.feeds.dead(key, limit, None)
        return found

    async def test_feeds_with_their_numbers(self) -> None:
        """The inbox comes first, then what spiders have opened: waiting, in flight, dead."""
        queue = await self.dead_urls("a", "b")
        self.server.ask("RPUSH", KEY, "c", "d", "e")
        await queue.take(1)
        self.server.ask("ZADD", "t:feeds", 2, "another")
        self.server.ask("SADD", "another", "x")
        self.server.ask("RPUSH", INBOX, "1", "2")
        self.server.ask("RPUSH", f"{INBOX}:one", "3")
        self.server.ask("RPUSH", f"{INBOX}:taken:one/f", "4")
        self.server.ask("HSET", f"{INBOX}:hubs", "one/f", "1 []", "one/g", "1 []")
        self.dead_entry("x")
        found = [tuple(each.values()) for each in await self.feeds.all()]
        self.assertEqual(
            found,
            [
                (INBOX, "inbox", 3, 1, 1, "why"),
                ("another", "feed", 1, 0, 0, None),
                (KEY, "feed", 2, 1, 2, None),
            ],
        )

    async def test_keys_of_another_kind(self) -> None:
        """They count as empty."""
        for key in (KEY, f"{KEY}:stream", f"{KEY}:dead", INBOX, f"{INBOX}:dead"):
            self.server.ask("SET", key, "x")
        found = [tuple(each.values())[2:5] for each in await self.feeds.all()]
        self.assertEqual(found, [(0, 0, 0), (0, 0, 0)])

    async def test_a_dead_letter(self) -> None:
        """It has its entry, the reason, the time, and how often it was delivered."""
        await self.dead_urls("ftp://x")
        [letter] = await self.letters(KEY)
        self.assertEqual(
            {**letter, "id": "", "at": ""},
            {
                "id": "",
                "entry": "ftp://x",
                "length": 7,
                "reason": "no good",
                "at": "",
                "deliveries": 1,
                "from": "list",
                "spider": "prices",
            },
        )

    async def test_a_long_entry_is_cut(self) -> None:
        """The view has the beginning, and the length."""
        self.dead_entry("x" * 100_000)
        [letter] = await self.letters(INBOX)
        self.assertEqual((len(letter["entry"]), letter["length"]), (feed_scripts.MAX_TEXT, 100_000))

    async def test_pages(self) -> None:
        """Each dead letter is on one page, newest first, while new ones arrive."""
        ids = [self.dead_entry(str(number)) for number in range(7)]
        seen: list[str] = []
        cursor = None
        while True:
            views, cursor = await self.feeds.dead(INBOX, 3, cursor)
            seen += [view["id"] for view in views]
            self.dead_entry("new")
            if cursor is None:
                break
        self.assertEqual(seen, ids[::-1])
        with self.assertRaises(InvalidRequest):
            await self.feeds.dead(INBOX, 3, "x")

    async def test_dead_letters_of_a_feed_are_read_again(self) -> None:
        """Some, or all of them; the spider gets what it got before, from the same kind of key."""
        queue = await self.dead_urls("a", "b", "c")
        newest = (await self.letters(KEY))[0]["id"]
        self.assertEqual(await self.feeds.requeue(KEY, [newest, "1-1"]), 1)
        [entry] = (await queue.take(10)).entries
        self.assertEqual((entry.data, entry.kind), (b"c", "list"))
        self.assertEqual(await self.feeds.requeue(KEY, None), 2)
        self.assertEqual([each.data for each in (await queue.take(10)).entries], [b"a", b"b"])
        self.assertEqual(await self.letters(KEY), [])

    async def test_a_score_and_a_stream_entry_stay(self) -> None:
        """The score of a sorted set and the data of a stream's entry are kept."""
        queue = FeedQueue(self.client, FeedKeys(KEY), "me", 60)
        self.server.ask("ZADD", KEY, 7, "a")
        self.server.ask("XADD", f"{KEY}:stream", "*", "url", "http://x/", "method", "PUT")
        before = (await queue.take(10)).entries
        for entry in before:
            await queue.bury(entry, "no good")
        await self.feeds.requeue(KEY, None)
        after = (await queue.take(10)).entries
        self.assertEqual([_content(each) for each in after], [_content(each) for each in before])

    async def test_dead_letters_of_the_inbox_are_read_again(self) -> None:
        """They go to the end of the list that they came from."""
        self.server.ask("RPUSH", INBOX, "0")
        self.dead_entry("1")
        self.dead_entry("2", f"{INBOX}:one")
        self.dead_entry("3", "elsewhere")
        self.assertEqual(await self.feeds.requeue(INBOX, None), 3)
        lists = [self.server.ask("LRANGE", key, 0, -1) for key in (INBOX, f"{INBOX}:one", "elsewhere")]
        self.assertEqual(lists, [["0", "1", "3"], ["2"], []])

    async def test_purge(self) -> None:
        """Some or all dead letters are deleted, however many there are."""
        ids = [self.dead_entry(str(number)) for number in range(250)]
        self.assertEqual(await self.feeds.purge(INBOX, ids[:120]), 120)
        self.assertEqual(await self.feeds.purge(INBOX, None), 130)
        self.assertEqual((await self.letters(INBOX), self.server.ask("LLEN", INBOX)), ([], 0))

    async def test_a_redis_without_memory_loses_no_dead_letter(self) -> None:
        """What cannot be read again now stays a dead letter."""
        self.dead_entry("1")
        self.server.ask("CONFIG", "SET", "maxmemory", "1")
        try:
            with self.assertRaisesRegex(RedisError, "OOM"):
                await self.feeds.requeue(INBOX, None)
        finally:
            self.server.ask("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(len(await self.letters(INBOX)), 1)

    async def test_unknown_feeds(self) -> None:
        """Only what a spider has opened is a feed: no other key of Redis is read or changed."""
        self.server.ask("XADD", "mine:dead", "*", "entry", "1")
        for call in (self.feeds.dead("mine", 1, None), self.feeds.purge("mine", None)):
            with self.assertRaises(UnknownFeed):
                await call
        with self.assertRaises(InvalidRequest):
            await self.feeds.purge(INBOX, ["x"])

    async def test_a_redis_that_is_away(self) -> None:
        """Each call fails with a sentence."""
        await self.client.stop()
        for call in (self.feeds.all(), self.feeds.dead(INBOX, 1, None), self.feeds.purge(INBOX, None)):
            with self.assertRaisesRegex(RedisError, "Redis could not be asked"):
                await call


def test_a_hub_without_redis() -> None:
    """It has no feeds."""
    feeds = Feeds(None, "")
    assert done(feeds.all()) == []
    for call in (feeds.dead("inbox", 1, None), feeds.requeue("inbox", None)):
        try:
            done(call)  # type: ignore[arg-type]
        except UnknownFeed:
            continue
        raise AssertionError


def _content(entry: Entry) -> tuple[bytes, str, str | None]:
    return entry.data, entry.kind, entry.score
