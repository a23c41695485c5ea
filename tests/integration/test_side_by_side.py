"""A run of a project is what ``scrapy crawl`` in its folder is: items, stats, log and files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hubs import Hub

CONFIG = """
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      projects: {press: {path: %s, isolate: %s}}
"""
SETTINGS = """
BOT_NAME = "press"
SPIDER_MODULES = ["press.spiders"]
ITEM_PIPELINES = {"press.parts.Pipeline": 300}
EXTENSIONS = {"press.parts.Extension": 0}
DOWNLOADER_MIDDLEWARES = {"press.parts.Middleware": 543}
ROBOTSTXT_OBEY = True
HTTPCACHE_ENABLED = True
RETRY_TIMES = 1
LOG_FORMAT = "%(levelname)s [%(name)s] %(message)s"
STATS_DUMP = False
"""
PARTS = """
import locale, logging, os, sqlite3, sys
from pathlib import Path
from scrapy import signals
from scrapy.exceptions import DropItem
from scrapy.utils.project import data_path, get_project_settings, inside_project

log = logging.getLogger(__name__)
SETTINGS = get_project_settings()

class Pipeline:
    def open_spider(self):
        self.db = sqlite3.connect("press.db")
        self.db.execute("CREATE TABLE IF NOT EXISTS seen (url TEXT)")

    def process_item(self, item):
        if item["url"].endswith("3.html"):
            raise DropItem("the third")
        self.db.execute("INSERT INTO seen VALUES (?)", (item["url"],))
        return {**item, "bot": SETTINGS["BOT_NAME"], "inside": inside_project(), "cwd": Path.cwd().name,
            "data": Path(data_path("x")).parts[-2:], "argv": len(sys.argv) > 0}

    def close_spider(self):
        self.db.commit()
        self.db.close()

