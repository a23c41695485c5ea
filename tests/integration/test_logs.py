"""Each run's log file holds all of the run's records and none of another's, wherever they were made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.hubs import Hub, write_project

RUNS = 24
QUIET = 4  # of the runs have LOG_LEVEL=ERROR
CONFIG = """
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      max_concurrent_runs: 24
      projects: {lab: {path: lab}}
    schedules: {}
"""
KINDS = frozenset(
    [
        "start",
        "callback",
        "errback",
        "pipeline",
        "pipeline-thread",
        "callLater",
        "looping",
        "to_thread",
        "executor",
        "callInThread",
        "callFromThread",
        "deferred-unhandled",
        "warning",
        "task",
        "closed",
    ]
)
SPIDERS = """
    import asyncio, gc, logging, warnings
    from pathlib import Path
    import scrapy
    from scrapy.utils.defer import deferred_to_future
    from twisted.internet import defer, task, threads

    log = logging.getLogger("lab")

    class Threaded:
        def __init__(self, crawler):
            self.crawler = crawler

        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)

        async def process_item(self, item):
            say = self.crawler.spider.say
            await deferred_to_future(threads.deferToThread(say, "pipeline-thread"))
            say("pipeline")
            return item

    class Marker(scrapy.Spider):
        name = "marker"
        custom_settings = {"ITEM_PIPELINES": {"spiders.lab.Threaded": 1}}

        def say(self, kind):
            log.warning("MARK %s %s", self.mark, kind)

        def lose(self, kind):
            # Garbage in a cycle: whichever run happens to collect it, the error is this run's.
            cycle = [defer.fail(ValueError(f"MARK {self.mark} {kind}"))]
            cycle.append(cycle)

        async def later(self):
            await asyncio.sleep(0.1)
            self.say("task")

        async def start(self):
            from twisted.internet import reactor

            self.say("start")
            reactor.callLater(0.05, self.say, "callLater")
            self.loop = task.LoopingCall(self.say, "looping")
            self.loop.start(0.1, now=False)
            reactor.callInThread(self.say, "callInThread")
            reactor.callInThread(reactor.callFromThread, self.say, "callFromThread")
            self.task = asyncio.create_task(self.later())
            await asyncio.to_thread(self.say, "to_thread")
            await asyncio.get_running_loop().run_in_executor(None, self.say, "executor")
            self.lose("deferred-unhandled")
            while not Path("go").exists():
                await asyncio.sleep(0.05)
            yield scrapy.Request(f"{self.shop}/slow/0.1")
            yield scrapy.Request(f"{self.shop}/broken/404", self.parse, errback=self.failed)

        async def parse(self, response):
            self.say("callback")
            warnings.warn(f"MARK {self.mark} warning")
            await asyncio.sleep(0.2)
            yield {"mark": self.mark}

        def failed(self, failure):
            self.say("errback")

        def closed(self, reason):
            self.loop.stop()
            gc.collect()
            self.say("closed")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that has room for all runs at once."""
    hub = Hub(tmp_path_factory.mktemp("logs"), CONFIG)
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        yield hub


@pytest.fixture(scope="module")
def runs(hub: Hub) -> list[dict[str, Any]]:
    """Runs that all went on at the same time, until they were let go; the first few log errors only."""
    quiet = {"LOG_LEVEL": "ERROR"}
    ids = [hub.order("marker", {"mark": f"m{n}"}, settings=quiet if n < QUIET else {}) for n in range(RUNS)]
    for run_id in ids:
        hub.wait_state(run_id, "running", 30)
    (hub.folder / "go").touch()
    finals = [hub.wait_final(run_id) for run_id in ids]
    assert max(run["started_at"] for run in finals) < min(run["finished_at"] for run in finals)
    return finals


def marks(text: str) -> set[tuple[str, str]]:
    """Return the (run, kind) of every marker in a text."""
    return set(re.findall(r"MARK (m\d+) ([\w-]+)", text))


def test_runs_succeed(runs: list[dict[str, Any]]) -> None:
    """All 24 runs succeed with their item, whatever they say on the way."""
    assert [(run["state"], run["stats"]["item_scraped_count"]) for run in runs] == [("succeeded", 1)] * RUNS


def test_every_record_is_in_its_own_file(hub: Hub, runs: list[dict[str, Any]]) -> None:
    """Each file has every kind of marker of its own run and not one of another's."""
    found = {run["args"]["mark"]: marks(hub.log(run["id"])) for run in runs[QUIET:]}
    assert found == {mark: {(mark, kind) for kind in KINDS} for mark in found}


def test_no_record_of_a_run_is_in_the_hubs_own_log(hub: Hub, runs: list[dict[str, Any]]) -> None:
    """What runs log stays out of the hub's output, but for the errors that Twisted itself reports there."""
    assert len(runs) == RUNS
    assert {kind for _, kind in marks(hub.output)} <= {"deferred-unhandled"}


def test_log_level_holds_for_one_run(hub: Hub, runs: list[dict[str, Any]]) -> None:
    """A run with LOG_LEVEL=ERROR writes errors only, and those of its neighbours are not silenced by it."""
    found = {run["args"]["mark"]: marks(hub.log(run["id"])) for run in runs[:QUIET]}
    assert found == {mark: {(mark, "deferred-unhandled")} for mark in found}


def test_log_counts_are_the_runs_own(hub: Hub, runs: list[dict[str, Any]]) -> None:
    """``log_count/…`` counts the records of the run's own file, level by level."""
    for run in runs[QUIET:]:
        levels = re.findall(r"^\d{4}-\S+ \S+ \[[^\]]+\] ([A-Z]+): ", hub.log(run["id"]), re.MULTILINE)
        counts = {key: run["stats"].get(f"log_count/{key}", 0) for key in set(levels)}
        assert counts == Counter(levels)
