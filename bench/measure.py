"""Puts a load on a contender and reads what it cost."""

from __future__ import annotations

import os
import time
from itertools import count
from pathlib import Path

from bench.contenders import Contender, Hub, Shop
from bench.errors import BenchError
from bench.figures import Round
from bench.orders import Order
from bench.procfs import PeakMemory, cpu_seconds

SETTLE = (
    0.5  # seconds for what a contender does behind its answers, such as writing to Redis; they are counted
)
SAMPLE_EVERY = 0.25  # seconds


def fsync_seconds(file: Path) -> float:
    """Return how long the disk takes to keep 4 KiB of ``file`` for good: no durable reply is faster."""
    with file.open("ab") as disk:
        disk.write(bytes(4096))
        disk.flush()
        start = time.monotonic()
        os.fsync(disk.fileno())
        return time.monotonic() - start


class Meter:
    """Measures contenders against one shop. No two crawls of it ask for the same page."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._numbers = count(1)

    def load(self, contender: Contender, spider: str, crawls: int) -> Round:
        """Let the contender do so many crawls as fast as it can.

        :raises BenchError: if not every crawl reached the shop exactly once.
        """
        order = self._order(spider, crawls)
        pid = contender.process.pid
        before, start = cpu_seconds(pid), time.monotonic()
        with PeakMemory(pid, SAMPLE_EVERY) as memory:
            contender.crawl(order)
            wall = time.monotonic() - start
            time.sleep(SETTLE)
        cpu = cpu_seconds(pid) - before
        self._check(contender, order)
        return Round(runs=crawls, wall=wall, cpu=cpu, peak=memory.peak)

    def delays(self, contender: Contender, crawls: int) -> list[float]:
        """Submit one crawl after the other; return the seconds from each submit to its request at the shop.

        :raises BenchError: if not every crawl reached the shop exactly once.
        """
        delays = []
        for _ in range(crawls):
            order = self._order("one", 1)
            submitted = time.time()
            contender.crawl(order)
            delays.append(self._check(contender, order)[order.first][0] - submitted)
        return delays

    def _order(self, spider: str, crawls: int) -> Order:
        order = Order(spider, self._shop.url, next(self._numbers), crawls)
        for _ in range(crawls - 1):
            next(self._numbers)
        return order

    def _check(self, contender: Contender, order: Order) -> dict[int, list[float]]:
        arrivals = self._shop.arrivals()
        wanted = set(order.numbers()) if order.spider == "one" else set()
        if set(arrivals) != wanted or any(len(moments) > 1 for moments in arrivals.values()):
            raise BenchError(
                f"{contender.title} made {sum(map(len, arrivals.values()))} requests where {len(wanted)} "
                f"crawls should have made one each. It said:\n{contender.last_words()}"
            )
        if isinstance(contender, Hub):
            contender.check()
        return arrivals
