"""The crawl of an isolated process, told to stop at awkward moments."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

import scrapy
from scrapy.settings import Settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from reactorhub.engine.isolated.child import crawl as crawl_module
from reactorhub.engine.isolated.child.crawl import Crawl
from reactorhub.engine.isolated.child.private import IsolatedCrawler
from reactorhub.engine.isolated.child.reports import Reports


class Silent(Resource):
    """A page that never comes."""

    isLeaf = True

    def render_GET(self, request: Any) -> int:
        """Answer never."""
        return NOT_DONE_YET


class Visitor(scrapy.Spider):
    """Asks for one page after another."""

    name = "visitor"
    address = ""

    async def start(self) -> Any:
        """Ask for three pages."""
        for number in range(3):
            yield scrapy.Request(f"{self.address}/{number}")


class StopTests(TestCase):
    """Orders that come before the engine of a crawl runs."""

    timeout = 20

    async def test_abort_before_the_engine_runs(self) -> None:
        """Downloads that are cut off before the stop is heard do not let the crawl look finished."""
        self.patch(crawl_module, "installed_reactor", Clock)  # so nobody looks whether the engine runs
        site = Site(Silent(), reactor=reactor)  # type: ignore[arg-type]
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        for settings in ({}, {"DOWNLOAD_SLOTS": {"127.0.0.1": {"delay": 30}}}):
            crawl, crawling = self.begin(f"http://127.0.0.1:{port.getHost().port}", settings)
            crawl._obey({"do": "abort"})
            await crawling
            assert crawl.facts()["finish_reason"] == "shutdown"

    def begin(self, address: str, settings: dict[str, Any]) -> tuple[Crawl, Deferred[Any]]:
        """Begin a crawl in this process, as far as its engine, which does not run yet."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            self.addCleanup(each.close)
        order = {"items": str(Path(folder.name, "items.jl")), "fields": [], "field_prefix": "fields"}
        crawl = Crawl(order, Reports(theirs))
        crawler = crawl._crawler = IsolatedCrawler(Visitor, Settings({"LOG_ENABLED": False, **settings}))
        crawler.items = crawl._items
        crawl._connect(crawler)
        return crawl, crawler.crawl(address=address)
