"""The client and a real server that is absent, killed, frozen, restarted, or lets nobody in."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.protocols.portforward import ProxyFactory
from twisted.trial.unittest import TestCase

from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.commands import Script
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable
from tests.events.sink_cases import until
from tests.notifications.channel_cases import certificate
from tests.support.redis_server import OneServer, RedisServer, free_port

CLOCK: Any = reactor
ECHO = Script("return ARGV[1]")


def make_client(case: TestCase, url: str, **options: Any) -> RedisClient:
    """Return a client that is quick to lose patience, and stops with the test."""
    client = RedisClient(address_of(url), reactor, **({"deadline": 0.5} | options))
    case.addCleanup(client.stop)
    return client


def pem_file(case: TestCase, certificate: PrivateCertificate) -> str:
    """Return the path of a file with the public part of a certificate."""
    path = Path(tempfile.mkdtemp()) / "ca.pem"
    case.addCleanup(shutil.rmtree, path.parent)
    path.write_bytes(certificate.original.to_cryptography().public_bytes(Encoding.PEM))
    return str(path)


class CallTests(OneServer, TestCase):
    """Calls to a server that is well."""

    async def connected(self, **options: Any) -> RedisClient:
        """Return a connected client."""
        client = make_client(self, self.server.url, **options)
        await client.start()
        self.assertEqual(client.state.state, "connected")
        return client

    async def test_replies_are_what_redis_sent(self) -> None:
        """Bytes stay bytes, whatever they look like; numbers, None and nested lists are themselves."""
        client = await self.connected()
        every_byte = bytes(range(256))
        await client.execute("HSET", "h", "a", b"007", "b", every_byte, "é", -5)
        self.assertEqual(
            await client.execute("HMGET", "h", "a", "b", "é", "x"), [b"007", every_byte, b"-5", None]
        )
        self.assertEqual(await client.execute("HLEN", "h"), 3)
        nested = Script("return {1, {'x', {}}, false}")
        self.assertEqual(await client.run(nested, []), [1, [b"x", []], None])
        self.assertEqual(await client.execute("SET", "big", b"x" * 3_000_000), b"OK")
        self.assertEqual(await client.execute("GET", "big"), b"x" * 3_000_000)

    async def test_errors(self) -> None:
        """An error reply is raised, and the connection goes on; of many commands only one is hit."""
        client = await self.connected()
        with self.assertRaisesRegex(RedisRefused, "unknown command"):
            await client.execute("NOSUCH")
        first, second = await client.ask([("NOSUCH",), ("ECHO", "x")])
        self.assertIsInstance(first, RedisRefused)
        self.assertEqual(second, b"x")

    async def test_what_cannot_be_sent(self) -> None:
        """A word that is not Unicode is the caller's error, and harms no other call."""
        client = await self.connected()
        other = Deferred.fromCoroutine(client.execute("ECHO", "x"))
        with self.assertRaises(UnicodeEncodeError):
            await client.ask([("ECHO", "y"), ("ECHO", "\ud800")])
        with self.assertRaisesRegex(ValueError, "at least a name"):
            await client.execute()
        self.assertEqual(await client.execute("ECHO", "z"), b"z")
        self.assertEqual(await other, b"x")

    async def test_scripts_are_flushed(self) -> None:
        """A server that forgot its scripts is sent them again."""
        client = await self.connected()
        self.assertEqual(await client.run(ECHO, [], ["1"]), b"1")
        await client.execute("SCRIPT", "FLUSH")
        self.assertEqual(await client.run(ECHO, [], ["2"]), b"2")
        await client.execute("SCRIPT", "FLUSH")
        calls = [ECHO.call([], [number]) for number in range(3)]
        self.assertEqual(await client.ask([*calls, ("ECHO", "x")]), [b"0", b"1", b"2", b"x"])

    async def test_a_cancelled_call(self) -> None:
        """A call that its caller cancels takes no other call's reply."""
        client = await self.connected(deadline=2)
        blocked = Deferred.fromCoroutine(client.execute("BLPOP", "nothing", 0.1))
        blocked.addErrback(lambda _: None)
        after = Deferred.fromCoroutine(client.execute("ECHO", "x"))
        blocked.cancel()
        self.assertEqual(await after, b"x")

    async def test_a_blocking_read(self) -> None:
        """A call may name a longer time than the deadline; a miss aborts the connection."""
        client = await self.connected(deadline=0.2)
        self.assertIsNone(await client.execute("BLPOP", "nothing", "0.4", within=2))
        with self.assertRaisesRegex(RedisUnavailable, "no answer within 0.1 s"):
            await client.execute("BLPOP", "nothing", "0", within=0.1)
        with self.assertRaises(RedisUnavailable):
            await client.execute("PING")
        await until(lambda: "cmd=blpop" not in self.server.ask("CLIENT", "LIST"))
        await client.when_connected()
        self.assertEqual(await client.execute("PING"), b"PONG")

    async def test_setup_follows_each_login(self) -> None:
        """The commands of the setup are sent after each login; one that fails is an outage."""
        client = await self.connected(setup=[("CLIENT", "SETNAME", "feed")])
        self.assertEqual(await client.execute("CLIENT", "GETNAME"), b"feed")
        self.server.ask("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: client.state.state == "reconnecting")
        await client.when_connected()
        self.assertEqual(await client.execute("CLIENT", "GETNAME"), b"feed")
        other = make_client(self, self.server.url, setup=[("NOSUCH",)])
        await other.start()
        self.assertEqual(other.state.state, "reconnecting")
        self.assertIn("unknown command", other.state.reason)

    async def test_no_such_database(self) -> None:
        """A database that the server does not have is the reason in the state."""
        client = make_client(self, f"redis://127.0.0.1:{self.server.port}/99")
        await client.start()
        self.assertEqual(client.state.state, "reconnecting")
        self.assertIn("DB index is out of range", client.state.reason)

    async def test_stop_with_calls_under_way(self) -> None:
        """Stopping fails them, and leaves no connection."""
        client = await self.connected(setup=[("CLIENT", "SETNAME", "stopped")])
        blocked = Deferred.fromCoroutine(client.execute("BLPOP", "nothing", "0", within=9))
        await gatherResults([client.stop(), client.stop()])
        await self.assertFailure(blocked, RedisUnavailable)
        await until(lambda: "name=stopped" not in self.server.ask("CLIENT", "LIST"))

    async def test_stop_sends_what_was_gathered(self) -> None:
        """Commands that wait for others are written before the client closes."""
        client = await self.connected()
        replies = [client.soon("INCR", "gathered") for _ in range(3)]
        await client.stop()
        self.assertEqual([await reply for reply in replies], [1, 2, 3])

    async def test_tls(self) -> None:
        """A server whose authority the URL names is trusted; any other is not, and is sent nothing."""
        made = certificate()
        endpoint = SSL4ServerEndpoint(reactor, 0, made.options(), interface="127.0.0.1")
        port = await endpoint.listen(ProxyFactory("127.0.0.1", self.server.port))
        self.addCleanup(port.stopListening)
        trusted = pem_file(self, made)
        url = f"rediss://localhost:{port.getHost().port}/0"
        client = make_client(self, f"{url}?ssl_ca_certs={trusted}", deadline=2)
        await client.start()
        self.assertEqual(await client.execute("ECHO", "x"), b"x")
        await client.stop()
        stranger = make_client(self, url, deadline=2)
        await stranger.start()
        self.assertEqual(stranger.state.state, "reconnecting")
        self.assertIn("certificate verify failed", stranger.state.reason)
        await stranger.stop()
        lost = make_client(self, f"{url}?ssl_ca_certs={trusted}.no")
        await lost.start()
        self.assertIn(f"{trusted}.no cannot be read", lost.state.reason)


class Web(Protocol):
    """Answers as a web server does."""

    def dataReceived(self, data: bytes) -> None:
        """Answer whatever is said."""
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class OutageTests(TestCase):
    """Each test has a server of its own to be rough with."""

    def make_server(self, **options: Any) -> RedisServer:
        """Return a server that does not run yet and goes with the test."""
        server = RedisServer(**options)
        self.addCleanup(server.close)
        return server

    async def test_absent_then_started(self) -> None:
        """Without a server calls fail at once and say why; once there is one, they succeed."""
        server = self.make_server()
        client = make_client(self, server.url)
        await client.start()
        self.assertEqual(client.state.state, "reconnecting")
        with self.assertRaisesRegex(RedisUnavailable, "not connected: .*refused"):
            await client.execute("PING")
        server.start()
        await client.when_connected()
        self.assertEqual(await client.execute("PING"), b"PONG")

    async def test_killed_and_started_again(self) -> None:
        """Calls under way fail at once with the server's death, and the next server is found."""
        server = self.make_server().start()
        client = make_client(self, server.url, deadline=9)
        await client.start()
        blocked = Deferred.fromCoroutine(client.execute("BLPOP", "nothing", "0"))
        began = CLOCK.seconds()
        server.kill()
        await self.assertFailure(blocked, RedisUnavailable)
        self.assertLess(CLOCK.seconds() - began, 2)
        server.start()
        await client.when_connected()
        self.assertEqual(await client.execute("PING"), b"PONG")

    async def test_frozen_while_connected(self) -> None:
        """A frozen server fails each call after its deadline; a thawed one is used again."""
        server = self.make_server().start()
        client = make_client(self, server.url)
        await client.start()
        server.freeze()
        calls = [Deferred.fromCoroutine(client.execute("PING")) for _ in range(50)]
        for call in calls:
            error = await self.assertFailure(call, RedisUnavailable)
            self.assertEqual(str(error), "no answer within 0.5 s")
        with self.assertRaises(RedisUnavailable):
            await client.execute("PING")
        await until(lambda: "no answer within" in client.state.reason)
        server.thaw()
        await client.when_connected()
        self.assertEqual(await client.execute("PING"), b"PONG")

    async def test_stop_while_frozen(self) -> None:
        """Stopping waits half a second at most for what was gathered."""
        server = self.make_server().start()
        client = make_client(self, server.url, deadline=9)
        await client.start()
        server.freeze()
        late, began = client.soon("PING"), CLOCK.seconds()
        await client.stop()
        self.assertLess(CLOCK.seconds() - began, 1.5)
        await self.assertFailure(late, RedisUnavailable)

    async def test_frozen_in_the_handshake(self) -> None:
        """A server that is frozen before the login is used once it thaws."""
        server = self.make_server(password="pw").start()
        server.freeze()
        client = make_client(self, server.url)
        await client.start()
        self.assertEqual(
            (client.state.state, client.state.reason), ("reconnecting", "no answer within 0.5 s")
        )
        server.thaw()
        await client.when_connected()
        self.assertEqual(await client.execute("PING"), b"PONG")

    async def test_wrong_password(self) -> None:
        """A refused login is a state of its own; it is tried again, and no password is in what is shown."""
        server = self.make_server(password="right").start()
        for url in (f"redis://:topsecret@127.0.0.1:{server.port}", f"redis://127.0.0.1:{server.port}"):
            client = make_client(self, url)
            await client.start()
            self.assertEqual(client.state.state, "auth_failed")
            self.assertRegex(client.state.reason, "WRONGPASS|NOAUTH")
            with self.assertRaisesRegex(RedisUnavailable, "WRONGPASS|NOAUTH") as caught:
                await client.execute("PING")
            self.assertNotIn("topsecret", f"{client.state} {caught.exception} {client.address!r}")
        server.ask("CONFIG", "SET", "requirepass", "")
        server.password = None
        await client.when_connected()

    async def test_user_password_and_database(self) -> None:
        """The user, password and database of the URL are those used, through a unix socket too."""
        socket = Path(tempfile.mkdtemp()) / "redis.sock"
        self.addCleanup(shutil.rmtree, socket.parent)
        server = self.make_server().start("--unixsocket", str(socket))
        server.ask("ACL", "SETUSER", "hub", "on", ">p w", "~*", "+@all")
        for url in (f"redis://hub:p%20w@127.0.0.1:{server.port}/3", f"unix://hub:p%20w@{socket}?db=3"):
            client = make_client(self, url)
            await client.start()
            self.assertEqual(await client.execute("ACL", "WHOAMI"), b"hub", client.state)
            self.assertIn(b" db=3 ", await client.execute("CLIENT", "INFO"))
            await client.stop()

    async def test_a_user_with_few_rights(self) -> None:
        """A user who may not choose a database can use the first one, and no other."""
        server = self.make_server().start()
        server.ask("ACL", "SETUSER", "few", "on", ">pw", "~*", "+hset")
        url = f"redis://few:pw@127.0.0.1:{server.port}"
        client, other = make_client(self, url), make_client(self, f"{url}/1")
        await gatherResults([client.start(), other.start()])
        self.assertEqual(await client.execute("HSET", "h", "a", 1), 1)
        self.assertEqual(other.state.state, "auth_failed")
        self.assertIn("NOPERM", other.state.reason)

    async def test_not_a_redis_server(self) -> None:
        """What answers in another protocol is an outage with that reason, and no error in the log."""
        port = CLOCK.listenTCP(0, Factory.forProtocol(Web), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        client = make_client(self, f"redis://127.0.0.1:{port.getHost().port}")
        await client.start()
        self.assertIn("not a Redis server", client.state.reason)
        await client.stop()

    async def test_tls_against_a_plain_server(self) -> None:
        """Where TLS is asked for, a server that does not speak it is an outage."""
        server = self.make_server().start()
        client = make_client(self, f"rediss://localhost:{server.port}")
        await client.start()
        self.assertEqual(client.state.state, "reconnecting")

    async def test_places_that_cannot_be(self) -> None:
        """A name that nobody knows, or that nobody can have, is an outage with that reason, and no bug."""
        for url, reason in (
            (f"redis://no-such-host.invalid:{free_port()}", "no-such-host.invalid|no answer"),
            (f"redis://no_such_host:{free_port()}", "no_such_host|no answer"),
            ("rediss://under_score", "under_score|no answer"),  # Scrapy has Twisted look such a name up
            ("redis://two..dots", "'two..dots' cannot be the name of a host"),
            (f"unix:///{'x' * 108}", "at most 107 bytes"),
        ):
            client = make_client(self, url, deadline=5)
            await client.start()
            self.assertEqual(client.state.state, "reconnecting")
            self.assertRegex(client.state.reason, reason)
            await client.stop()
        self.assertEqual(self.flushLoggedErrors(), [])
