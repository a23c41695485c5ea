"""Crawls that keep a processor busy: they parse a documentation site, or yield links without end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy


class ManualSpider(scrapy.Spider):
    """Reads each page of ``site`` from page ``n`` on and follows all its links.

    The stat ``longest_step`` is the longest time in seconds between two values that its callback yields.
    """

    name = "manual"

    def __init__(self, site: str, n: str = "0", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.page = f"{site}/page/{n}.html"

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(self.page)

    def parse(self, response: Any) -> Iterator[Any]:
        """Bring home what a page is about and follow its links."""
        began = time.perf_counter()
        item = {
            "title": response.css("h1::text").get(),
            "sections": response.css("section h2::text").getall(),
            "signatures": response.css(".signature code::text").getall(),
            "words": len(" ".join(response.css("p ::text").getall()).split()),
        }
        self._step(began)
        yield item
        began = time.perf_counter()
        for request in response.follow_all(css="a.internal"):
            self._step(began)
            yield request
            began = time.perf_counter()

    def _step(self, began: float) -> None:
        self.crawler.stats.max_value("longest_step", time.perf_counter() - began)


class FloodSpider(scrapy.Spider):
    """Yields 50,000 links from each page of ``site``."""

    name = "flood"

    def __init__(self, site: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.site = site

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(f"{self.site}/small/0.html")

    def parse(self, response: Any) -> Iterator[Any]:
        """Follow 50,000 links."""
        first = hash(response.url) % 10**9 * 10**6
        for number in range(first, first + 50_000):
            yield scrapy.Request(f"{self.site}/small/{number}.html")
