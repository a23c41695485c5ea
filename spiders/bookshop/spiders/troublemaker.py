"""Visits pages that make trouble, as every crawl does sooner or later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import scrapy
from scrapy.http import Response

from bookshop.items import Visit
from bookshop.shop import ADDRESS


class TroublemakerSpider(scrapy.Spider):
    """Visits pages that are slow, broken, redirecting or forbidden, and yields the pages that it got.

    One callback fails on purpose, so the run ends with some items and one error. ``shop`` is the shop's
    address. ``slow`` is how many seconds the slow page takes.
    """

    name = "troublemaker"
    handle_httpstatus_list = (404, 500)
    # This spider gives up on broken pages by design. So only its one exception is logged as an error.
    custom_settings: ClassVar[dict[str, Any]] = {"RETRY_TIMES": 1, "RETRY_GIVE_UP_LOG_LEVEL": "WARNING"}

    def __init__(self, shop: str = ADDRESS, slow: str = "2", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shop = shop.rstrip("/")
        self.slow = slow

    async def start(self) -> AsyncIterator[Any]:
        # The home page first, alone: robots.txt has been read when it arrives.
        yield scrapy.Request(f"{self.shop}/", self.look_around)

    def look_around(self, response: Response) -> Iterator[scrapy.Request]:
        """Request all pages that make trouble, whether the shop links to them or not."""
        yield self.visit(f"/slow/{self.slow}")
        yield self.visit("/slow/600", download_timeout=1, dont_retry=True)
        yield self.visit("/redirect/3")
        yield self.visit("/redirect/loop")
        yield self.visit("/private/")
        for page in ("404", "500", "reset"):
            yield self.visit(f"/broken/{page}", self.parse_broken)
        yield self.visit("/broken/truncated", self.parse_broken, download_fail_on_dataloss=False)

    def visit(self, path: str, callback: Any = None, **meta: Any) -> scrapy.Request:
        """Return the request for a page. ``meta`` holds Scrapy's request meta keys."""
        address = self.shop + path
        return scrapy.Request(
            address,
            callback,
            meta=meta,
            cb_kwargs={"asked": address},
            errback=self.not_got,
            dont_filter=True,  # otherwise the duplicate filter would silently end the redirect loop
        )

    def parse(self, response: Response, asked: str) -> Iterator[Visit]:
        """Yield what became of a page that arrived."""
        yield Visit(
            asked=asked,
            url=response.url,
            status=response.status,
            redirects=response.meta.get("redirect_times", 0),
            complete="dataloss" not in response.flags,
            seconds=round(response.meta["download_latency"], 3),
        )

    def parse_broken(self, response: Response, asked: str) -> Iterator[Visit]:
        """Yield a broken page, and fail on the page with status 500.

        :raises ValueError: for a page of status 500.
        """
        if response.status == 500:
            raise ValueError(f"{response.url} answered with an error page, as it always does")
        yield from self.parse(response, asked)

    def not_got(self, failure: Any) -> None:
        """Log which page did not arrive, and why."""
        why = failure.getErrorMessage() or failure.type.__name__
        self.logger.warning("no page from %s: %s", failure.request.url, why)
