"""What the tests of feeds share: a client of the test's server, and short words for what is in Redis."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.feed.queue import GROUP, FeedKeys
from tests.support.redis_server import OneServer

CLOCK: Any = reactor


class FeedCase(OneServer, TestCase):
    """Tests on one server, which is empty at the start of each test."""

    timeout = 60

    def setUp(self) -> None:
        """Remove what the test before left."""
        self.server.ask("FLUSHALL")
        self.keys = FeedKeys("shop:start_urls")

    async def client(self, **options: Any) -> RedisClient:
        """Return a connected client, which stops with the test."""
        client = RedisClient(address_of(self.server.url), CLOCK, **options)
        self.addCleanup(client.stop)
        await client.start()
        return client

    def pending(self) -> dict[str, list[str]]:
        """Return the data of pending entries by consumer, oldest first."""
        rows = self.server.ask("XPENDING", self.keys.stream, GROUP, "-", "+", 1000)
        stream = dict(self.server.ask("XRANGE", self.keys.stream, "-", "+"))
        found: dict[str, list[str]] = {}
        for entry_id, consumer, _, _ in rows:
            found.setdefault(consumer, []).append(stream[entry_id][1])
        return found

    def left(self) -> tuple[int, int, int]:
        """Return how many entries are in the source list, in the stream, and among the dead letters."""
        return (
            self.server.ask("LLEN", self.keys.source),
            self.server.ask("XLEN", self.keys.stream),
            self.server.ask("XLEN", self.keys.dead),
        )
