"""Measures what it costs to send the stats of many live crawls to Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.client import Client
from bench.contenders import Hub, Shop
from bench.errors import BenchError
from bench.figures import Target
from bench.procfs import TICKS_PER_SECOND, processes

CRAWLS = 64
WINDOW = 15.0  # seconds in which the CPU time of the hub's process is counted
SETTLE = 3.0  # seconds after the last crawl has begun
FAILED = "The stats cannot be uploaded"


@dataclass(slots=True)
class StatsCost:
    """The shares of one CPU that the hub's process used, with crawls that send stats and without."""

    quiet: list[float] = field(default_factory=list)
    sending: list[float] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """Return what is not a target, as text."""
        shares = " / ".join(f"{median(each):.1%}" for each in (self.quiet, self.sending))
        return [(f"CPU of a hub with {CRAWLS} crawls that wait: without / with stats each second", shares)]

    def targets(self) -> list[Target]:
        """Return what was to be reached."""
        share = (median(self.sending) - median(self.quiet)) * 100
        text = f"reactor time for the stats of {CRAWLS} live crawls each second"
        return [Target(text=text, value=share, limit=3, unit=" %")]


class StatsBench:
    """Lets live crawls wait in one hub, in turns with and without stats."""

    def __init__(
        self, project: Callable[[str], Path], folder: Path, say: Callable[[str], None], rounds: int = 3
    ) -> None:
        """:param project: copies the project of all contenders to a folder with this name."""
        self._project, self._folder, self._say, self._rounds = project, folder, say, rounds

    def measure(self) -> StatsCost:
        """Measure everything, which takes some two minutes."""
        found = StatsCost()
        with ExitStack() as programs:
            shop = programs.enter_context(Shop(self._folder / "stats-shop"))
            project, data = self._project("stats"), self._folder / "stats-data"
            hub = programs.enter_context(Hub(project, data, CRAWLS))
            for _ in range(self._rounds):
                for spider, shares in (("live", found.quiet), ("live_stats", found.sending)):
                    shares.append(self._share(hub, shop, spider))
                    self._say(f"{CRAWLS} crawls of {spider}: {shares[-1]:.1%} of a CPU")
            self._check(hub)
        return found

    def _share(self, hub: Hub, shop: Shop, spider: str) -> float:
        with Client(hub.base) as client:
            orders = [{"spider": spider, "args": {"shop": shop.url, "n": str(n)}} for n in range(CRAWLS)]
            runs = [client.post("/api/runs", order)["id"] for order in orders]
            while len(client.get(f"/api/runs?state=running&limit={CRAWLS}")["runs"]) < CRAWLS:
                time.sleep(0.1)
            time.sleep(SETTLE)
            before, start = _seconds_of(hub.process.pid), time.monotonic()
            time.sleep(WINDOW)
            used = _seconds_of(hub.process.pid) - before
            share = used / (time.monotonic() - start)
            for run in runs:
                client.post(f"/api/runs/{run}/cancel", {"force": True})
            hub.settle()
        return share

    def _check(self, hub: Hub) -> None:
        hub.check()
        for log in hub.data.glob("logs/bench/live_stats/*.log"):
            if FAILED in (text := log.read_text(encoding="utf-8")):
                raise BenchError(f"a crawl could not send its stats:\n{text}")


def _seconds_of(pid: int) -> float:
    """Return the CPU seconds of one process alone: its Redis does not run on its reactor."""
    return next(stat.ticks for stat in processes() if stat.pid == pid) / TICKS_PER_SECOND
