"""Habits of ordinary projects that reach into the whole process: each harms nobody in a hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hubs import Hub

CONFIG = """
    hub:
      max_concurrent_runs: 8
      projects: {lab: {path: lab}, other: {path: other}}
    schedules: {}
"""
PAGE = "data:text/html,x"
STREAMS = f"""
    import io, logging, subprocess, sys
    import scrapy

    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")

    class Printer(scrapy.Spider):
        name = "printer"
        start_urls = ["{PAGE}"]

        def parse(self, response):
            print("MARK printed")
            for n in range(3):
                print(f"MARK {{n}}/3", file=sys.stderr)
            sys.__stderr__.buffer.write(b"MARK bytes\\n")
            subprocess.run(["true"], stdout=sys.stdout, stderr=sys.stderr, check=True)
            yield {{"url": response.url}}

    class Circle(scrapy.Spider):
        name = "circle"
        start_urls = ["{PAGE}"]

        def __init__(self, **kwargs):
            logging.getLogger().addHandler(logging.StreamHandler())
            super().__init__(**kwargs)

        def parse(self, response):
            self.logger.error("MARK one error")
            yield {{"url": response.url}}

    class Wait(scrapy.Spider):
        name = "wait"
        start_urls = ["{PAGE}"]

        def parse(self, response):
            input("MARK who is there? ")
"""
LOGGING = f"""
    import logging, logging.config
    import scrapy
    from scrapy.utils.log import configure_logging

    configure_logging({{"LOG_LEVEL": "ERROR"}})
    logging.config.dictConfig({{"version": 1, "root": {{"level": "CRITICAL"}}}})
    logging.disable(logging.CRITICAL)

    class Mute(scrapy.Spider):
        name = "mute"
        start_urls = ["{PAGE}"]

        def parse(self, response):
            self.logger.info("MARK info")
            logging.disable(logging.CRITICAL)
            logging.root.handlers.clear()
            raise ValueError("MARK raised")

    class Wrong(scrapy.Spider):
        name = "wrong"
        start_urls = ["{PAGE}"]

        def parse(self, response):
            logging.getLogger().addHandler(logging.StreamHandler())
            self.logger.info("MARK %d", "x")
            yield {{"url": response.url}}
"""
BROKEN = {
    "scripty": """
        from scrapy.crawler import CrawlerProcess
        process = CrawlerProcess()
        process.crawl("good")
        process.start()
    """,
    "starter": "from scrapy.crawler import CrawlerProcess\nCrawlerProcess().start()",
    "runs": "from twisted.internet import reactor\nreactor.run()",
    "stops": "from twisted.internet import reactor\nreactor.stop()",
    "crashes": "from twisted.internet import reactor\nreactor.crash()",
    "ends_loop": "import asyncio\nasyncio.get_event_loop().stop()",
    "chdir": "import os\nos.chdir('/')",
    "takes_signal": "import signal\nsignal.signal(signal.SIGTERM, lambda *args: None)",
    "exits": "import sys\nsys.exit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "panics": "class Panic(BaseException): pass\nraise Panic('at import')",
}
ENDS = f"""
    import asyncio, os, signal, sys, threading
    import scrapy
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    class Ends(scrapy.Spider):
        name = "ends"
        start_urls = ["{PAGE}"]

        async def parse(self, response):
            loop = asyncio.get_running_loop()
            yield {{"url": response.url}}
            if self.how == "call_soon":
                loop.call_soon(sys.exit, 0)
            elif self.how == "call_later":
                loop.call_later(0.01, sys.exit, 0)
            elif self.how == "callLater":
                reactor.callLater(0.01, sys.exit, 0)
            elif self.how == "thread":
                threading.Thread(target=reactor.callFromThread, args=(reactor.stop,)).start()
            elif self.how == "task":
                self.task = asyncio.ensure_future(self.leave())
            elif self.how == "reader":
                ours, theirs = os.pipe()
                loop.add_reader(ours, self.read, loop, ours)
                os.write(theirs, b"x")
            elif self.how in ("stop", "close"):
                getattr(loop, self.how)()
            elif self.how == "signal":
                signal.signal(signal.SIGTERM, lambda *args: None)
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                signal.alarm(1)
            else:
                getattr(reactor, self.how)()
            await asyncio.sleep(0.05)

        def read(self, loop, file):
            loop.remove_reader(file)
            sys.exit(0)

        async def leave(self):
            sys.exit(0)
"""
GOOD = f"""
    import scrapy

    class Good(scrapy.Spider):
        name = "good"
        start_urls = ["{PAGE}"]

        def parse(self, response):
            self.logger.info("MARK info")
            yield {{"url": response.url}}
"""


def write_module(folder: Path, project: str, name: str, source: str) -> None:
    """Write a spider module of a project that has a ``scrapy.cfg``."""
    package = folder / project / project
    (package / "spiders").mkdir(parents=True, exist_ok=True)
    (folder / project / "scrapy.cfg").write_text(f"[settings]\ndefault = {project}.settings\n")
    for init in (package, package / "spiders"):
        (init / "__init__.py").touch()
    settings = package / "settings.py"
    if not settings.exists():
        settings.write_text(f'SPIDER_MODULES = ["{project}.spiders"]\n')
    (package / "spiders" / f"{name}.py").write_text(dedent(source))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub whose projects have many habits."""
    hub = Hub(tmp_path_factory.mktemp("worlds"), CONFIG)
    write_module(hub.folder, "lab", "streams", STREAMS)
    write_module(hub.folder, "lab", "loud", LOGGING)
    write_module(hub.folder, "lab", "ends", ENDS)
    for name, source in BROKEN.items():
        write_module(hub.folder, "lab", name, source)
    write_module(hub.folder, "other", "good", GOOD)
    with hub:
        yield hub


