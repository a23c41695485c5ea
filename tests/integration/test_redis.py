"""Redis fails in every way it can: crawls, API and the reactor do not notice, and it catches up."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from tests.conftest import LONG
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
    import asyncio
    import time
    import scrapy
    from reactorhub.spiderkit import RedisSpider

    class Fed(RedisSpider):
        # Waits for URLs, on the hub's connection.
        name = "fed"

        def parse(self, response):
            yield {"url": response.url}

    UPLOADS = {
        "EXTENSIONS": {"reactorhub.spiderkit.StatsUploader": 500},
        "STATSUPLOADER_UPLOAD_MODE": "UPLOAD_INTERVAL",
        "STATSUPLOADER_UPLOAD_INTERVAL": 0.2,
        "STATSUPLOADER_CONNECT_CONFS": {"key": "uploaded"},
    }

    class Number(scrapy.Spider):
        name = "number"
        custom_settings = UPLOADS

        async def start(self):
            yield scrapy.Request(f"{self.shop}/one/{self.n}.html")

        def parse(self, response):
            yield {"n": self.n}

    def waited():
        # Seconds for which this process was ready to run, and others had the processors.
        with open("/proc/self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9

    class Neighbour(scrapy.Spider):
        # Notes how long each page took to come, and how late the reactor was meanwhile.
        name = "neighbour"
        custom_settings = {"LOG_LEVEL": "INFO", **UPLOADS}
        worst_lag = 0.0

        async def start(self):
            self.last = time.monotonic(), waited()
            yield self.next_page()
            while True:
                begin, before = time.monotonic(), waited()
                await asyncio.sleep(0.01)
                late = time.monotonic() - begin - 0.01 - (waited() - before)
                self.worst_lag = max(self.worst_lag, late)

        def next_page(self):
            return scrapy.Request(f"{self.shop}/slow/0.03", dont_filter=True)

        def parse(self, response):
            now, before = (time.monotonic(), waited()), self.last
            self.last, lag, self.worst_lag = now, self.worst_lag, 0.0
            yield {"at": now[0], "gap": now[0] - before[0] - (now[1] - before[1]), "lag": lag}
            yield self.next_page()
"""
HOLD = 10.0 if LONG else 0.3  # seconds for which a fault lasts after all else has been seen
ROUNDS = 3 if LONG else 1
MAX_LAG = (
    0.15  # seconds by which the reactor may be later than without a fault; a blocking call takes 2 or more
)
MAX_GAP = 0.25  # seconds by which a page of the neighbour may come later


@dataclass(frozen=True, slots=True)
class Pace:
    """The longest gap between two pages of the neighbour, and the worst lag of the reactor, in seconds."""

    gap: float
    lag: float


class Neighbour:
    """A crawl that goes on through all faults."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.run_id = hub.order("neighbour")
        until(self._pages, 20, "the neighbour's first pages")

    def _pages(self) -> list[dict[str, float]]:
        file = list((self._hub.data / "items").rglob(f"{self.run_id}.*"))
        return self._hub.items(self.run_id) if file else []

    def pace(self, since: float) -> Pace:
        """Return how it went from a moment of :func:`time.monotonic` until now."""
        now = time.monotonic()
        until(lambda: self._pages()[-1]["at"] > now, 20, "the neighbour's next page")
        pages = [page for page in self._pages() if page["at"] > since]
        return Pace(max(page["gap"] for page in pages), max(page["lag"] for page in pages))

    @cached_property
    def undisturbed(self) -> Pace:
        """How it goes while Redis works and others crawl, too."""
        begin = time.monotonic()
        crawl(self._hub, 3)
        until(lambda: time.monotonic() - begin > 1 + HOLD, 30, "a while")
        return self.pace(begin)

    def assert_undisturbed(self, since: float) -> None:
        """Compare how it went since a moment with how it goes without a fault."""
        pace, usual = self.pace(since), self.undisturbed
        assert pace.lag <= usual.lag + MAX_LAG, f"{pace}, without the fault {usual}"
        assert pace.gap <= usual.gap + MAX_GAP, f"{pace}, without the fault {usual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A way in which Redis fails, and what the status says meanwhile."""

    begin: Callable[[RedisServer], object]
    end: Callable[[RedisServer], object]
    state: str = "reconnecting"
    reason: str


