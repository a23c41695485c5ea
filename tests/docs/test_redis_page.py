"""The program on the page about Redis that follows the events: it goes on where it stopped, whatever ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.docs_runner import blocks
from tests.integration.hubs import CHECKOUT, until
from tests.support.redis_server import RedisServer

PROGRAM = """
import sys
from follow_events import follow
follow(lambda hub, event: print(hub, event["id"], flush=True), ("127.0.0.1", int(sys.argv[1])))
"""


class Consumer:
    """The page's program in a process of its own, in a folder that keeps its position."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self._output = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [sys.executable, "-c", PROGRAM, str(server.port)]
        self._folder = folder

    def start(self) -> None:
        """Start the program."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=output)

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def lines(self) -> list[str]:
        """All that it has printed, over all starts."""
        return self._output.read_text().splitlines() if self._output.exists() else []

    @property
    def events(self) -> list[str]:
        """The hub and the id of each event that it has handled."""
        return [line for line in self.lines if line.startswith("east ")]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server to be rough with."""
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture
def consumer(tmp_path: Path, server: RedisServer) -> Iterator[Consumer]:
    """The program, as the page has it."""
    for block in blocks(CHECKOUT / "docs" / "redis.md"):
        if block.options.get("save") in ("plain_redis.py", "follow_events.py"):
            (tmp_path / block.options["save"]).write_text(block.text)
    consumer = Consumer(tmp_path, server)
    consumer.start()
    yield consumer
    consumer.kill()


def add(server: RedisServer, *numbers: int) -> None:
    """Append events as a hub does."""
    for number in numbers:
        event = json.dumps({"id": f"e{number}", "type": "run.finished"})
        fields = ("id", f"e{number}", "hub", "east", "type", "run.finished", "event", event)
        server.ask("XADD", "reactorhub:events", "*", *fields)


def handled(consumer: Consumer, *numbers: int) -> None:
    """Wait until these events and no others have been handled, in this order."""
    wanted = [f"east e{number}" for number in numbers]
    until(lambda: len(consumer.events) >= len(wanted), 20, f"{wanted} in {consumer.lines}")
    assert consumer.events == wanted


def test_events_are_followed_through_every_end(consumer: Consumer, server: RedisServer) -> None:
    """Each event is handled in order: after kill -9 of the program, and of a Redis that loses its data."""
    add(server, 1, 2)
    handled(consumer, 1, 2)
    consumer.kill()
    add(server, 3)
    consumer.start()
    handled(consumer, 1, 2, 3)
    assert not any("missing" in line for line in consumer.lines)
    server.kill()
    server.start()
    add(server, 4)
    handled(consumer, 1, 2, 3, 4)
    assert any("Redis is away" in line for line in consumer.lines)
    assert any("some events may be missing" in line for line in consumer.lines)
