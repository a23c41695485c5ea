"""A hub with spiders that Redis feeds: in the shared process, in one of their own, through faults."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from textwrap import dedent

import pytest

from tests.conftest import LONG
from tests.integration.hubs import Hub, seconds_to_end, until, write_project
from tests.integration.test_redis import CONFIG, FAULTS, HOLD, SPIDERS, Neighbour, connection
from tests.support.redis_server import RedisServer

SHOP = """
    from reactorhub.spiderkit import RedisSpider

    class Shop(RedisSpider):
        name = "shop"
        custom_settings = {"CONCURRENT_REQUESTS_PER_DOMAIN": 4}

        def parse(self, response):
            yield {"url": response.url}
"""
KEY = "shop:start_urls"
REFUSES_WRITES = {"out of memory", "a replica"}
"""Faults that the status shows only when the hub has something to write."""

LOSES_DATA = {"killed"}
SHORT = ("frozen", "killed, and back with its data", "out of memory", "a replica", "wrong password")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A running server."""
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Hub]:
    """A hub whose spiders read that server."""
    hub = Hub(tmp_path_factory.mktemp("feed"), CONFIG.format(redis=redis.url))
    write_project(hub.folder / "lab", lab=SPIDERS, feed=dedent(SHOP))
    with hub:
        yield hub


class Fed:
    """A run of the fed spider."""

    def __init__(self, hub: Hub, redis: RedisServer, **order: str) -> None:
        self.hub, self.redis = hub, redis
        self.pushed: set[str] = set()
        self.run_id = hub.order("shop", **order)
        hub.wait_state(self.run_id, "running", 30)

    def push(self, count: int) -> None:
        """Push so many new URLs."""
        new = [f"{self.hub.shop}/one/{len(self.pushed) + n}.html" for n in range(count)]
        self.pushed |= set(new)
        self.redis.ask("RPUSH", KEY, *new)

    def items(self) -> list[str]:
        """The URLs of all items so far."""
        file = list((self.hub.data / "items").rglob(f"{self.run_id}.*"))
        return [item["url"] for item in self.hub.items(self.run_id)] if file else []

    def until_all(self, within: float = 30) -> None:
        """Wait until all URLs are items, and nothing of the feed is left in Redis."""
        until(lambda: set(self.items()) == self.pushed, within, "all items")
        until(lambda: not self.redis.ask("LLEN", KEY) + self.redis.ask("XLEN", f"{KEY}:stream"), within)

    def cancel(self) -> None:
        """End the run."""
        self.hub.post(f"/api/runs/{self.run_id}/cancel", {})
        self.hub.wait_final(self.run_id)


@pytest.mark.parametrize("isolate", ["none", "process"])
def test_fed_run(hub: Hub, redis: RedisServer, isolate: str) -> None:
    """A spider that names no server reads the hub's Redis, through the hub's connection if it is shared."""
    fed = Fed(hub, redis, isolate=isolate)
    fed.push(20)
    fed.until_all()
    fed.cancel()
    assert sorted(fed.items()) == sorted(fed.pushed)
    assert hub.run(fed.run_id)["stats"]["feed/taken"] == 20
    assert "Left behind" not in hub.log(fed.run_id)
    assert redis.ask("XINFO", "CONSUMERS", f"{KEY}:stream", "reactorhub") == []


@pytest.mark.parametrize("name", [name for name in FAULTS if LONG or name in SHORT])
def test_fault(hub: Hub, redis: RedisServer, name: str) -> None:
    """The spider waits and goes on, no URL is lost, and another crawl does not notice."""
    fault, fed, neighbour = FAULTS[name], Fed(hub, redis), Neighbour(hub)
    usual = neighbour.undisturbed
    assert usual.lag < 1
    fed.push(5)
    fed.until_all()
    fed.push(100)
    begin = time.monotonic()
    if name in LOSES_DATA:
        fed.until_all()
    fault.begin(redis)
    try:
        if name not in REFUSES_WRITES:
            until(lambda: connection(hub)["state"] == fault.state, 30, f"the state {fault.state}")
            assert re.search(fault.reason, connection(hub)["reason"])
        held = time.monotonic() + HOLD
        until(lambda: time.monotonic() > held, HOLD + 30, "a while")
        assert hub.run(fed.run_id)["state"] == "running"
    finally:
        fault.end(redis)
    fed.push(20)
    fed.until_all(60)
    neighbour.assert_undisturbed(begin)
    fed.cancel()
    hub.post(f"/api/runs/{neighbour.run_id}/cancel", {})
    hub.wait_final(neighbour.run_id)


@pytest.mark.parametrize("isolate", ["none", "process"])
def test_run_that_is_cut_off(hub: Hub, redis: RedisServer, isolate: str) -> None:
    """Downloads that are cut off were not handled: their URLs are in the list again, in their order."""
    fed = Fed(hub, redis, isolate=isolate)
    slow = [f"{hub.shop}/slow/600?{n}" for n in range(40)]
    redis.ask("RPUSH", KEY, *slow)
    until(lambda: hub.run(fed.run_id)["stats"].get("downloader/request_count"), 20, "a request")
    hub.post(f"/api/runs/{fed.run_id}/cancel", {"force": True})
    assert hub.wait_final(fed.run_id)["state"] == "cancelled"
    assert redis.ask("LRANGE", KEY, 0, -1) == slow
    assert redis.ask("XLEN", f"{KEY}:stream") == 0
    redis.ask("DEL", KEY)


def test_shutdown_stops_fed_spiders_at_once(hub: Hub, redis: RedisServer) -> None:
    """The grace of a minute is for crawls that end by themselves; what was not handled is in Redis."""
    runs = [Fed(hub, redis, isolate=isolate) for isolate in ("none", "process")]
    slow = [f"{hub.shop}/slow/1?{n}" for n in range(40)]
    redis.ask("RPUSH", KEY, *slow)
    until(lambda: redis.ask("XLEN", f"{KEY}:stream"), 10, "the first entries")
    assert seconds_to_end(hub)[1] < 15
    handled = {url for run in runs for url in run.items()}
    left = redis.ask("LRANGE", KEY, 0, -1)
    assert redis.ask("XLEN", f"{KEY}:stream") == 0
    assert handled.isdisjoint(left)
    assert sorted([*handled, *left]) == sorted(slow)