def restart(redis: RedisServer) -> None:
    """Start the server again."""
    redis.start()


def lock_out(redis: RedisServer) -> None:
    """Change the password, and close all connections."""
    redis.ask("CONFIG", "SET", "requirepass", "another")
    redis.password = "another"
    redis.ask("CLIENT", "KILL", "TYPE", "normal")


def let_in(redis: RedisServer) -> None:
    """Take the password back."""
    redis.ask("CONFIG", "SET", "requirepass", "")
    redis.password = None


def freeze_in_handshake(redis: RedisServer) -> None:
    """Close all connections and stop the server, so that the next ones are taken by the kernel alone."""
    redis.ask("CLIENT", "KILL", "TYPE", "normal")
    redis.freeze()


def saved_and_killed(redis: RedisServer) -> None:
    """End the server so that the next one has its data."""
    redis.save()
    redis.kill()


FAULTS = {
    "killed": Fault(begin=RedisServer.kill, end=restart, reason="refused|closed|lost"),
    "killed, and back with its data": Fault(
        begin=saved_and_killed, end=restart, reason="refused|closed|lost"
    ),
    "frozen": Fault(begin=RedisServer.freeze, end=RedisServer.thaw, reason="no answer within 2 s"),
    "frozen in the handshake": Fault(
        begin=freeze_in_handshake, end=RedisServer.thaw, reason="no answer within 2 s|closed"
    ),
    "wrong password": Fault(begin=lock_out, end=let_in, state="auth_failed", reason="NOAUTH|WRONGPASS"),
    "slow": Fault(
        begin=lambda redis: redis.ask("CLIENT", "PAUSE", 1500, "ALL"),
        end=lambda redis: redis.ask("PING"),
        state="connected",
        reason="^$",
    ),
    "out of memory": Fault(
        begin=lambda redis: redis.ask("CONFIG", "SET", "maxmemory", "1"),
        end=lambda redis: redis.ask("CONFIG", "SET", "maxmemory", "0"),
        reason="OOM",
    ),
    "a replica": Fault(
        begin=lambda redis: redis.ask("REPLICAOF", "127.0.0.1", "1"),
        end=lambda redis: redis.ask("REPLICAOF", "NO", "ONE"),
        reason="READONLY",
    ),
}


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


@pytest.fixture(scope="module")
def fed(hub: Hub) -> str:
    """The run of a spider that waits for URLs through all faults."""
    return hub.order("fed")


@pytest.fixture(scope="module")
def neighbour(hub: Hub) -> Neighbour:
    """A crawl that goes on through all faults."""
    return Neighbour(hub)


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


def connection(hub: Hub) -> dict[str, Any]:
    """What the status says of the connection."""
    return dict(quick(hub, "/api/status")["redis"])


def assert_caught_up(hub: Hub, redis: RedisServer, runs: list[str]) -> None:
    """Wait until the final stats of all these runs are in Redis, and the hub says that it is connected."""

    def arrived() -> bool:
        hashes = [redis.hash(f"reactorhub:run:{run_id}") for run_id in runs]
        return all(each.get("state") == "succeeded" and "item_scraped_count" in str(each) for each in hashes)

    until(arrived, 30, "the final stats of all runs")

    def latest() -> bool:
        stats = redis.hash("reactorhub:stats:lab:number")
        return stats["state"] == "succeeded" and stats["item_scraped_count"] == "1"

    until(latest, 30, "the latest stats")
    until(lambda: connection(hub)["state"] == "connected", 30, "the connection")
    assert connection(hub)["reason"] == ""
    until(lambda: set(runs) <= ended(redis), 30, "the events of all ends")
    assert set(runs) <= set(redis.ask("LRANGE", "reactorhub:last:lab:number", 0, -1))


def ended(redis: RedisServer) -> set[str]:
    """Return the ids of the runs whose end is among the events."""
    events = [json.loads(event["event"]) for event in redis.events("reactorhub:events")]
    return {event["run"]["id"] for event in events if event["type"] == "run.finished"}


def submit(hub: Hub, redis: RedisServer, *ids: str) -> None:
    """Order runs through the inbox."""
    for entry_id in ids:
        entry = {"spider": "number", "args": {"n": "7", "shop": hub.shop}, "id": entry_id}
        redis.ask("RPUSH", "reactorhub:inbox", json.dumps(entry))


