"""The extension: when it uploads, and that nothing of it reaches the crawl."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from inspect import iscoroutine
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from scrapy import Spider, signals
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reactorhub.spiderkit import MemoryConnector, StatsUploader
from reactorhub.spiderkit.stats.options import uploader_options
from tests.support.redis_server import RedisServer, free_port


class Prices(Spider):
    """A spider."""

    name = "prices"


class UploaderTests(SynchronousTestCase):
    """One extension whose crawl is a series of signals."""

    def crawl(self, connector: Any = None, **settings: Any) -> MemoryConnector:
        """Begin a crawl with these settings; return the connector."""
        self.clock = Clock()
        values = {f"STATSUPLOADER_{name}": each for name, each in settings.items()}
        self.crawler = get_crawler(Prices, {"EXTENSIONS_BASE": {}, **values})
        self.crawler.spider = Prices()
        assert self.crawler.stats is not None
        self.stats = self.crawler.stats
        options = uploader_options(self.crawler.settings)
        memory = MemoryConnector() if connector is None else connector
        self.extension = StatsUploader(self.crawler, options, memory, self.clock)
        self.say(signals.spider_opened)
        self.say(signals.engine_started)
        return memory

    def say(self, signal: Any, **about: Any) -> list[Any]:
        """Send a signal; return what the handlers returned."""
        replies = self.crawler.signals.send_catch_log(signal, spider=self.crawler.spider, **about)
        return [Deferred.fromCoroutine(reply) if iscoroutine(reply) else reply for _, reply in replies]

    def idle(self) -> None:
        """Let the spider be idle."""
        self.say(signals.spider_idle)

    def close(self) -> None:
        """End the crawl."""
        [closed] = self.say(signals.spider_closed, reason="finished")
        self.successResultOf(closed)
        self.stats.set_value("finish_reason", "finished")
        for reply in self.say(signals.engine_stopped):
            self.successResultOf(reply)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_on_close(self) -> None:
        """Nothing is uploaded before the end, and then what others counted while the spider closed, too."""
        memory = self.crawl()
        self.stats.set_value("n", 1)
        self.idle()
        self.clock.advance(1000)
        self.assertEqual(memory.uploads, [])
        self.close()
        self.assertEqual(memory.uploads, [("prices", {"n": 1, "finish_reason": "finished"})])

    def test_on_idle(self) -> None:
        """An idle period is one upload, however long it is; the next one needs new requests."""
        memory = self.crawl(UPLOAD_MODE="UPLOAD_ON_IDLE")
        for _ in range(3):
            self.stats.inc_value("periods")
            self.say(signals.request_scheduled, request=None)
            self.say(signals.request_scheduled, request=None)
            for _ in range(4):
                self.idle()
        self.assertEqual([stats["periods"] for _, stats in memory.uploads], [1, 2, 3])
        self.close()
        self.assertEqual(memory.uploads[3:], [("prices", {"periods": 3, "finish_reason": "finished"})])

    def test_interval(self) -> None:
        """The stats go out at once, after each interval, and at the end."""
        memory = self.crawl(UPLOAD_MODE="UPLOAD_INTERVAL", UPLOAD_INTERVAL=10)
        for _ in range(35):
            self.stats.inc_value("seconds")
            self.clock.advance(1)
        self.idle()
        self.close()
        seconds = [stats.get("seconds", 0) for _, stats in memory.uploads]
        self.assertEqual(seconds, [0, 10, 20, 30, 35])

    def test_intervals_share_turns(self) -> None:
        """Uploads of crawls that began at any time come at the same tenths of a second, and none drifts."""
        for began, late in ((0.0, 0.0), (0.03, 0.0), (7.777, 0.004)):
            memory = self.crawl(UPLOAD_MODE="UPLOAD_INTERVAL", UPLOAD_INTERVAL=1)
            self.extension._timer.cancel()  # type: ignore[union-attr]
            self.clock.advance(began)
            self.extension._repeat()
            for number in range(1, 20):
                [timer] = self.clock.getDelayedCalls()
                self.assertAlmostEqual(timer.getTime(), round(began + number, 1))
                self.clock.advance(timer.getTime() - self.clock.seconds() + late)
            self.assertEqual(len(memory.uploads), 21)

    def test_an_engine_that_does_not_start(self) -> None:
        """A crawl that is closed while it opens uploads when its spider closes, and not twice."""
        memory = self.crawl()
        self.extension._engine_started = False
        [reply] = self.say(signals.spider_closed, reason="cancelled")
        self.successResultOf(reply)
        self.say(signals.engine_stopped)
        self.assertEqual(len(memory.uploads), 1)

    def test_a_crawl_that_is_cut_off(self) -> None:
        """If the engine stops before the spider closed, nothing more is uploaded; the connector is closed."""

        class Closing(MemoryConnector):
            closed = False

            def close(self) -> None:
                self.closed = True

        memory = Closing()
        self.crawl(memory, UPLOAD_MODE="UPLOAD_INTERVAL")
        [end] = self.say(signals.engine_stopped)
        self.successResultOf(end)
        self.assertEqual((len(memory.uploads), memory.closed), (1, True))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_id(self) -> None:
        """The function in the settings makes the id; one that fails costs the upload and nothing else."""
        memory = self.crawl(GEN_SPIDERID=lambda spider: f"node-7:{spider.name}")
        self.close()
        self.assertEqual(list(memory.stats), ["node-7:prices"])
        memory = self.crawl(GEN_SPIDERID=lambda spider: spider.node)
        with self.assertLogs("reactorhub.spiderkit.stats", "WARNING") as logs:
            self.close()
        self.assertIn("has no attribute 'node'", logs.output[0])
        self.assertEqual(memory.uploads, [])

    def test_a_spider_does_not_wait(self) -> None:
        """An upload that hangs holds up neither idle nor closed; only the very end waits, for seconds."""

        class Hanging(MemoryConnector):
            def upload(self, spider_id: str, stats: Any) -> Any:
                return Deferred()

        self.crawl(Hanging(), UPLOAD_MODE="UPLOAD_ON_IDLE")
        self.idle()
        [closed] = self.say(signals.spider_closed, reason="finished")
        self.successResultOf(closed)
        [end] = self.say(signals.engine_stopped)
        self.assertNoResult(end)
        self.clock.pump([1] * 6)
        self.successResultOf(end)

    def test_mistakes_in_settings(self) -> None:
        """The extension is left out with one sentence."""
        for settings, sentence in (
            ({"UPLOAD_MODE": "ALWAYS"}, "STATSUPLOADER_UPLOAD_MODE must be"),
            ({"UPLOAD_INTERVAL": 0}, "STATSUPLOADER_UPLOAD_INTERVAL must be"),
            (
                {"CONNECT_CONFS": {"hots": "x"}},
                "CONNECT_CONFS does not suit RedisConnector: hots is not known",
            ),
            (
                {"CONNECTOR_CLASS": "reactorhub.spiderkit.WebhookConnector"},
                "does not suit WebhookConnector: .*'url'",
            ),
        ):
            crawler = get_crawler(Prices, {f"STATSUPLOADER_{name}": each for name, each in settings.items()})
            with self.assertRaisesRegex(NotConfigured, sentence):
                StatsUploader.from_crawler(crawler)


SPIDER = """
    import scrapy

    class Tiny(scrapy.Spider):
        name = "tiny"
        start_urls = ["data:,hello"]

        def parse(self, response):
            yield {"text": response.text}
            self.crawler.stats.set_value("seen", {"hello"})
