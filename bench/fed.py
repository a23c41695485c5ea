"""Runs one spider that Redis feeds, or the same spider with its URLs at hand, and says what it cost.

``python -m bench.fed KIND REDIS_URL COUNT SITE`` crawls until it is told to end. ``KIND`` is ``reactorhub``,
``scrapy-redis`` or ``bare``. If ``SITE`` is ``canned``, each page comes from memory, without a connection.
When ``COUNT`` items are there, it prints a line of JSON: the wall-clock second of the first and of the last
item, and the CPU seconds of this process from the first to the last.
"""

# mypy: allow-untyped-calls, allow-subclassing-any

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.exceptions import DontCloseSpider
from scrapy.http import Response, TextResponse

CANNED = "canned"
BATCH = 32  # requests that are open at a time: as many as the other ways have
KEY = "fed:start_urls"
BASES = {
    "reactorhub": ("reactorhub.spiderkit", "RedisSpider"),
    "scrapy-redis": ("scrapy_redis.spiders", "RedisSpider"),
    "bare": ("scrapy", "Spider"),
}
SETTINGS = {
    "CONCURRENT_REQUESTS": 16,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    "DOWNLOAD_DELAY": 0,
    "ROBOTSTXT_OBEY": False,
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "LOG_LEVEL": "ERROR",
}


def spider_class(kind: str, site: str, count: int) -> type[Spider]:
    """Return the spider: it counts its items and says when all are there."""
    module, name = BASES[kind]
    base: Any = getattr(import_module(module), name)

    class Fed(base):  # type: ignore[misc]  # the base is chosen at run time
        name = "fed"
        redis_key = KEY
        items = 0
        began = (0.0, 0.0)

        def parse(self, response: Any) -> Iterator[Any]:
            self.items += 1
            if self.items == 1:
                self.began = (time.time(), time.process_time())
            if self.items == count:
                wall, cpu = self.began
                said = {"first": wall, "last": time.time(), "cpu": time.process_time() - cpu}
                print(json.dumps(said), flush=True)
            yield {"url": response.url}

    class Bare(Fed):
        sent = 0

        @classmethod
        def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Bare:
            spider = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(spider.send_more, signal=signals.spider_idle)
            return spider  # type: ignore[no-any-return]  # the base is chosen at run time

        def send_more(self) -> None:
            first, self.sent = self.sent, min(self.sent + BATCH, count)
            for number in range(first, self.sent):
                self.crawler.engine.crawl(Request(f"{site}/one/{number}.html", dont_filter=True))
            raise DontCloseSpider

    return Bare if kind == "bare" else Fed


class Canned:
    """Answers every download at once, so that little but Scrapy and the feed is measured."""

    lazy = False

    async def download_request(self, request: Request) -> Response:
        """Return a page."""
        return TextResponse(request.url, body=b"<html>page</html>", encoding="utf-8", request=request)

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def main(kind: str, redis: str, count: str, site: str) -> None:
    """Crawl until told to end."""
    settings: dict[str, Any] = {**SETTINGS, "REDIS_URL": redis}
    if site == CANNED:
        site = "http://canned"
        settings["DOWNLOAD_HANDLERS"] = {"http": Canned}
    process = AsyncCrawlerProcess(settings)
    process.crawl(spider_class(kind, site, int(count)))
    process.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
