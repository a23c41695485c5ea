"""Measures how crawls in one process share it: the API, a short crawl and the pages beside heavy crawls."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from bench.client import Client
from bench.contenders import Hub, Site
from bench.errors import BenchError
from bench.figures import Target, percentile

AT_ONCE = 24
HEAVY = 8  # crawls that parse the documentation site
BESIDE = 6  # of them beside a one-page crawl
SMALL = 16  # one-page crawls beside one that yields 50,000 links a page
WINDOW = 8.0  # seconds in which pages are counted and the API is asked
ASK_EVERY = 0.02  # seconds
WARM = 5  # pages that each heavy crawl has had before anything is measured


@dataclass(slots=True)
class Fairness:
    """What was measured, in seconds; ``gated`` and ``open`` are pages per second, in turns."""

    status: list[float] = field(default_factory=list)
    longest_step: float = 0.0
    gated: list[float] = field(default_factory=list)
    open: list[float] = field(default_factory=list)
    status_open: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    flooded: list[float] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """Return what is not a target, as text."""
        ms = [percentile(self.status_open, percent) * 1000 for percent in (50, 99)]
        rate = f"{median(self.gated):.1f} / {median(self.open):.1f}"
        small = f"{median(self.alone):.2f} / {median(self.flooded):.2f}"
        return [
            (f"pages per second of {HEAVY} heavy crawls, with turns / without", rate),
            ("`GET /api/status` without turns: p50 / p99 ms", f"{ms[0]:.0f} / {ms[1]:.0f}"),
            ("longest step of a callback, ms", f"{self.longest_step * 1000:.0f}"),
            (f"{SMALL} one-page crawls alone / beside one of 50,000 links a page, s", small),
        ]

    def targets(self) -> list[Target]:
        """Return what was to be reached."""
        p50, p99 = (percentile(self.status, percent) * 1000 for percent in (50, 99))
        rate = median(ours / theirs for ours, theirs in zip(self.gated, self.open, strict=True))
        return [
            Target(
                text=f"`GET /api/status` beside {HEAVY} heavy crawls, p50", value=p50, limit=30, unit=" ms"
            ),
            Target(
                text="the same, p99, beyond the longest step of a callback",
                value=p99 - self.longest_step * 1000,
                limit=100,
                unit=" ms",
            ),
            Target(
                text=f"a one-page crawl beside {BESIDE} heavy ones, median",
                value=median(self.beside),
                limit=0.5,
                unit=" s",
            ),
            Target(text="pages per second, with turns against without", value=rate, limit=1, at_most=False),
            Target(
                text=f"{SMALL} one-page crawls beside one that yields 50,000 links a page, against alone",
                value=median(self.flooded) / median(self.alone),
                limit=2,
                unit=" x",
            ),
        ]


class ManualSite(Site):
    """The documentation site that heavy crawls parse."""

    module = "bench.manual"


class OpenHub(Hub):
    """The same hub without turns: its gate is always open."""

    title = "reactorhub without turns"
    twistd = (sys.executable, "-m", "bench.ungated")


class FairnessBench:
    """Measures a hub, and the same hub without turns, against one site."""

    def __init__(
        self, project: Callable[[str], Path], folder: Path, say: Callable[[str], None], rounds: int = 3
    ) -> None:
        """:param project: copies the project of all contenders to a folder with this name."""
        self._project, self._folder, self._say, self._rounds = project, folder, say, rounds
        self._numbers = count(1)
        self._found = Fairness()

    def measure(self) -> Fairness:
        """Measure everything, which takes some two minutes."""
        with ExitStack() as programs:
            self._site = programs.enter_context(ManualSite(self._folder / "manual"))
            for number in range(self._rounds):
                found = self._found
                for kind, rates, waits in (
                    (Hub, found.gated, found.status),
                    (OpenHub, found.open, found.status_open),
                ):
                    with self._hub(kind, f"{kind.__name__.lower()}-{number}") as hub:
                        rates.append(self._loaded(hub, waits))
                self._say(
                    f"pages per second with turns: {found.gated[-1]:.1f}, without: {found.open[-1]:.1f}"
                )
            hub = programs.enter_context(self._hub(Hub, "small"))
            self._beside(hub)
            self._flooded(hub)
        return self._found

    def _round(self, kind: type[Hub], name: str, rates: list[float], waits: list[float]) -> None:
        with self._hub(kind, name) as hub:
            rates.append(self._loaded(hub, waits))
        self._say(f"{kind.title}: {rates[-1]:.1f} pages per second")

    def _hub(self, kind: type[Hub], name: str) -> Hub:
        return kind(self._project(name), self._folder / f"{name}-data", AT_ONCE)

    def _loaded(self, hub: Hub, waits: list[float]) -> float:
        """Return the pages per second of the heavy crawls; add how long the API took to answer meanwhile.

        The hub ends with its crawls: without turns it would take minutes to hear of a cancel.
        """
        with Client(hub.base) as client:
            self._begin_heavy(hub, client, HEAVY)
            before, start = sum(_pages(hub)), time.perf_counter()
            while time.perf_counter() - start < WINDOW:
                waits.append(_seconds(lambda: client.get("/api/status")))
                time.sleep(ASK_EVERY)
            rate = (sum(_pages(hub)) - before) / (time.perf_counter() - start)
            if not isinstance(hub, OpenHub):
                runs = client.get("/api/runs?state=running")["runs"]
                steps = [run["stats"]["longest_step"] for run in runs]
                self._found.longest_step = max(self._found.longest_step, *steps)
        return rate

    def _beside(self, hub: Hub) -> None:
        with Client(hub.base) as client, self._heavy(hub, client, BESIDE):
            for _ in range(3 * self._rounds):
                self._found.beside.append(_seconds(lambda: self._small(client, 1)))
        self._say(f"one page beside {BESIDE} heavy crawls: {self._found.beside}")

    def _flooded(self, hub: Hub) -> None:
        with Client(hub.base) as client:
            self._small(client, SMALL)
            for _ in range(self._rounds):
                self._found.alone.append(_seconds(lambda: self._small(client, SMALL)))
            flood = self._submit(client, "flood", {"site": self._site.url})
            _until(lambda: _enqueued(client, flood) > 5_000)
            for _ in range(self._rounds):
                self._found.flooded.append(_seconds(lambda: self._small(client, SMALL)))
            self._end(client, [flood])
        self._say(
            f"{SMALL} one-page crawls alone: {self._found.alone}, beside a flood: {self._found.flooded}"
        )

    def _small(self, client: Client, crawls: int) -> None:
        """Crawl one page so many times, and wait until all are over."""
        runs = [self._submit(client, "one", {"shop": self._site.url}) for _ in range(crawls)]
        for run in runs:
            if (end := client.get(f"/api/runs/{run}?wait=30"))["state"] != "succeeded":
                raise BenchError(f"a one-page crawl ended {end['state']}: {end['reason']}")

    def _begin_heavy(self, hub: Hub, client: Client, crawls: int) -> list[str]:
        runs = [self._submit(client, "manual", {"site": self._site.url}) for _ in range(crawls)]
        _until(lambda: sum(pages >= WARM for pages in _pages(hub)) == crawls)
        return runs

    @contextmanager
    def _heavy(self, hub: Hub, client: Client, crawls: int) -> Iterator[None]:
        """Let heavy crawls run meanwhile."""
        runs = self._begin_heavy(hub, client, crawls)
        yield
        self._end(client, runs)

    def _end(self, client: Client, runs: Sequence[str]) -> None:
        for run in runs:
            client.post(f"/api/runs/{run}/cancel", {"force": True})
        for run in runs:
            while not client.get(f"/api/runs/{run}?wait=5")["finished_at"]:
                pass

    def _submit(self, client: Client, spider: str, args: dict[str, str]) -> str:
        order = {"spider": spider, "args": {**args, "n": str(next(self._numbers))}}
        return str(client.post("/api/runs", order)["id"])


def _pages(hub: Hub) -> list[int]:
    """Return how many pages each heavy crawl of a hub has parsed, as its log says."""
    logs = hub.data.glob("logs/bench/manual/*.log")
    return [log.read_text().count("DEBUG: Scraped from") for log in logs]


def _enqueued(client: Client, run: str) -> int:
    return int((client.get(f"/api/runs/{run}")["stats"] or {}).get("scheduler/enqueued", 0))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError("a heavy crawl did not begin within a minute")
        time.sleep(0.05)