class Extension:
    def __init__(self, crawler):
        self.stats = crawler.stats
        crawler.signals.connect(self.item_scraped, signals.item_scraped)
        crawler.signals.connect(self.spider_closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def item_scraped(self, item):
        self.stats.inc_value("press/items")

    def spider_closed(self, reason):
        Path("closed.txt").write_text(reason)
        log.warning("closed %s", reason)

class Middleware:
    def process_request(self, request):
        request.headers["X-Press"] = "1"
"""
SPIDER = '''
import logging, random, warnings
import scrapy
from scrapy.utils.log import configure_logging
from press.parts import log

configure_logging()
logging.basicConfig(level=logging.INFO)
seen = set()

class Daily(scrapy.Spider):
    """Reads five pages, and one that is not there."""

    name = "daily"
    custom_settings = {"CONCURRENT_REQUESTS": 1, "DEPTH_LIMIT": 3}

    def __init__(self, shop, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{shop}/one/{number}.html" for number in range(1, 6)] + [f"{shop}/broken/404"]

    def parse(self, response):
        seen.add(response.url)
        self.logger.info("seen %d", len(seen))
        print("printed", len(seen))
        page = response.url.partition("/one/")[2]
        yield {"url": page, "seen": len(seen), "limit": self.settings["DEPTH_LIMIT"]}
        if len(seen) == 4:
            raise ValueError("four")
'''
MOVING = re.compile(
    r"127\.0\.0\.1:\d+|\d\d\d\d-\d\d-\d\d|[0-9a-f-]{36}|0x[0-9a-f]+|/[^ ]*jsonl?|\d+ (pages|items)/min"
)
PRINTED = [f"printed {number}" for number in range(1, 6)]
OWN = ("feedexport/", "memusage/", "log_count/")
"""Stats that differ by what each way sets for itself."""


OWN_LINES = (
    *("Stored jsonlines feed", "Dumping Scrapy stats", "Using ", "CrawlerProcess"),
    *(" [scrapy.utils.log] Scrapy ", " [scrapy.utils.log] Versions:", " [stdout] "),
)
"""Records about where items went, how the command works inside, and prints in the shared process."""


HUBS_OWN = {"schedule.yaml", "output.txt", "errors.txt"}
"""Files of a hub that was started in the project's folder, beside its data."""


@pytest.fixture(scope="module", params=["process", "none"])
def both(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the same spider leaves behind, run by ``scrapy crawl`` and by a hub.

    A hub that shares its process with the run is started in the project's folder, as ``init`` makes it.
    """
    folder = tmp_path_factory.mktemp("side")
    package = folder / "press" / "press"
    (package / "spiders").mkdir(parents=True)
    (package.parent / "scrapy.cfg").write_text("[settings]\ndefault = press.settings\n")
    for name, text in {
        "__init__": "",
        "settings": SETTINGS,
        "parts": PARTS,
        "spiders/__init__": "",
        "spiders/daily": SPIDER,
    }.items():
        (package / f"{name}.py").write_text(text)
    isolated = request.param == "process"
    config = CONFIG % ("press" if isolated else ".", request.param)
    with Hub(folder if isolated else package.parent, config) as hub:
        run_id = hub.order("daily")
        run = hub.wait_final(run_id)
        ours = {
            "items": hub.items(run_id),
            "log": hub.log(run_id),
            "reason": run["finish_reason"],
            "stats": run["stats"],
            "files": left(package.parent) - HUBS_OWN,
        }
        clean(package.parent)
        command = [
            str(Path(sys.executable).with_name("scrapy")),
            *("crawl", "daily", "-a", f"shop={hub.shop}", "-o", "-:jsonlines"),
            *("-s", "STATS_DUMP=1", "-s", "CONCURRENT_ITEMS=8", "-s", "TELNETCONSOLE_ENABLED=0"),
            *("-s", "REMOTE_CONTROL_ENABLED=0"),
        ]
        done = subprocess.run(
            command, cwd=package.parent, capture_output=True, text=True, timeout=60, check=True
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    theirs = {
        "items": [json.loads(line) for line in lines],
        "printed": [line for line in done.stdout.splitlines() if not line.startswith("{")],
        "log": done.stderr,
        "files": left(package.parent) - HUBS_OWN,
    }
    return {"ours": ours, "theirs": theirs}


def left(folder: Path) -> set[str]:
    """The files that a crawl has left in its project's folder, but for bytecode and cached pages."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = (path for path in paths if not {"__pycache__", "data"} & {*path.parts})
    return {"/".join(path.parts[:3]) if path.parts[0] == ".scrapy" else str(path) for path in shown}


def clean(folder: Path) -> None:
    """Take away what a crawl has left, so that the next begins as it did."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if ".scrapy" in path.parts or path.suffix in (".db", ".txt"):
            path.rmdir() if path.is_dir() else path.unlink()


def test_items(both: dict[str, Any]) -> None:
    """The same items in the same order."""
    assert both["ours"]["items"] == both["theirs"]["items"]
    assert len(both["ours"]["items"]) == 4


def test_files(both: dict[str, Any]) -> None:
    """Files by relative path, the project's data folder and its cache are where they belong."""
    assert both["ours"]["files"] == both["theirs"]["files"]
    assert {"press.db", "closed.txt"} <= both["ours"]["files"]


def records(log: str) -> list[str]:
    """The first lines of the records of a log, without what differs from run to run."""
    lines = (MOVING.sub("*", line) for line in log.splitlines())
    found = [line for line in lines if re.match(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) \[", line)]
    return [line for line in found if not any(text in line for text in OWN_LINES)]


def test_log(both: dict[str, Any]) -> None:
    """The same records in the same order, in the project's own format."""
    assert records(both["ours"]["log"]) == records(both["theirs"]["log"])
    assert "WARNING [press.parts] closed finished" in both["ours"]["log"]
    assert [line[-9:] for line in both["ours"]["log"].splitlines() if "printed" in line] == PRINTED


def test_stats(both: dict[str, Any]) -> None:
    """The same stats, as far as they do not measure time or count the other's own files."""
    dumped = both["theirs"]["log"].partition("Dumping Scrapy stats:\n")[2]
    theirs = dict(re.findall(r"'([^']+)': (\d+)[,}]", dumped))
    stats = both["ours"]["stats"]
    ours = {key: str(value) for key, value in stats.items() if isinstance(value, int)}
    for each in (ours, theirs):
        for key in [key for key in each if key.startswith(OWN) or "bytes" in key or "minute" in key]:
            del each[key]
    assert ours == theirs
    assert (ours["press/items"], ours["item_dropped_count"]) == ("4", "1")
    assert (both["ours"]["reason"], stats["spider_exceptions/count"]) == ("finished", 1)