def runs_of(hub: Hub, *ids: str) -> list[str]:
    """Return the states of the runs with these ids."""
    keys = [f"inbox:{entry_id}" for entry_id in ids]
    found = hub.ledger(f"SELECT state FROM runs WHERE key IN ({','.join('?' * len(keys))})", *keys)
    return [str(row["state"]) for row in found]


def feed(hub: Hub, redis: RedisServer, run_id: str, mark: str) -> None:
    """Push URLs for the spider that waits, and wait until it has fetched them."""
    urls = {f"{hub.shop}/one/{n}.html?{mark}" for n in range(1, 4)}
    redis.ask("RPUSH", "fed:start_urls", *urls)
    until(lambda: urls <= {item["url"] for item in hub.items(run_id)}, 20, "the pages of the waiting spider")


def limit(hub: Hub) -> int:
    """Return how many runs there may be at once."""
    return int(quick(hub, "/api/limits")["max_concurrent_runs"])


def set_limit(hub: Hub, redis: RedisServer, number: int) -> None:
    """Set that limit through Redis."""
    redis.ask("HSET", "reactorhub:limits", "max_concurrent_runs", number)
    until(lambda: limit(hub) == number, 10, "the limit")


def test_absent_at_start(hub: Hub, redis: RedisServer, neighbour: Neighbour) -> None:
    """A hub without its Redis crawls, says why it is not connected, and catches up when Redis comes."""
    begin = time.monotonic()
    runs = crawl(hub, 3)
    assert (connection(hub)["state"], "refused" in connection(hub)["reason"]) == ("reconnecting", True)
    pace = neighbour.pace(begin)
    redis.start()
    assert_caught_up(hub, redis, runs)
    usual = neighbour.undisturbed
    assert pace.lag <= usual.lag + MAX_LAG and pace.gap <= usual.gap + MAX_GAP, (pace, usual)


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize("name", FAULTS)
def test_fault(hub: Hub, redis: RedisServer, neighbour: Neighbour, fed: str, name: str, round_: int) -> None:
    """No fault of Redis delays a run, a reply, a page of another crawl or the reactor. All arrives after.

    Entries of the inbox that were pushed before the fault, and again after it, become one run each.
    """
    fault, number = FAULTS[name], 10 + list(FAULTS).index(name)
    assert neighbour.undisturbed.lag < 1
    set_limit(hub, redis, number)
    feed(hub, redis, fed, f"before-{number}-{round_}")
    before, after = [[f"{name} {round_} {when} {n}" for n in range(3)] for when in ("before", "after")]
    begin = time.monotonic()
    submit(hub, redis, *before)
    fault.begin(redis)
    try:
        runs = crawl(hub, 3)
        until(lambda: connection(hub)["state"] == fault.state, 30, f"the state {fault.state}")
        assert re.search(fault.reason, connection(hub)["reason"]), connection(hub)
        held = time.monotonic() + HOLD
        until(lambda: quick(hub, "/healthz") and time.monotonic() > held, HOLD + 30, "a while")
        assert limit(hub) == number
    finally:
        fault.end(redis)
    submit(hub, redis, *before, *after)
    until(lambda: runs_of(hub, *before, *after) == ["succeeded"] * 6, 30, "the runs from the inbox")
    assert_caught_up(hub, redis, runs)
    assert limit(hub) == number
    feed(hub, redis, fed, f"after-{number}-{round_}")
    until(lambda: "neighbour" in redis.hash("uploaded"), 10, "the neighbour's upload")
    neighbour.assert_undisturbed(begin)
    assert connection(hub)["dropped"] == 0


def test_hub_ends_in_time_though_redis_is_frozen(hub: Hub, redis: RedisServer) -> None:
    """At shutdown a frozen Redis is not waited for beyond a second or two."""
    redis.freeze()
    try:
        crawl(hub, 1)
        for run in hub.get("/api/runs?state=running")[1]["runs"]:
            hub.post(f"/api/runs/{run['id']}/cancel", {"force": True})
            hub.wait_final(run["id"])
        seconds = seconds_to_end(hub)[1]
    finally:
        redis.thaw()
    assert seconds < 4
