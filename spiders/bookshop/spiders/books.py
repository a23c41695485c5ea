"""Crawls the whole catalogue, book by book."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy
from scrapy.http import TextResponse

from bookshop.items import Book
from bookshop.shop import ADDRESS


class BooksSpider(scrapy.Spider):
    """Reads every book of the catalogue, page by page.

    ``shop`` is the shop's address. ``category`` limits the crawl to one category, such as
    ``science-fiction``. ``max_pages`` is the highest number of catalogue pages.
    """

    name = "books"

    def __init__(
        self,
        shop: str = ADDRESS,
        category: str | None = None,
        max_pages: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        folder = f"category/{category}" if category else "catalogue"
        self.first_page = f"{shop.rstrip('/')}/{folder}/page-1.html"
        self.pages_left = _count(max_pages) if max_pages else None

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(self.first_page)

    def parse(self, response: TextResponse) -> Iterator[Any]:
        """Follow the books on a page of the catalogue, and the link to the next page."""
        yield from response.follow_all(css="article.book .title a", callback=self.parse_book)
        if self.pages_left is not None:
            self.pages_left -= 1
        if self.pages_left is None or self.pages_left > 0:
            yield from response.follow_all(css=".pager a.next")

    def parse_book(self, response: TextResponse) -> Iterator[Book]:
        """Read a book's page."""
        yield Book.from_page(response)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"max_pages must be a whole number from 1, not {text!r}")
    return int(text)
