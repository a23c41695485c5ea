"""Stats in Redis: which server is meant, and what is there in the end."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from scrapy.settings import Settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from reactorhub.spiderkit import RedisConnector
from reactorhub.spiderkit.connection.address import RedisAddress, address_of
from reactorhub.spiderkit.connection.client import ClientState, RedisClient
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable
from reactorhub.spiderkit.connection.lent import LentClient
from tests.events.sink_cases import until
from tests.support.redis_server import OneServer, RedisServer


def crawler(lent: Any = None, **settings: Any) -> Any:
    """Return what a connector needs of a crawler."""
    return SimpleNamespace(settings=Settings(settings), reactorhub_connection=lent)


class Lent:
    """A lent connection that notes what it is asked to do."""

    def __init__(self, url: str) -> None:
        self.address = address_of(url)
        self.state = ClientState(state="connected")
        self.asked: list[Any] = []

    def soon(self, *command: Any) -> Deferred[None]:
        """Note the command."""
        self.asked.append(command)
        return succeed(None)


class ServerTests(SynchronousTestCase):
    """Which server the confs, the settings and the hub mean together."""

    def uses_lent(self, lent: str, settings: dict[str, Any] | None = None, **confs: Any) -> bool:
        """Whether a connector with these confs uses the hub's connection."""
        connector = RedisConnector.from_crawler(crawler(Lent(lent), **(settings or {})), **confs)
        return connector.outlives_crawl

    def test_the_same_server_is_reached_over_the_hub_s_connection(self) -> None:
        """Confs that name the hub's server, or none, use its connection; a login of their own does not."""
        hub = "redis://:pw@127.0.0.1:6379/0"
        for confs in ({}, {"host": "127.0.0.1"}, {"host": "localhost", "port": "6379"}, {"url": hub}):
            self.assertTrue(self.uses_lent(hub, **confs), confs)
        self.assertTrue(self.uses_lent("unix:///r.sock", unix="/r.sock"))
        for confs in (
            {"port": 6380},
            {"db": 1},
            {"host": "other"},
            {"password": "else"},
            {"unix": "/r.sock"},
        ):
            self.assertFalse(self.uses_lent(hub, **confs), confs)
        self.assertFalse(self.uses_lent(hub, {"REDIS_URL": "redis://other"}))
        self.assertTrue(self.uses_lent(hub, {"REDIS_URL": "redis://other"}, url=hub))

    def address(self, settings: dict[str, Any] | None = None, **confs: Any) -> RedisAddress:
        """Return where a connector without a hub connects to."""
        made: list[RedisAddress] = []

        def client(address: RedisAddress, _clock: Any) -> Any:
            made.append(address)
            return SimpleNamespace(watch=lambda _: None, start=lambda: None)

        self.patch(__import__(RedisConnector.__module__, fromlist=["x"]), "RedisClient", client)
        RedisConnector.from_crawler(crawler(**(settings or {})), **confs).connect()
        return made[0]

    def test_address(self) -> None:
        """Confs win over the settings REDIS_*, which win over the usual place."""
        self.assertEqual(self.address(), RedisAddress())
        self.assertEqual(
            self.address(host="h", port=1, db="2", user="me", password="pw"),
            RedisAddress(host="h", port=1, db=2, username="me", password="pw"),
        )
        self.assertEqual(self.address(unix="/r.sock", db=1), RedisAddress(path="/r.sock", db=1))
        self.assertEqual(
            self.address(host="h", ssl=True, ssl_ca_certs="/ca.pem"),
            RedisAddress(host="h", tls=True, ca_file="/ca.pem"),
        )
        url = self.address({"REDIS_URL": "redis://u/3", "REDIS_PARAMS": {"password": "pw"}})
        self.assertEqual(url, RedisAddress(host="u", db=3, password="pw"))
        host = self.address({"REDIS_HOST": "h", "REDIS_PORT": "7"})
        self.assertEqual(host, RedisAddress(host="h", port=7))
        self.assertEqual(self.address({"REDIS_URL": "redis://u"}, host="h"), RedisAddress(host="h"))

    def test_mistakes(self) -> None:
        """What cannot be meant is refused with a sentence."""
        for confs, why in (
            ({"hots": "x"}, "hots is not known; there are key, url, unix, host"),
            ({"port": "x"}, "port of Redis must be a whole number"),
            ({"url": "http://h"}, "begins with redis://"),
            ({"key": ""}, "key must be the name of a hash"),
        ):
            with self.assertRaisesRegex(ValueError, why):
                RedisConnector(**confs)  # type: ignore[arg-type]

    def test_lent_connection(self) -> None:
        """It is neither connected nor closed, and takes the stats."""
        lent = Lent("redis://h")
        connector = RedisConnector.from_crawler(crawler(lent), key="k")
        self.assertIsNone(connector.connect())
        self.successResultOf(connector.upload("me", {"n": 1}))
        self.assertIsNone(connector.close())
        self.assertEqual(lent.asked, [("HSET", "k", "me", '{"n":1}')])

    def test_a_lent_object_that_only_executes(self) -> None:
        """An object with no more than ``execute`` does, whatever kind of result it returns."""
        asked: list[Any] = []
        for result in (None, succeed(1)):
            lent = SimpleNamespace(execute=lambda *words, result=result: asked.append(words) or result)
            connector = RedisConnector.from_crawler(crawler(lent), key="k", host="127.0.0.1")
            self.successResultOf(connector.upload("me", {}))
        self.assertEqual(asked, [("HSET", "k", "me", "{}")] * 2)


