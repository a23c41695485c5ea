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
