"""The shortest crawl there is: one page, one item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy


class OneSpider(scrapy.Spider):
    """Fetches page ``n`` of ``shop``, which has one book on it."""

    name = "one"

    def __init__(self, shop: str, n: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.page = f"{shop}/one/{n}.html"

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(self.page)

    def parse(self, response: Any) -> Iterator[dict[str, Any]]:
        """Read the book."""
        book = response.css("article.book")
        yield {
            "title": book.css(".title a::text").get(),
            "author": book.css(".author::text").get(),
            "price": book.css(".price::text").get(),
            "url": response.url,
        }
