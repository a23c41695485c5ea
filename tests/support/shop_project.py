"""Scrapy projects written to disk for a test, and an engine to crawl them with."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from reactorhub.containment.modules import MODULES
from reactorhub.containment.process import contain_process
from reactorhub.containment.reactor import carry_contexts_into_threads
from reactorhub.containment.run_logs import RunLogs
from reactorhub.demo_site import bookshop
from reactorhub.engine.isolated.child.bytecode import distrust_old_bytecode
from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.protocols import Crawl
from reactorhub.engine.scrapy.engine import ScrapyEngine
from reactorhub.engine.scrapy.environment import answer_for_each_project
from reactorhub.engine.scrapy.private.classes import keep_store_settings_apart
from reactorhub.engine.scrapy.private.everywhere import (
    contain_for_all,
    refuse_crawls_at_import,
    settle_crawls_within_runs,
)
from reactorhub.engine.scrapy.private.receivers import keep_receivers_apart
from reactorhub.engine.scrapy.process import prepare_logging
from reactorhub.engine.scrapy.project import force
from reactorhub.model.run import CrawlEnd, RunSpec
from reactorhub.storage.layout import RunPaths

PACKAGE = "enginetest"


def write_project(folder: Path, spiders: Mapping[str, str], settings: str = "") -> ProjectConfig:
    """Write a Scrapy project with these spider modules; ``settings`` is put below what every project has."""
    package = folder / PACKAGE
    (package / "spiders").mkdir(parents=True)
    (folder / "scrapy.cfg").write_text(f"[settings]\ndefault = {PACKAGE}.settings\n")
    (package / "__init__.py").write_text("")
    (package / "spiders" / "__init__.py").write_text("")
    base = f'BOT_NAME = "test"\nSPIDER_MODULES = ["{PACKAGE}.spiders"]\n'
    (package / "settings.py").write_text(base + dedent(settings))
    for name, text in spiders.items():
        (package / "spiders" / f"{name}.py").write_text(dedent(text))
    return ProjectConfig(name="test", path=folder)


def forget_project() -> None:
    """Forget the modules of projects that :func:`write_project` wrote."""
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def spider(body: str, name: str = "it", imports: str = "") -> str:
    """Return a module with one spider that asks for one page; ``body`` is the rest of its class."""
    head = f"""\
import asyncio, logging, sys, time
import scrapy
from twisted.internet import defer, reactor, task, threads
{imports}

class It(scrapy.Spider):
    name = {name!r}

    async def start(self):
        yield scrapy.Request(self.shop + "/book/1.html")

"""
    lines = dedent(body).splitlines()
    return head + "\n".join(f"    {line}" if line else "" for line in lines) + "\n"


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until a condition holds, for at most so many seconds."""
    deadline = reactor.seconds() + seconds  # type: ignore[attr-defined]
    while not condition():
        assert reactor.seconds() < deadline, "it never came to hold"  # type: ignore[attr-defined]
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]


class EngineCase(TestCase):
    """A test with an engine on the real reactor, the bookshop on loopback, and a folder for everything."""

    timeout = 60

    def setUp(self) -> None:
        """Open the shop and route the logs."""
        self.folder = Path(tempfile.mkdtemp(prefix="reactorhub-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.paths = RunPaths(self.folder / "var")
        self.hub_records: list[Any] = []
        prepare_logging()
        self.hub_lines: list[str] = []
        pool, loop = reactor.getThreadPool(), reactor._asyncioEventloop  # type: ignore[attr-defined]
        self.patch(pool, "callInThreadWithCallback", pool.callInThreadWithCallback)
        carry_contexts_into_threads(pool, loop, 4)
        uncontain = contain_process(
            loop, self.hub_records.append, lambda name, line: self.hub_lines.append(line)
        )
        self.addCleanup(uncontain)
        self.addCleanup(contain_for_all())
        self.addCleanup(keep_receivers_apart())
        self.addCleanup(settle_crawls_within_runs(force))
        self.addCleanup(refuse_crawls_at_import())
        self.addCleanup(distrust_old_bytecode(MODULES.folders))
        self.addCleanup(keep_store_settings_apart())
        self.addCleanup(answer_for_each_project())
        site = Site(bookshop(reactor), reactor=reactor)  # type: ignore[arg-type]
        site.log = lambda request: None  # type: ignore[method-assign]
        self.port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.shop = f"http://127.0.0.1:{self.port.getHost().port}"
        self.engine = ScrapyEngine(reactor, RunLogs(self.paths.log), self.paths.items)  # type: ignore[arg-type]
        self.addCleanup(forget_project)
        self.path = list(sys.path)
        self.addCleanup(self._unpath)

    def _unpath(self) -> None:
        sys.path[:] = self.path

    def tearDown(self) -> Deferred[Any]:
        """Close the shop."""
        return maybeDeferred(self.port.stopListening)

    def load(self, spiders: Mapping[str, str], settings: str = "") -> None:
        """Load a project with these spider modules."""
        self.engine.load({"test": self.prepared(spiders, settings)})

    def prepared(self, spiders: Mapping[str, str], settings: str = "") -> ProjectConfig:
        """Write a project with these spider modules, and do not load it yet."""
        return write_project(self.folder / "project", spiders, settings)

    def launch(self, run_id: str = "run1", spider: str = "it", **spec: Any) -> Crawl:
        """Launch a crawl of a spider, which gets the shop's address as an argument."""
        args = {"shop": self.shop, **spec.pop("args", {})}
        return self.engine.launch(run_id, RunSpec(spider=spider, project="test", args=args, **spec))

    async def crawled(self, body: str, **spec: Any) -> CrawlEnd:
        """Load a project whose one spider has this body, crawl it, return how it ended."""
        self.load({"it": spider(body)})
        return await self.launch(**spec).done

    def log(self, run_id: str = "run1", spider: str = "it") -> str:
        """The text of a run's log."""
        return self.paths.log("test", spider, run_id).read_text()

    def items(self, run_id: str = "run1", spider: str = "it") -> str:
        """The text of a run's items."""
        return self.paths.items("test", spider, run_id).read_text()
