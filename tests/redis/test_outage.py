"""The Redis sink and a real server that is absent, killed, frozen, restarted, or lets nobody in."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from reactorhub.model.run import RunState
from reactorhub.redis.buffer import WriteBuffer
from tests.events.sink_cases import after, event, make_sink, run_id, until, view
from tests.support.redis_server import RedisServer

CLOCK: Any = reactor


def about_redis(said: list[LogEvent]) -> list[str]:
    """Return the lines of the log that are about Redis."""
    return [line for line in map(formatEvent, said) if "Redis" in line]


class OutageTests(TestCase):
    """Each test has a server of its own to be rough with."""

    def make_server(self, **options: Any) -> RedisServer:
        """Return a server that does not run yet and goes with the test."""
        server = RedisServer(**options)
        self.addCleanup(server.close)
        return server

    def collect_log(self) -> list[LogEvent]:
        """Return a list to which the log is appended until the test ends."""
        said: list[LogEvent] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        return said

    async def test_absent_then_started(self) -> None:
        """Starting without a server does not fail; what was published meanwhile arrives once there is one."""
        server = self.make_server()
        sink = make_sink(self, server.url)
        await sink.start()
        self.assertEqual(sink.state().state, "reconnecting")
        sink.publish_run(view(1), after(0))
        sink.publish_event(event(1))
        server.start()
        await until(lambda: server.ask("XLEN", "t:events") == 1)
        self.assertEqual(sink.state().state, "connected")
        self.assertEqual(server.hash(f"t:run:{run_id(1)}")["state"], "running")
        await sink.stop(5)

    async def test_killed_and_started_again(self) -> None:
        """All 200 runs that ended while the server was dead arrive after, ended ones before others."""
        server = self.make_server().start()
        sink = make_sink(self, server.url)
        await sink.start()
        for number in range(250):
            sink.publish_run(view(number), after(0))
        server.kill()
        await until(lambda: sink.state().state == "reconnecting")
        for number in range(200):
            sink.publish_run(view(number, RunState.SUCCEEDED), after(1))
            sink.publish_event(event(number))
        for number in range(200, 250):
            sink.publish_run(view(number), after(2))
        server.start()
        await until(lambda: len(server.ask("KEYS", "t:run:*")) == 250)
        states = [server.hash(f"t:run:{run_id(number)}")["state"] for number in range(250)]
        self.assertEqual(states, ["succeeded"] * 200 + ["running"] * 50)
        self.assertEqual(
            [entry["id"] for entry in server.events("t:events")], [f"e{n:06d}" for n in range(200)]
        )
        await sink.stop(5)

    async def test_frozen_for_three_seconds(self) -> None:
        """A frozen server holds nobody up; afterwards every event is there once, and each newest view."""
        server = self.make_server().start()
        sink = make_sink(self, server.url)
        await sink.start()
        server.freeze()
        sink.publish_event(event(0))
        sink.publish_run(view(1, items=0), after(0))
        await until(lambda: sink.state().state == "reconnecting")
        frozen_until = CLOCK.seconds() + 2.5
        for number in range(1, 100):
            sink.publish_event(event(number))
            sink.publish_run(view(1, items=number), after(number))
        await until(lambda: CLOCK.seconds() > frozen_until)
        server.thaw()
        await until(lambda: server.hash(f"t:run:{run_id(1)}").get("stats/items") == "99")
        await until(lambda: server.ask("XLEN", "t:events") >= 100)
        self.assertEqual(
            [entry["id"] for entry in server.events("t:events")], [f"e{n:06d}" for n in range(100)]
        )
        await sink.stop(5)

    async def test_frozen_while_connecting(self) -> None:
        """A server that is frozen during the handshake is connected to once it thaws."""
        server = self.make_server(password="pw").start()
        server.freeze()
        sink = make_sink(self, server.url + "?x=1")
        await sink.start()
        self.assertEqual(sink.state().state, "reconnecting")
        server.thaw()
        await until(lambda: sink.state().state == "connected")
        await sink.stop(5)

    async def test_replica(self) -> None:
        """A server that became a replica is left until one takes writes. The log says it once."""
        server = self.make_server().start()
        said = self.collect_log()
        sink = make_sink(self, server.url)
        await sink.start()
        server.ask("REPLICAOF", "127.0.0.1", "1")
        sink.publish_event(event(1))
        states: list[str] = []
        sink._client.watch(lambda state: states.append(state.state))
        await until(lambda: states.count("reconnecting") > 1)
        self.assertEqual(sink.state().state, "reconnecting")
        self.assertIn("READONLY", sink.state().reason)
        server.ask("REPLICAOF", "NO", "ONE")
        await until(lambda: server.ask("XLEN", "t:events") == 1)
        await until(lambda: sink.state().state == "connected")
        self.assertEqual((sink.state().reason, sink.state().dropped), ("", 0))
        await sink.stop(5)
        self.assertEqual(["READONLY" in line for line in about_redis(said)], [False, True, False])

    async def test_full_server_is_logged_once(self) -> None:
        """A server that refuses write after write is one line in the log, and another when it has room."""
        server = self.make_server().start()
        said = self.collect_log()
        sink = make_sink(self, server.url)
        await sink.start()
        server.ask("CONFIG", "SET", "maxmemory", "1")
        for number in range(3):
            sink.publish_event(event(number))
            await until(lambda number=number: sink._failures > number)
        self.assertIn("OOM", sink.state().reason)
        server.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: sink.state().state == "connected")
        await sink.stop(5)
        self.assertEqual(["OOM" in line for line in about_redis(said)], [False, True, False])

    async def test_stop_is_bounded(self) -> None:
        """Stopping takes no longer than allowed, though the server is frozen and views are left."""
        server = self.make_server().start()
        sink = make_sink(self, server.url, deadline=30)
        await sink.start()
        server.freeze()
        sink.publish_run(view(1), after(0))
        began = CLOCK.seconds()
        await gatherResults([sink.stop(0.5), sink.stop(0.5)])
        self.assertLess(CLOCK.seconds() - began, 1)
        self.assertEqual(sink.state().state, "off")

    async def test_stop_without_a_server(self) -> None:
        """With nothing to send, stopping does not wait for a server that is not there."""
        sink = make_sink(self, self.make_server().url)
        await sink.start()
        began = CLOCK.seconds()
        await sink.stop(5)
        self.assertLess(CLOCK.seconds() - began, 1)

    async def test_wrong_password(self) -> None:
        """A refused login shows as auth_failed, is tried again, piles up nothing and leaks no password."""
        server = self.make_server(password="right").start()
        said = self.collect_log()
        sink = make_sink(self, f"redis://:topsecret@127.0.0.1:{server.port}", buffer=WriteBuffer(100, 100))
        await sink.start()
        before = len(CLOCK.getDelayedCalls())
        for number in range(1000):
            sink.publish_run(view(number), after(0))
            sink.publish_event(event(number))
        self.assertEqual(sink.state().state, "auth_failed")
        self.assertIn("WRONGPASS", sink.state().reason)
        self.assertEqual(sink.state().dropped, 1800)
        self.assertLessEqual(len(CLOCK.getDelayedCalls()), before)
        server.ask("CONFIG", "SET", "requirepass", "topsecret")
        server.password = "topsecret"
        await until(lambda: len(server.ask("KEYS", "t:run:*")) == 100)
        await sink.stop(5)
        lines = about_redis(said)
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("invalid", lines[0])
        self.assertNotIn("topsecret", "".join(lines) + repr(said))

    async def test_user_and_database(self) -> None:
        """The user, password and database of the URL are those used."""
        server = self.make_server().start()
        server.ask("ACL", "SETUSER", "hub", "on", ">pw", "~*", "+@all")
        sink = make_sink(self, f"redis://hub:pw@127.0.0.1:{server.port}/3")
        sink.publish_run(view(1), after(0))
        await sink.start()
        self.assertIn("user=hub", server.ask("CLIENT", "LIST"))
        await sink.stop(5)
        self.assertIn("db3:keys=3", server.ask("INFO", "keyspace"))

    async def test_tls_against_a_plain_server(self) -> None:
        """Where TLS is asked for, nothing is sent to a server that does not speak it."""
        server = self.make_server().start()
        sink = make_sink(self, f"rediss://localhost:{server.port}")
        sink.publish_event(event(1))
        await sink.start()
        self.assertEqual(sink.state().state, "reconnecting")
        await sink.stop(0.1)
        self.assertEqual(server.ask("DBSIZE"), 0)
