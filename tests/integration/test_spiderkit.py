"""What spiders use of the kit in a real hub: its connection to Redis, and the upload of their stats."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.hubs import Hub, until, write_project
from tests.support.redis_server import RedisServer
from tests.support.stopwatch import Stopwatch

CONFIG = """
    hub:
      name: kit
      shutdown_grace: 0.5s
      demo_site: tcp:0:interface=127.0.0.1
      projects: {{lab: {{path: lab}}}}
      redis: {{url: "{redis}"}}
    schedules: {{}}
"""
SPIDERS = """
    import asyncio
    import scrapy

    from reactorhub.spiderkit import RedisClient, RedisSpider

    class Borrower(scrapy.Spider):
        name = "borrower"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/one/{self.n}.html")

        async def parse(self, response):
            lent = getattr(self.crawler, "reactorhub_connection", None)
            if lent is not None:
                await lent.execute("HSET", "borrowed", self.n, response.url)
                from twisted.internet import reactor
                own = RedisClient(lent.address, reactor)
                await own.start()
                assert await own.execute("HLEN", "borrowed") == 1
                await own.stop()
            yield {"url": self.settings.get("REDIS_URL")}

    class Sender(Borrower):
        name = "sender"
        custom_settings = {
            "EXTENSIONS": {"reactorhub.spiderkit.StatsUploader": 500},
            "STATSUPLOADER_CONNECT_CONFS": {"key": "sent"},
            "STATSUPLOADER_GEN_SPIDERID": lambda spider: spider.name + spider.n,
        }

        async def parse(self, response):
            yield {"n": self.n}

    class Lasting(Sender):
        name = "lasting"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/one/{self.n}.html")
            await asyncio.Event().wait()

    class OwnSender(Sender):
        name = "own"
        custom_settings = {
            **Sender.custom_settings,
            "STATSUPLOADER_CONNECT_CONFS": {"key": "sent", "url": "OTHER"},
        }

    class FileSender(Sender):
        name = "file"
        custom_settings = {
            **Sender.custom_settings,
            "STATSUPLOADER_CONNECTOR_CLASS": "reactorhub.spiderkit.JsonLinesConnector",
            "STATSUPLOADER_CONNECT_CONFS": {"path": "stats.jl"},
        }

    class Fed(RedisSpider):
        name = "fed"
        max_idle_time = 1
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """The server of the hub."""
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Hub]:
    """A hub with Redis."""
    hub = Hub(tmp_path_factory.mktemp("kit"), CONFIG.format(redis=redis.url))
    write_project(hub.folder / "lab", lab=SPIDERS.replace("OTHER", redis.url.removesuffix("0") + "1"))
    with hub:
        yield hub


def test_runs_borrow_the_connection(hub: Hub, redis: RedisServer) -> None:
    """A shared run uses the hub's connection and one of its own; an isolated run is told the hub's Redis."""
    runs = [hub.order("borrower", {"n": "1"}), hub.order("borrower", {"n": "2"}, isolate="process")]
    assert [hub.wait_final(run)["state"] for run in runs] == ["succeeded", "succeeded"]
    assert list(redis.hash("borrowed")) == ["1"]
    assert [hub.items(run)[0]["url"] for run in runs] == [None, redis.url]


def test_runs_upload_their_stats(hub: Hub, redis: RedisServer) -> None:
    """Over the hub's connection, one of its own, in an isolated run, in a file: all stats are there."""
    runs = [
        hub.order("sender", {"n": "1"}),
        hub.order("sender", {"n": "2"}, isolate="process"),
        hub.order("own", {"n": "3"}),
        hub.order("file", {"n": "4"}),
    ]
    assert [hub.wait_final(run)["state"] for run in runs] == ["succeeded"] * 4
    until(lambda: set(redis.hash("sent")) == {"sender1", "sender2"}, 10, "the stats in Redis")
    texts = [*redis.hash("sent").values(), redis.ask_in(1, "HGET", "sent", "own3")]
    line = json.loads((hub.folder / "lab" / "stats.jl").read_text(encoding="utf-8"))
    assert line["spider_id"] == "file4"
    for stats in (*map(json.loads, texts), line["stats"]):
        assert (stats["item_scraped_count"], stats["finish_reason"]) == (1, "finished")
    for log in map(hub.log, runs):
        assert "WARNING" not in log


def test_a_frozen_redis_delays_no_run(hub: Hub, redis: RedisServer) -> None:
    """Runs that upload end as fast as ever while Redis does not answer; afterwards uploads arrive again."""
    redis.freeze()
    try:
        watch = Stopwatch(hub.pid)
        for number in range(5, 9):
            run = hub.order("sender", {"n": str(number)})
            assert hub.wait_final(run)["state"] == "succeeded"
        assert watch.seconds < 2, "the runs waited for Redis"
    finally:
        redis.thaw()
    until(lambda: hub.get("/api/status")[1]["redis"]["state"] == "connected", 10, "the connection")
    hub.wait_final(hub.order("sender", {"n": "9"}))
    until(lambda: "sender9" in redis.hash("sent"), 10, "the stats of the last run")


def test_feeds_of_spiders_and_their_dead_letters(hub: Hub, redis: RedisServer) -> None:
    """The API lists the feeds of shared and of isolated runs, and lets dead letters be read again."""
    runs = []
    for key, isolate in (("shared:urls", "none"), ("isolated:urls", "process")):
        redis.ask("RPUSH", key, "not a URL")
        runs.append(hub.order("fed", {"redis_key": key}, isolate=isolate))
    for run in runs:
        hub.wait_final(run)
    feeds = {feed["key"]: feed for feed in hub.get("/api/feeds")[1]["feeds"]}
    assert list(feeds) == ["reactorhub:inbox", "isolated:urls", "shared:urls"]
    for key in ("shared:urls", "isolated:urls"):
        assert (feeds[key]["waiting"], feeds[key]["in_flight"], feeds[key]["dead"]) == (0, 0, 1)
        [letter] = hub.get(f"/api/feeds/{key}/dead")[1]["dead"]
        assert (letter["entry"], letter["spider"], letter["from"]) == ("not a URL", "fed", "list")
        assert "neither a URL" in letter["reason"]
        assert hub.post(f"/api/feeds/{key}/dead/requeue") == (200, {"requeued": 1})
    assert [feed["waiting"] for feed in hub.get("/api/feeds")[1]["feeds"]] == [0, 1, 1]


def test_the_last_stats_outlive_the_hub(hub: Hub, redis: RedisServer) -> None:
    """The stats of a crawl that a shutdown stops are in Redis when the hub is gone."""
    runs = [hub.order("lasting", {"n": "10"}), hub.order("lasting", {"n": "11"}, isolate="process")]
    for run in runs:
        until(lambda run=run: "item_scraped_count" in str(hub.run(run)["stats"]), 20, "an item")
    hub.terminate()
    for spider_id in ("lasting10", "lasting11"):
        stats = json.loads(redis.hash("sent")[spider_id])
        assert (stats["item_scraped_count"], stats["finish_reason"]) == (1, "shutdown")