"""


@pytest.fixture(scope="module")
def spider_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a spider, as a user has it."""
    path = tmp_path_factory.mktemp("plain") / "tiny.py"
    path.write_text(dedent(SPIDER), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis server."""
    server = RedisServer().start()
    yield server
    server.close()


def runspider(path: Path, confs: str, **settings: str) -> str:
    """Run the spider by Scrapy's own command, without any hub; return its log."""
    values = {
        "EXTENSIONS": '{"reactorhub.spiderkit.StatsUploader": 500}',
        "STATSUPLOADER_CONNECT_CONFS": confs,
    }
    options = [f"{name}={value}" for name, value in (values | settings).items()]
    command = [sys.executable, "-m", "scrapy", "runspider", str(path)]
    for option in options:
        command += ["-s", option]
    environment = {**os.environ, "PYTHONPATH": str(path.parent)}
    done = subprocess.run(
        command, check=False, cwd=path.parent, capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_plain_scrapy(spider_file: Path, redis: RedisServer) -> None:
    """Without a hub the last stats are in Redis when the process ends, and its log has no complaint."""
    log = runspider(spider_file, f'{{"key": "test.collectors.stats", "port": {redis.port}}}')
    text = redis.hash("test.collectors.stats")["tiny"]
    for part in ('"item_scraped_count":1', '"seen":["hello"]', '"finish_reason":"finished"'):
        assert part in text
    assert "WARNING" not in log and "ERROR" not in log


def test_plain_scrapy_without_redis(spider_file: Path) -> None:
    """A crawl whose Redis is absent ends as it would without, with one warning."""
    watch = time.monotonic()
    log = runspider(spider_file, f'{{"port": {free_port()}}}', STATSUPLOADER_UPLOAD_MODE="UPLOAD_INTERVAL")
    assert time.monotonic() - watch < 20
    assert log.count("The stats cannot be uploaded now: Redis is not connected: ") == 1
    assert "refused" in log and "'finish_reason': 'finished'" in log and "ERROR" not in log


def test_plain_scrapy_with_a_frozen_redis(spider_file: Path, redis: RedisServer) -> None:
    """A crawl whose Redis does not answer ends within seconds, with one warning."""
    redis.freeze()
    try:
        log = runspider(spider_file, f'{{"port": {redis.port}}}')
    finally:
        redis.thaw()
    assert log.count("The stats cannot be uploaded now") == 1
    assert "'finish_reason': 'finished'" in log and "ERROR" not in log
