"""Orders and limits in Redis reach a real hub, whatever is killed meanwhile."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import LONG
from tests.integration.hubs import Hub, until, write_project
from tests.support.redis_server import RedisServer
from tests.support.stopwatch import Stopwatch

CONFIG = """
    hub:
      name: {name}
      max_concurrent_runs: 3
      max_queued_runs: {most}
      projects: {{lab: {{path: lab}}}}
      redis: {{url: "{redis}"}}
    schedules: {{}}
"""
SPIDERS = """
    import scrapy

    class Number(scrapy.Spider):
        name = "number"

        async def start(self):
            yield {"n": self.n}
"""
Ready = Callable[..., Hub]
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
ROUNDS = 25 if LONG else 3
AT_ONCE = 40
TABLE = "SELECT id, state, json_extract(args, '$.n') AS n FROM runs ORDER BY seq"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server that loses nothing when it is killed."""
    redis = RedisServer().start(*DURABLE)
    yield redis
    redis.close()


@pytest.fixture
def ready(tmp_path: Path, server: RedisServer) -> Iterator[Ready]:
    """Make hubs with one spider that read the inbox of an empty server; they have not started."""
    server.ask("FLUSHALL")
    hubs: list[Hub] = []

    def make(name: str, most: int = 1000) -> Hub:
        (tmp_path / name).mkdir()
        hubs.append(Hub(tmp_path / name, CONFIG.format(name=name, most=most, redis=server.url)))
        write_project(tmp_path / name / "lab", lab=SPIDERS)
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.close()


def push(server: RedisServer, numbers: range, **more: str) -> None:
    """Push an entry for each number."""
    orders = [{"spider": "number", "args": {"n": str(number)}, **more} for number in numbers]
    server.ask("RPUSH", "reactorhub:inbox", *(json.dumps(order) for order in orders))


def unfinished(hub: Hub) -> bool:
    """Whether a hub has runs that are not final."""
    return bool(hub.ledger("SELECT 1 FROM runs WHERE finished_at IS NULL"))


def ran(hub: Hub) -> list[str]:
    """The numbers whose runs are final and were not cancelled, in order; none while a run is unfinished."""
    rows = [] if unfinished(hub) else hub.ledger(TABLE)
    return [row["n"] for row in rows if row["state"] != "cancelled"]


def waiting(server: RedisServer) -> int:
    """How many entries wait, or are taken and not confirmed."""
    taken = [f"reactorhub:inbox:taken:{who}" for who in server.ask("HKEYS", "reactorhub:inbox:hubs")]
    return sum(server.ask("LLEN", key) for key in ("reactorhub:inbox", *taken))


def crawls(hub: Hub) -> int:
    """How many crawls a hub has begun, over all its starts."""
    return sum(path.read_text().count("Spider opened") for path in hub.data.rglob("*.log"))


def test_every_entry_runs_once_whatever_is_killed(ready: Ready, server: RedisServer) -> None:
    """Hub and Redis are killed at any moment: each entry has one run, in order, and no crawl begins twice."""
    chance = random.Random(7)
    hub = ready("lab").start()
    for number in range(ROUNDS):
        push(server, range(number * AT_ONCE, (number + 1) * AT_ONCE))
        time.sleep(chance.uniform(0, 0.8))
        if number % 2:
            server.kill()
            server.start(*DURABLE)
        else:
            hub.kill9()
            hub.start()
    wanted = [str(number) for number in range(ROUNDS * AT_ONCE)]
    until(lambda: len(ran(hub)) >= len(wanted), 30 + len(wanted) / 5, "the end of all runs")
    assert ran(hub) == wanted
    assert crawls(hub) <= len(wanted)
    states = {row["state"] for row in hub.ledger(TABLE)}
    assert states <= {"succeeded", "interrupted"}
    assert server.ask("EXISTS", "reactorhub:inbox") == 0


def test_another_hub_takes_over(ready: Ready, server: RedisServer) -> None:
    """A hub is killed: another one runs what is left, and nothing runs twice when the first comes back."""
    one, two = ready("one", most=20).start(), ready("two")
    push(server, range(3 * AT_ONCE))
    until(lambda: len(one.ledger(TABLE)) > 5, 20, "the first runs of the hub that dies")
    one.kill9()
    two.start()
    server.ask("DEL", "reactorhub:hub:one")  # which happens by itself in 30 seconds
    until(lambda: not waiting(server), 40, "the end of what waits in Redis")
    one.start()
    until(lambda: not unfinished(one) and not unfinished(two), 30, "the end of all runs")
    assert sorted([*ran(two), *ran(one)], key=int) == [str(number) for number in range(3 * AT_ONCE)]


def test_a_limit_is_in_force_within_a_second(ready: Ready, server: RedisServer) -> None:
    """The API shows it and who has set it, a restart keeps it, and HDEL takes it back."""
    hub = ready("lab").start()
    watch = Stopwatch(hub.pid)
    server.ask("HSET", "reactorhub:limits", "max_concurrent_runs", 1)
    until(lambda: hub.get("/api/limits")[1]["max_concurrent_runs"] == 1, 20, "the limit in Redis")
    assert watch.seconds < 1
    hub.kill9()
    hub.start()
    drift = hub.get("/api/status")[1]["drift"]["limits"]["max_concurrent_runs"]
    assert (drift["value"], drift["from"]) == (1, "redis")
    server.ask("HDEL", "reactorhub:limits", "max_concurrent_runs")
    until(lambda: hub.get("/api/limits")[1]["max_concurrent_runs"] == 3, 20, "the limit of the file")
