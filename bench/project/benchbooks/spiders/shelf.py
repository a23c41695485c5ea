"""A long crawl: the whole catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy


class ShelfSpider(scrapy.Spider):
    """Walks the catalogue of ``shop`` page by page and brings home every book. It has no use for ``n``."""

    name = "shelf"

    def __init__(self, shop: str, n: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.page = f"{shop}/catalogue/page-1.html"

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(self.page)

    def parse(self, response: Any) -> Iterator[Any]:
        """Follow the books on a page of the catalogue, then the link to the next page."""
        yield from response.follow_all(css="article.book .title a", callback=self.parse_book)
        yield from response.follow_all(css=".pager a.next")

    def parse_book(self, response: Any) -> Iterator[dict[str, Any]]:
        """Read a book's page."""
        book = response.css("article.book")
        yield {
            "id": book.attrib["data-id"],
            "title": response.css("h1.title::text").get(),
            "author": book.css(".author::text").get(),
            "category": book.css(".category a::text").get(),
            "price": book.css(".price::text").get(),
            "stock": book.css(".stock::text").re_first(r"\d+"),
            "rating": book.css(".rating").attrib["data-stars"],
            "description": book.css(".description::text").get(),
            "url": response.url,
        }
