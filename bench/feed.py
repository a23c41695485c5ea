"""Measures spiders that Redis feeds, beside those of scrapy-redis on the same Redis and the same site."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import hiredis

from bench.contenders import Shop
from bench.errors import BenchError
from bench.fed import CANNED, KEY
from bench.figures import Target, percentile
from bench.programs import Program, free_port
from reactorhub.redis.embedded import server_binary

CHECKOUT = Path(__file__).parent.parent
URLS = 3_000  # of one round
ROUNDS = 7
PUSHES = 300  # to an idle spider, one by one
SLOW_PUSHES = 12  # the same where each takes seconds
NAMES = {"reactorhub": "reactorhub", "scrapy-redis": "scrapy-redis 0.9.1", "bare": "URLs in memory"}


@dataclass(slots=True)
class Feed:
    """What was measured: URLs per second, CPU seconds per URL by round, seconds from push to request.

    The CPU seconds are those of crawls whose pages come from memory.
    """

    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    delays: dict[str, list[float]] = field(default_factory=dict)

    def rows(self) -> list[list[str]]:
        """Return a row for each way, as text."""
        return [self._row(kind) for kind in self.rates]

    def _row(self, kind: str) -> list[str]:
        delays = self.delays.get(kind, [])
        shown = [f"{percentile(delays, each) * 1000:.1f}" if delays else "" for each in (50, 99)]
        extra = self.extra_us(kind)
        return [
            NAMES[kind],
            f"{median(self.rates[kind]):.0f}",
            *shown,
            f"{median(self.cpu[kind]) * 1e6:.0f}",
            "" if kind == "bare" else f"{extra:.0f}",
        ]

    def extra_us(self, kind: str) -> float:
        """Return the CPU µs per URL beyond those of the crawl itself, measured in the same round."""
        pairs = zip(self.cpu[kind], self.cpu["bare"], strict=True)
        return median(ours - bare for ours, bare in pairs) * 1e6

    def targets(self) -> list[Target]:
        """Return what was to be reached."""
        p99 = percentile(self.delays["reactorhub"], 99) * 1000
        return [
            Target(text="from push to request of an idle spider, p99", value=p99, limit=50, unit=" ms"),
            Target(
                text="CPU of the feed per URL, beyond the crawl itself",
                value=self.extra_us("reactorhub"),
                limit=100,
                unit=" µs",
            ),
        ]


def _entry(site: str, number: int) -> str:
    """Return an entry in JSON: scrapy-redis logs a warning for each bare URL."""
    return json.dumps({"url": f"{site}/one/{number}.html"})


class Redis(Program):
    """A server on a port of its own, which keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        super().__init__([str(server_binary()), *options], folder)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def ready(self) -> None:
        """Wait until it answers."""
        self.wait_for(self._answers)

    def _answers(self) -> bool | None:
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return None

    def ask(self, *words: str | int) -> Any:
        """Send one command and return the reply."""
        reader = hiredis.Reader(encoding="utf-8")
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(hiredis.pack_command(words))
            while (reply := reader.gets()) is False:
                reader.feed(connection.recv(65536))
        return reply


class FedSpider(Program):
    """A process with one spider."""

    def __init__(self, kind: str, redis: Redis, site: str, folder: Path, count: int) -> None:
        command = [sys.executable, "-m", "bench.fed", kind, redis.url, str(count), site]
        super().__init__(command, folder, {"PYTHONPATH": str(CHECKOUT)})

    def figures(self) -> dict[str, float]:
        """Wait until all items are there, and return what it says."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if not said:
            raise BenchError(f"the spider has failed. It said:\n{self.last_words()}")
        found: dict[str, float] = json.loads(said)
        return found


class FeedBench:
    """Measures all ways in turns."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say

    def measure(self) -> Feed:
        """Return what was found."""
        found = Feed()
        with ExitStack() as programs:
            shop = programs.enter_context(Shop(self._folder / "feed-shop"))
            redis = programs.enter_context(Redis(self._folder / "feed-redis"))
            for number in range(ROUNDS):
                kinds = list(NAMES)[::-1] if number % 2 else list(NAMES)
                for kind in kinds:
                    self._load(found, kind, redis, shop)
                for kind in kinds:
                    self._cpu(found, kind, redis)
            for kind, pushes in (("reactorhub", PUSHES), ("scrapy-redis", SLOW_PUSHES)):
                found.delays[kind] = self._delays(kind, pushes, redis, shop)
        found.rates = {kind: found.rates[kind] for kind in NAMES}
        return found

    def _load(self, found: Feed, kind: str, redis: Redis, shop: Shop) -> None:
        figures = self._crawled(kind, redis, shop.url, shop.url)
        shop.arrivals()
        rate = (URLS - 1) / (figures["last"] - figures["first"])
        found.rates.setdefault(kind, []).append(rate)
        self._say(f"{NAMES[kind]}: {rate:.0f} URLs/s")

    def _cpu(self, found: Feed, kind: str, redis: Redis) -> None:
        cpu = self._crawled(kind, redis, CANNED, "http://canned")["cpu"] / (URLS - 1)
        found.cpu.setdefault(kind, []).append(cpu)
        self._say(f"{NAMES[kind]}: {cpu * 1e6:.0f} µs CPU for each URL")

    def _crawled(self, kind: str, redis: Redis, site: str, base: str) -> dict[str, float]:
        redis.ask("FLUSHALL")
        if kind != "bare":
            for first in range(0, URLS, 500):
                redis.ask("RPUSH", KEY, *(_entry(base, first + n) for n in range(500)))
        with FedSpider(kind, redis, site, self._empty(kind), URLS) as spider:
            return spider.figures()

    def _delays(self, kind: str, pushes: int, redis: Redis, shop: Shop) -> list[float]:
        redis.ask("FLUSHALL")
        delays: list[float] = []
        with FedSpider(kind, redis, shop.url, self._empty(kind), pushes + 5):
            for number in range(pushes + 5):
                delay = self._delay(number, redis, shop)
                if number >= 5:  # the first ones wait for the start
                    delays.append(delay)
        return delays

    def _delay(self, number: int, redis: Redis, shop: Shop) -> float:
        pushed = time.time()
        redis.ask("RPUSH", KEY, _entry(shop.url, number))
        deadline = pushed + 30
        while time.time() < deadline:
            time.sleep(0.02)
            if moments := shop.arrivals().get(number):
                time.sleep(0.03)  # so that the spider is idle again
                return moments[0] - pushed
        raise BenchError("a URL that was pushed was not requested within 30 s")

    def _empty(self, kind: str) -> Path:
        folder = self._folder / f"feed-{kind}"
        shutil.rmtree(folder, ignore_errors=True)
        return folder