def marks(hub: Hub, run_id: str) -> list[str]:
    """The marked lines of a run's log, without their times."""
    return [line[line.index(" [") + 1 :] for line in hub.log(run_id).splitlines() if "MARK" in line]


def test_printed_lines(hub: Hub) -> None:
    """What a spider prints stands in its own log at INFO, and is not an error."""
    run = hub.wait_final(hub.order("printer"))
    assert (run["state"], run["errors"]) == ("succeeded", 0), hub.log(run["id"])
    assert sorted(marks(hub, run["id"])) == [
        "[stderr] INFO: MARK 0/3",
        "[stderr] INFO: MARK 1/3",
        "[stderr] INFO: MARK 2/3",
        "[stderr] INFO: MARK bytes",
        "[stdout] INFO: MARK printed",
    ]
    assert hub.items(run["id"]) == [{"url": PAGE}]
    assert "MARK" not in hub.output


def test_a_handler_that_writes_to_stderr(hub: Hub) -> None:
    """A StreamHandler of a spider's own causes no circle: one error is one line."""
    run = hub.wait_final(hub.order("circle"))
    assert (run["state"], run["errors"]) == ("succeeded", 1)
    assert marks(hub, run["id"]) == ["[circle] ERROR: MARK one error"]
    assert "MARK" not in hub.output


def test_nobody_waits_for_a_person(hub: Hub) -> None:
    """input() finds an empty stream: the run has an error, and nobody waits."""
    run = hub.wait_final(hub.order("wait"))
    assert (run["state"], run["errors"]) == ("failed", 1)
    assert "EOFError" in run["error"]


def test_logging_that_an_import_sets_up(hub: Hub) -> None:
    """What a module's import does to logging changes nobody's log, and is named in one warning."""
    run = hub.wait_final(hub.order("good"))
    assert (run["state"], run["errors"]) == ("succeeded", 0)
    assert marks(hub, run["id"]) == ["[good] INFO: MARK info"]
    assert hub.output.count("project 'lab' sets up logging when it is imported") == 1


def test_a_run_without_log_records_still_fails(hub: Hub) -> None:
    """A spider that switches logging off and raises is not a success, and no other run is mute."""
    run = hub.wait_final(hub.order("mute"))
    assert marks(hub, run["id"]) == ["[mute] INFO: MARK info"]
    assert (run["state"], run["errors"]) == ("failed", 1)
    assert "ValueError: MARK raised" in run["error"]
    assert marks(hub, hub.wait_final(hub.order("good"))["id"]) == ["[good] INFO: MARK info"]


def test_a_wrong_log_call_is_one_line(hub: Hub) -> None:
    """A log call whose arguments do not fit is one line at its level, and not an error."""
    run = hub.wait_final(hub.order("wrong"))
    assert (run["state"], run["errors"]) == ("succeeded", 0)
    (line,) = marks(hub, run["id"])
    assert line.startswith("[wrong] INFO: a log call that cannot be formatted, at ")


def test_an_import_cannot_reach_into_the_process(hub: Hub) -> None:
    """A module that would start, stop or change the process when it is imported is a broken module."""
    broken = {each["module"]: each["error"] for each in hub.get("/api/spiders")[1]["broken"]}
    assert {name.rpartition(".")[2] for name in broken} == set(BROKEN)
    for name in ("scripty", "starter", "runs", "stops", "crashes", "ends_loop", "chdir", "takes_signal"):
        assert 'if __name__ == "__main__":' in broken[f"lab.spiders.{name}"], broken
    assert len(hub.ledger("SELECT * FROM runs WHERE spider = 'scripty'")) == 0


WAYS = {
    "call_soon": "SystemExit: 0",
    "call_later": "SystemExit: 0",
    "callLater": "SystemExit: 0",
    "task": "SystemExit: 0",
    "reader": "SystemExit: 0",
    "thread": "reactor.stop",
    "stop": "stop",
    "close": "close",
    "crash": "crash",
    "fireSystemEvent": "fireSystemEvent",
    "signal": "signal.signal does nothing here",
}


@pytest.mark.parametrize("how", WAYS)
def test_a_run_cannot_end_the_process(hub: Hub, how: str) -> None:
    """Whatever a run does to end the process stands in its own log; the hub and a neighbour go on."""
    run_id, neighbour = hub.order("ends", {"how": how}), hub.order("good")
    run = hub.wait_final(run_id)
    assert WAYS[how] in hub.log(run_id), hub.log(run_id)
    assert run["errors"] >= 1 or how == "signal", "taking a signal is a warning"
    assert hub.wait_final(neighbour)["state"] == "succeeded"
    assert hub.get("/healthz")[0] == 200


def test_the_hub_still_ends_on_order(hub: Hub) -> None:
    """After all of that SIGTERM ends the hub in time, and its exit status says so."""
    assert hub.terminate(within=15) in (0, -15, 143)
