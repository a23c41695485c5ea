"""Several hubs on one Redis: what another program reads of all of them, and whose name is whose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.hubs import Hub, refused, until, write_project
from tests.support.redis_server import RedisServer

CONFIG = """
    hub:
      name: {name}
      demo_site: tcp:0:interface=127.0.0.1
      projects: {{shop: {{path: ../shop}}}}
      redis: {{url: "{redis}"}}
    schedules: {{}}
"""
SPIDERS = """
    import asyncio
    import scrapy

    class Prices(scrapy.Spider):
        name = "prices"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/one/{self.n}.html")

        def parse(self, response):
            yield {"n": self.n}

    class Long(scrapy.Spider):
        name = "long"

        async def start(self):
            while True:
                await asyncio.sleep(0.1)
            yield
"""


def make(folder: Path, name: str, redis: RedisServer, place: str | None = None) -> Hub:
    """Return a hub in a folder of its own, which has not started."""
    home = folder / (place or name)
    home.mkdir()
    return Hub(home, CONFIG.format(name=name, redis=redis.url))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project of all hubs."""
    folder = tmp_path_factory.mktemp("fleet")
    write_project(folder / "shop", shop=SPIDERS)
    return folder


@pytest.fixture(scope="module")
def hubs(folder: Path, redis_server: RedisServer) -> Iterator[dict[str, Hub]]:
    """Two hubs, east and west."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(make(folder, name, redis_server)) for name in ("east", "west")}


def test_all_hubs_are_read_in_one_place(hubs: dict[str, Hub], redis_server: RedisServer) -> None:
    """Hubs, live runs, last runs, latest stats and events of both are read without KEYS or SCAN."""
    live = {hub.order("long"): name for name, hub in hubs.items()}
    ended: dict[str, str] = {}
    listed = "reactorhub:last:shop:prices"
    for number, (name, hub) in enumerate([*hubs.items(), *hubs.items()]):
        run_id = hub.order("prices", {"n": str(number)})
        hub.wait_final(run_id)
        ended[run_id] = name
        until(lambda: len(redis_server.ask("LRANGE", listed, 0, -1)) == len(ended), 10, "the last runs")
    newest = list(ended)[-1]
    until(lambda: set(live) == set(redis_server.ask("ZRANGE", "reactorhub:live", 0, -1)), 10, "the live runs")

    assert set(redis_server.ask("ZRANGE", "reactorhub:hubs", 0, -1)) == {"east", "west"}
    for name, hub in hubs.items():
        key = f"reactorhub:hub:{name}"
        until(lambda key=key: redis_server.hash(key)["runs/running"] == "1", 10, "a heartbeat")
        beat = redis_server.hash(key)
        assert (beat["name"], beat["pid"], beat["data_dir"]) == (name, str(hub.pid), str(hub.data))
        assert beat["redis/state"] == "connected"
        assert {"redis/since", "instance", "folder_id", "host"} <= set(beat)
    for run_id, name in live.items():
        run = redis_server.hash(f"reactorhub:run:{run_id}")
        assert (run["state"], run["hub"], run["spider"]) == ("running", name, "long")
    assert redis_server.ask("LRANGE", listed, 0, -1) == list(reversed(ended))
    for run_id, name in ended.items():
        run = redis_server.hash(f"reactorhub:run:{run_id}")
        assert (run["state"], run["hub"], run["stats/item_scraped_count"]) == ("succeeded", name, "1")
    latest = redis_server.hash("reactorhub:stats:shop:prices")
    assert (latest["run_id"], latest["hub"], latest["state"]) == (newest, "west", "succeeded")
    events = redis_server.events("reactorhub:events")
    assert {event["hub"] for event in events if event["type"] == "run.finished"} == {"east", "west"}

    for run_id, name in live.items():
        hubs[name].post(f"/api/runs/{run_id}/cancel", {})
        hubs[name].wait_final(run_id)
    until(lambda: redis_server.ask("EXISTS", "reactorhub:live") == 0, 10, "the end of the live runs")


def test_keys_are_few_and_expire(hubs: dict[str, Hub], redis_server: RedisServer) -> None:
    """Beside those of runs there is a handful of keys, and all but a few have a time to live."""
    keys = redis_server.ask("KEYS", "*")
    runs = [key for key in keys if key.startswith("reactorhub:run:")]
    others = {key for key in keys if key not in runs}
    kept = {f"reactorhub:stats:shop:{spider}" for spider in ("prices", "long")}
    kept |= {"reactorhub:events", "reactorhub:inbox:hubs"}
    passing = {f"reactorhub:last:shop:{spider}" for spider in ("prices", "long")}
    passing |= {"reactorhub:hubs", *(f"reactorhub:hub:{name}" for name in hubs)}
    assert others == kept | passing
    assert {key for key in keys if redis_server.ask("TTL", key) < 0} == kept


def test_second_hub_of_a_name(folder: Path, hubs: dict[str, Hub], redis_server: RedisServer) -> None:
    """A hub does not start while another one of its name lives, and leaves the other's heartbeat alone."""
    home = folder / "second"
    status, hub = refused(home, CONFIG.format(name="east", redis=redis_server.url))
    assert status == 1
    assert "hub.name 'east'" in hub.errors and f"pid {hubs['east'].pid} on" in hub.errors
    assert "give this one another name with hub.name" in hub.errors
    assert not (hub.data / "ready.json").exists() and not (hub.data / "hub.db").exists()
    assert redis_server.hash("reactorhub:hub:east")["pid"] == str(hubs["east"].pid)
    assert hubs["east"].get("/api/status")[1]["redis"]["conflict"] is None


def test_started_again_after_kill9(hubs: dict[str, Hub], redis_server: RedisServer) -> None:
    """After kill -9 the same hub has its name again at once, though its old heartbeat is still there."""
    hub = hubs["west"]
    hub.kill9()
    old = redis_server.hash("reactorhub:hub:west")
    began = time.monotonic()
    hub.start()
    assert redis_server.ask("TTL", "reactorhub:hub:west") > 0 and time.monotonic() - began < 25
    new = redis_server.hash("reactorhub:hub:west")
    assert (new["folder_id"], new["pid"]) == (old["folder_id"], str(hub.pid))
    assert new["instance"] > old["instance"]


def test_a_hub_that_stops_leaves(hubs: dict[str, Hub], redis_server: RedisServer) -> None:
    """A hub that is stopped is no longer among the hubs, and another may have its name."""
    hubs["west"].terminate()
    assert redis_server.ask("ZRANGE", "reactorhub:hubs", 0, -1) == ["east"]
    assert redis_server.ask("EXISTS", "reactorhub:hub:west") == 0
