"""Redis is absent, killed, frozen or started again: crawls and API do not notice, and it catches up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.hubs import FINAL, Hub, seconds_to_end, until, write_project
from tests.support.redis_server import RedisServer
from tests.support.stopwatch import Stopwatch

CONFIG = """
    hub:
      name: lab
      demo_site: tcp:0:interface=127.0.0.1
      projects: {{lab: {{path: lab}}}}
      redis: {{url: "{redis}"}}
    schedules: {{}}
"""
SPIDERS = """
    import scrapy

    class Number(scrapy.Spider):
        name = "number"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/one/{self.n}.html")

        def parse(self, response):
            yield {"n": self.n}

    class Borrower(Number):
        name = "borrower"

        async def parse(self, response):
            lent = getattr(self.crawler, "reactorhub_connection", None)
            if lent is not None:
                await lent.execute("HSET", "borrowed", self.n, response.url)
            yield {"url": self.settings.get("REDIS_URL")}
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A server that is not started yet."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Hub]:
    """A hub whose Redis comes and goes; at its start there is none."""
    hub = Hub(tmp_path_factory.mktemp("redis"), CONFIG.format(redis=redis.url))
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        yield hub


def quick(hub: Hub, path: str) -> Any:
    """GET a path, which must take less than a second."""
    watch = Stopwatch(hub.pid)
    status, view = hub.get(path)
    assert status == 200 and watch.seconds < 1
    return view


def crawl(hub: Hub, count: int) -> list[str]:
    """Order runs and see them end while the API answers quickly; return their ids."""
    watch = Stopwatch(hub.pid)
    runs = [hub.order("number", {"n": str(n)}) for n in range(count)]
    until(lambda: all(quick(hub, f"/api/runs/{run_id}")["state"] in FINAL for run_id in runs), 30, "the ends")
    assert watch.seconds < 8, "the runs were slow"
    assert {hub.run(run_id)["state"] for run_id in runs} == {"succeeded"}
    return runs


def state(hub: Hub) -> str:
    """How the hub says that its Redis fares."""
    return str(quick(hub, "/api/status")["redis"]["state"])


def assert_caught_up(hub: Hub, redis: RedisServer, runs: list[str]) -> None:
    """Wait until the final stats of all these runs are in Redis, and the hub says that it is connected."""

    def arrived() -> bool:
        hashes = [redis.hash(f"reactorhub:run:{run_id}") for run_id in runs]
        return all(each.get("state") == "succeeded" and "item_scraped_count" in str(each) for each in hashes)

    until(arrived, 30, "the final stats of all runs")
    latest = redis.hash("reactorhub:stats:lab:number")
    assert latest["state"] == "succeeded" and latest["item_scraped_count"] == "1"
    until(lambda: state(hub) == "connected", 30, "the connection")
    until(lambda: set(runs) <= told_of(redis), 30, "the events of all ends")


def told_of(redis: RedisServer) -> set[str]:
    """Return the ids of the runs whose end is among the events."""
    events = [json.loads(event["event"]) for event in redis.events("reactorhub:events")]
    return {event["run"]["id"] for event in events if event["type"] == "run.finished"}


def test_absent_at_start(hub: Hub, redis: RedisServer) -> None:
    """A hub without its Redis crawls, says that it is disconnected, and catches up when Redis comes."""
    runs = crawl(hub, 5)
    assert state(hub) == "reconnecting"
    redis.start()
    assert_caught_up(hub, redis, runs)


def test_killed_and_started_again(hub: Hub, redis: RedisServer) -> None:
    """Runs that ended while Redis was dead arrive in the server that takes its place, events too."""
    redis.kill()
    runs = crawl(hub, 5)
    until(lambda: state(hub) == "reconnecting", 30, "the loss of the connection")
    redis.start()
    assert_caught_up(hub, redis, runs)


def test_frozen(hub: Hub, redis: RedisServer) -> None:
    """A Redis that answers nothing for three seconds delays no run and no reply."""
    redis.freeze()
    try:
        begin = time.monotonic()
        runs = crawl(hub, 5)
        until(lambda: quick(hub, "/healthz") and time.monotonic() - begin > 3, 30, "three seconds")
    finally:
        redis.thaw()
    assert_caught_up(hub, redis, runs)


def test_runs_borrow_the_connection(hub: Hub, redis: RedisServer) -> None:
    """A shared run uses the hub's connection in its callbacks; an isolated run is told the hub's Redis."""
    runs = [hub.order("borrower", {"n": "1"}), hub.order("borrower", {"n": "2"}, isolate="process")]
    assert [hub.wait_final(run)["state"] for run in runs] == ["succeeded", "succeeded"]
    assert list(redis.hash("borrowed")) == ["1"]
    assert [hub.items(run)[0]["url"] for run in runs] == [None, redis.url]


def test_hub_ends_in_time_though_redis_is_frozen(hub: Hub, redis: RedisServer) -> None:
    """At shutdown a frozen Redis is not waited for beyond a second or two."""
    redis.freeze()
    try:
        crawl(hub, 1)
        seconds = seconds_to_end(hub)[1]
    finally:
        redis.thaw()
    assert seconds < 4
