"""The routes of feeds, with a real Redis behind them."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from reactorhub.redis.feeds import Feeds
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from tests.events.sink_cases import until
from tests.support.redis_server import OneServer
from tests.support.web_client import Reply, Web

INBOX = "reactorhub:inbox"


class FeedRouteTests(OneServer, TestCase):
    """One server, empty for each test."""

    async def setUp(self) -> None:
        """Begin with two dead letters in the inbox."""
        self.server.ask("FLUSHALL")
        client = RedisClient(address_of(self.server.url), reactor)
        self.addCleanup(client.stop)
        await client.start()
        self.web = Web(feeds=Feeds(client, "reactorhub:"))
        self.ids = [
            str(self.server.ask("XADD", f"{INBOX}:dead", "*", "entry", text, "reason", "bad"))
            for text in "ab"
        ]

    async def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """The answer to one request."""
        connection = self.web.connect()
        connection.ask(method, path, body)
        await until(lambda: bool(connection.replies(method)))
        [reply] = connection.replies(method)
        connection.leave()
        return reply

    async def test_feeds_and_dead_letters(self) -> None:
        """The inbox is a feed, whose key stands in paths as it is, encoded or not."""
        reply = await self.ask("GET", "/api/feeds")
        self.assertEqual(
            reply.json,
            {
                "feeds": [
                    {"key": INBOX, "kind": "inbox", "waiting": 0, "in_flight": 0, "dead": 2, "trouble": None}
                ],
                "next_cursor": None,
            },
        )
        for key in (INBOX, INBOX.replace(":", "%3A")):
            page = (await self.ask("GET", f"/api/feeds/{key}/dead?limit=1")).json
            self.assertEqual([each["entry"] for each in page["dead"]], ["b"])
        rest = (await self.ask("GET", f"/api/feeds/{INBOX}/dead?cursor={page['next_cursor']}")).json
        self.assertEqual(([each["entry"] for each in rest["dead"]], rest["next_cursor"]), (["a"], None))

    async def test_requeue_and_purge(self) -> None:
        """Those that are named, or all."""
        body = f'{{"ids": ["{self.ids[0]}"]}}'.encode()
        self.assertEqual(
            (await self.ask("POST", f"/api/feeds/{INBOX}/dead/requeue", body)).json, {"requeued": 1}
        )
        self.assertEqual((await self.ask("POST", f"/api/feeds/{INBOX}/dead/purge")).json, {"purged": 1})
        self.assertEqual(self.server.ask("LRANGE", INBOX, 0, -1), ["a"])

    async def test_mistakes(self) -> None:
        """Fields that make no sense are named; an unknown feed is not found."""
        cases: list[tuple[str, bytes, int]] = [
            (f"/api/feeds/{INBOX}/dead/purge", b'{"ids": []}', 422),
            (f"/api/feeds/{INBOX}/dead/purge", b'{"ids": ["x"]}', 422),
            (f"/api/feeds/{INBOX}/dead/purge", b'{"ids": 7, "x": 1}', 422),
            ("/api/feeds/other/dead/purge", b"", 404),
        ]
        found: list[Any] = [(await self.ask("POST", path, body)).status for path, body, _ in cases]
        self.assertEqual(found, [status for *_, status in cases])
        self.assertEqual((await self.ask("GET", f"/api/feeds/{INBOX}/dead?limit=0")).status, 422)
        self.assertEqual(self.server.ask("XLEN", f"{INBOX}:dead"), 2)

    async def test_a_redis_that_is_away(self) -> None:
        """The answer is 503 with a sentence."""
        await self.web.feeds._client.stop()  # type: ignore[union-attr]
        reply = await self.ask("GET", "/api/feeds")
        self.assertEqual((reply.status, "Redis" in reply.json["detail"]), (503, True))