class WritingTests(OneServer, TestCase):
    """What is in a real server."""

    def connector(self, **confs: Any) -> RedisConnector:
        """Return a connector to the server, which is closed with the test."""
        connector = RedisConnector(key="t", port=self.server.port, **confs)
        self.addCleanup(connector.close)
        return connector

    async def test_one_hash_for_all(self) -> None:
        """Each spider id is a field of one hash; its value is the newest stats as JSON."""
        connector = self.connector()
        await connector.connect()  # type: ignore[misc]
        for spider_id, stats in (("a", {"n": 1}), ("b", {"ü": [None, "x"]}), ("a", {"n": 2})):
            await connector.upload(spider_id, stats)
        found = {name: json.loads(text) for name, text in self.server.hash("t").items()}
        self.assertEqual(found, {"a": {"n": 2}, "b": {"ü": [None, "x"]}})

    async def test_a_key_of_another_kind(self) -> None:
        """What Redis refuses is an error that says so."""
        self.server.ask("SET", "other", "x")
        connector = RedisConnector(key="other", port=self.server.port)
        self.addCleanup(connector.close)
        await connector.connect()  # type: ignore[misc]
        with self.assertRaisesRegex(RedisRefused, "WRONGTYPE"):
            await connector.upload("a", {})

    async def test_lent_by_a_real_client(self) -> None:
        """The connection of a hub does for many connectors."""
        clock: Any = reactor
        client = RedisClient(address_of(self.server.url), clock)
        self.addCleanup(client.stop)
        await client.start()
        before = self.server.ask("INFO", "clients")
        for number in range(3):
            lent = LentClient(client)
            connector = RedisConnector.from_crawler(crawler(lent), key="lent", port=self.server.port)
            await connector.upload(str(number), {"n": number})
        self.assertEqual(len(self.server.hash("lent")), 3)
        self.assertEqual(self.server.ask("INFO", "clients"), before)


class OutageTests(TestCase):
    """A server that comes and goes."""

    def setUp(self) -> None:
        """Make a server that does not run."""
        self.server = RedisServer()
        self.addCleanup(self.server.close)
        self.connector = RedisConnector(port=self.server.port)
        self.addCleanup(self.connector.close)

    async def test_a_server_that_was_never_there_is_not_waited_for(self) -> None:
        """An upload fails at once, and says why."""
        with self.assertRaisesRegex(RedisUnavailable, r"connect\(\) comes first"):
            await self.connector.upload("a", {})
        await self.connector.connect()  # type: ignore[misc]
        uploading = self.connector.upload("a", {})
        self.assertTrue(uploading.called)
        with self.assertRaisesRegex(RedisUnavailable, "refused"):
            await uploading

    async def test_a_server_that_starts_again_is_waited_for(self) -> None:
        """An upload that finds the server gone goes out when it is back."""
        self.server.start()
        await self.connector.connect()  # type: ignore[misc]
        await self.connector.upload("a", {"n": 1})
        self.server.kill()
        client = self.connector._client
        await until(lambda: client.state.state == "reconnecting")
        uploading: Deferred[None] = self.connector.upload("a", {"n": 2})
        self.server.start()
        await uploading
        self.assertEqual(self.server.hash("scrapy.stats"), {"a": '{"n":2}'})
