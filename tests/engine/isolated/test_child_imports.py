"""What a module may not start when an isolated run imports it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from scrapy import Spider
from scrapy.crawler import AsyncCrawlerRunner, CrawlerProcess, CrawlerRunner
from twisted.internet import reactor

from reactorhub.engine.isolated.child.private.imports import no_crawls


def run_reactor() -> None:
    """Run the reactor, as scripts do."""
    reactor.run()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("CrawlerRunner.crawl()", lambda: CrawlerRunner().crawl(Spider)),
        ("AsyncCrawlerRunner.crawl()", lambda: AsyncCrawlerRunner().crawl(Spider)),
        ("CrawlerProcess.start()", lambda: CrawlerProcess.start(object.__new__(CrawlerProcess))),
        ("reactor.run()", run_reactor),
        ("loop.run_forever()", lambda: asyncio.get_event_loop().run_forever()),
    ],
)
def test_an_import_starts_nothing(name: str, start: Callable[[], Any]) -> None:
    """It raises an error that says what to change; afterwards all is as before."""
    before = CrawlerRunner.crawl, CrawlerProcess.start, reactor.run  # type: ignore[attr-defined]
    with no_crawls(), pytest.raises(ImportError) as caught:
        start()
    assert str(caught.value).startswith(
        f"this module calls {name} when it is imported; put the call below `if"
    )
    assert before == (CrawlerRunner.crawl, CrawlerProcess.start, reactor.run)  # type: ignore[attr-defined]
