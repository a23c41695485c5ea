"""What a module may not start when an isolated run imports it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from scrapy import Spider
from scrapy.crawler import AsyncCrawlerRunner, CrawlerProcess, CrawlerRunner
from twisted.internet import reactor

from reactorhub.engine.isolated.child.private.imports import _ending_only, no_crawls


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


def test_an_import_may_await_what_ends() -> None:
    """``run_until_complete()`` works at the top of a module, as under ``scrapy crawl``."""
    loop: Any = reactor._asyncioEventloop  # type: ignore[attr-defined]

    class Idle:
        """Stands for a loop that does not run: that of the tests does."""

        def run_forever(self) -> str:
            return "ran"

        def run_until_complete(self, future: str) -> str:
            return f"{self.run_forever()} to {future}"

    idle = Idle()
    until_complete, forever = _ending_only(idle)
    idle.run_until_complete, idle.run_forever = until_complete, forever  # type: ignore[method-assign]
    assert idle.run_until_complete("its end") == "ran to its end"
    with pytest.raises(ImportError, match="run_forever"):
        idle.run_forever()
    before = dict(vars(loop))
    with no_crawls(), no_crawls():
        assert vars(loop) != before
    assert vars(loop) == before
