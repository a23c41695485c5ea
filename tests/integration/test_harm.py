"""One crawl cannot harm another, nor the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.hubs import Hub, write_project
from tests.support.stopwatch import Stopwatch

CONFIG = """
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      max_concurrent_runs: 8
      projects: {lab: {path: lab}}
    schedules: {}
"""
SPIDERS = """
    import asyncio, sys
    import scrapy

    class Good(scrapy.Spider):
        name = "good"

        async def start(self):
            for page in ("/one/1.html", "/slow/1", "/one/2.html"):
                yield scrapy.Request(self.shop + page)

        def parse(self, response):
            yield {"url": response.url}

    class Raising(scrapy.Spider):
        name = "raising"

        def hurt(self, where):
            if where != self.where:
                return
            match self.what:
                case "exit":
                    sys.exit("enough")
                case "interrupt":
                    raise KeyboardInterrupt
                case "leave":
                    raise GeneratorExit
                case "cancel":
                    raise asyncio.CancelledError
                case "stop":
                    from twisted.internet import reactor

                    reactor.stop()
                    raise ValueError("the reactor did not stop")

        def __init__(self, where, **kwargs):
            super().__init__(where=where, **kwargs)
            self.hurt("init")

        async def start(self):
            self.hurt("start")
            yield scrapy.Request(self.shop + "/one/1.html")
            yield scrapy.Request(self.shop + "/broken/404", errback=self.failed)

        def parse(self, response):
            self.hurt("callback")
            yield from self.walk(response)

        def walk(self, response):
            self.hurt("generator")
            yield from ()

        async def failed(self, failure):
            self.hurt("errback")

        def closed(self, reason):
            self.hurt("closed")

    class Flood(scrapy.Spider):
        name = "flood"
        custom_settings = {"CONCURRENT_REQUESTS": 1, "CLOSESPIDER_TIMEOUT": 6, "LOG_LEVEL": "INFO"}

        async def start(self):
            for number in range(300_000):
                yield scrapy.Request(f"{self.shop}/one/{number}.html")

        def parse(self, response):
            yield {"url": response.url}

    class Ports(Good):
        name = "ports"
        custom_settings = {
            "TELNETCONSOLE_ENABLED": True,
            "REMOTE_CONTROL_ENABLED": True,
            "MEMUSAGE_ENABLED": True,
            "MEMUSAGE_LIMIT_MB": 1,
            "MEMUSAGE_CHECK_INTERVAL_SECONDS": 0.2,
            "LOG_FILE": "stolen.log",
            "TWISTED_REACTOR": "twisted.internet.selectreactor.SelectReactor",
        }
"""
HARMS = {
    "exit": "SystemExit",
    "interrupt": "KeyboardInterrupt",
    "leave": "GeneratorExit",
    "cancel": "CancelledError",
    "stop": "did not stop",
}  # what a spider does, and what its run's error has to say of it


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that all tests of this module try to harm."""
    hub = Hub(tmp_path_factory.mktemp("harm"), CONFIG)
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        yield hub


def listening(pid: int) -> int:
    """How many TCP ports a process listens on."""
    sockets = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            sockets.add(str(each.readlink()))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in sockets for row in rows)


def megabytes(pid: int) -> float:
    """The resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@pytest.mark.parametrize("where", ["init", "start", "callback", "generator", "errback", "closed"])
def test_what_would_end_a_process_ends_one_run(hub: Hub, where: str) -> None:
    """``sys.exit`` and its like anywhere in a spider end that run as failed; its neighbour succeeds."""
    neighbour = hub.order("good")
    runs = {what: hub.order("raising", {"where": where, "what": what}) for what in HARMS}
    finals = {what: hub.wait_final(run_id, 20) for what, run_id in runs.items()}
    assert {what: run["state"] for what, run in finals.items()} == dict.fromkeys(HARMS, "failed")
    assert [what for what, run in finals.items() if HARMS[what] not in str(run["error"])] == []
    assert hub.wait_final(neighbour)["stats"]["item_scraped_count"] == 3
    assert hub.get("/healthz")[0] == 200


def test_settings_that_reach_into_the_process_have_no_effect(hub: Hub) -> None:
    """No consoles are opened, no memory limit closes the run, no log file is stolen, no reactor is missed."""
    before = listening(hub.pid)
    run_id, neighbour = hub.order("ports"), hub.order("good")
    hub.wait_state(run_id, "running")
    assert listening(hub.pid) == before == 2
    run = hub.wait_final(run_id)
    assert (run["state"], run["finish_reason"]) == ("succeeded", "finished")
    assert hub.wait_final(neighbour)["state"] == "succeeded"
    assert not list(hub.folder.rglob("stolen.log"))


def test_endless_start_starves_nobody(hub: Hub) -> None:
    """While a start() yields 300,000 requests the hub answers within a second, in bounded memory."""
    before, answers = megabytes(hub.pid), []
    run_id, neighbour = hub.order("flood"), hub.order("good")
    while hub.run(run_id)["state"] not in ("succeeded", "failed"):
        watch = Stopwatch(hub.pid)
        assert hub.get("/healthz", timeout=30)[0] == 200
        answers.append(watch.seconds)
    assert max(answers) < 1
    assert megabytes(hub.pid) - before < 150
    run = hub.wait_final(run_id)
    assert (run["state"], run["finish_reason"]) == ("succeeded", "closespider_timeout")
    assert run["stats"]["item_scraped_count"] > 50
    assert hub.wait_final(neighbour)["state"] == "succeeded"
