"""Processes of ``scrapy crawl`` that share a feed, and are killed: no URL is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from scrapy.utils.defer import deferred_from_coro
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.conftest import LONG
from tests.spiderkit.feed.feed_cases import CLOCK, FeedCase

ROUNDS, URLS = (50, 300) if LONG else (1, 60)
LEASE = 3  # seconds
BATCH = 8

SPIDER = """
import os
from reactorhub.spiderkit import RedisSpider

class Shop(RedisSpider):
    name = "shop"
    custom_settings = {
        "ITEM_PIPELINES": {"shop.Durable": 1}, "RETRY_ENABLED": False, "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
        "TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False,
    }

    def parse(self, response):
        yield {"url": response.url}

class Durable:
    def open_spider(self):
        self.file = os.open(os.environ["ITEMS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def process_item(self, item):
        os.write(self.file, (item["url"] + "\\n").encode())
        return item
"""


class SlowPages(Resource):
    """A site that takes 20 ms for each page."""

    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        """Answer in a while."""
        answer = CLOCK.callLater(0.02, self._answer, request)
        request.notifyFinish().addErrback(lambda _: answer.active() and answer.cancel())
        return NOT_DONE_YET

    def _answer(self, request: Any) -> None:
        request.write(b"<html>page</html>")
        request.finish()


class KillTests(FeedCase):
    """Spiders in processes of their own."""

    timeout = 1200

    def setUp(self) -> None:
        """Open the site and write the spider."""
        super().setUp()
        site = Site(SlowPages(), reactor=CLOCK)
        site.log = lambda request: None  # type: ignore[method-assign]
        self.port = CLOCK.listenTCP(0, site, interface="127.0.0.1")
        self.site = f"http://127.0.0.1:{self.port.getHost().port}"
        self.folder = Path(tempfile.mkdtemp(prefix="reactorhub-test-feed-"))
        (self.folder / "shop.py").write_text(SPIDER)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pushed: list[str] = []

    async def tearDown(self) -> None:
        """End the processes and close the site."""
        for process in self.processes:
            process.kill()
            process.wait()
        await deferred_from_coro(self.port.stopListening())
        shutil.rmtree(self.folder)

    def crawl(self) -> subprocess.Popen[bytes]:
        """Start a process as users do."""
        settings = {
            "REDIS_URL": self.server.url,
            "REDIS_LEASE": LEASE,
            "LOG_LEVEL": "INFO",
            "CONCURRENT_REQUESTS": BATCH,
        }
        options = [part for name, value in settings.items() for part in ("-s", f"{name}={value}")]
        command = [sys.executable, "-m", "scrapy", "runspider", "shop.py", *options]
        environment = {**os.environ, "ITEMS": str(self.folder / "items"), "PYTHONPATH": "."}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        return process

    def push(self, count: int) -> None:
        """Push so many URLs that were never pushed before."""
        new = [f"{self.site}/p/{len(self.pushed) + n}" for n in range(count)]
        self.pushed += new
        self.server.ask("RPUSH", self.keys.source, *new)

    def items(self) -> Counter[str]:
        """How often each URL became an item."""
        path = self.folder / "items"
        return Counter(path.read_text().split() if path.exists() else ())

    async def until_items(self, count: int) -> None:
        """Wait until so many URLs have become items."""
        deadline = CLOCK.seconds() + 60
        while len(self.items()) < count:
            assert CLOCK.seconds() < deadline, (self.folder / "log").read_text()[-3000:]
            await deferLater(CLOCK, 0.02)

    async def until_empty(self) -> None:
        """Wait until nothing of the feed is left in Redis."""
        deadline = CLOCK.seconds() + 30
        while self.left() != (0, 0, 0):
            assert CLOCK.seconds() < deadline, self.left()
            await deferLater(CLOCK, 0.02)

    async def test_kill_9(self) -> None:
        """Every URL becomes an item; those that become two were in flight when a process was killed."""
        for _ in range(ROUNDS):
            self.push(URLS)
            process = self.crawl()
            await self.until_items(len(self.pushed) - URLS // 3)
            process.kill()
            process.wait()
        self.crawl()
        await self.until_items(len(self.pushed))
        await self.until_empty()
        items = self.items()
        assert sorted(items) == sorted(self.pushed)
        assert items.total() - len(items) <= ROUNDS * 2 * BATCH

    async def test_two_processes_share_a_feed(self) -> None:
        """Each URL is handled once while both live; a dead one's are taken over within the lease."""
        processes = [self.crawl(), self.crawl()]
        await self._until_consumers(2)
        self.push(URLS)
        await self.until_items(URLS)
        await self.until_empty()
        assert set(self.items().values()) == {1}
        self.push(URLS)
        await self.until_items(URLS + URLS // 3)
        processes[0].send_signal(signal.SIGKILL)
        began = CLOCK.seconds()
        await self.until_items(2 * URLS)
        await self.until_empty()
        assert CLOCK.seconds() - began < LEASE + URLS * 0.02 + 2
        items = self.items()
        assert sorted(items) == sorted(self.pushed)
        assert items.total() - len(items) <= 2 * BATCH

    async def test_sigterm_gives_back_at_once(self) -> None:
        """Another process has all of it long before the lease is over, and nothing twice."""
        process = self.crawl()
        self.push(URLS)
        await self.until_items(URLS // 4)
        process.terminate()
        while process.poll() is None:
            await deferLater(CLOCK, 0.02)
        left, pending, _ = self.left()
        assert (left, pending) == (URLS - len(self.items()), 0)
        self.crawl()
        await self.until_items(URLS)
        assert set(self.items().values()) == {1}

    async def _until_consumers(self, count: int) -> None:
        deadline = CLOCK.seconds() + 30
        while self._consumers() < count:
            assert CLOCK.seconds() < deadline, (self.folder / "log").read_text()[-3000:]
            await deferLater(CLOCK, 0.05)

    def _consumers(self) -> int:
        try:
            return len(self.server.ask("XINFO", "CONSUMERS", self.keys.stream, "reactorhub"))
        except RuntimeError:
            return 0
