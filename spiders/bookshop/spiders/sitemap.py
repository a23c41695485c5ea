"""Checks prices, by the sitemap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scrapy.http import Response
from scrapy.spiders import SitemapSpider

from bookshop.items import Book, Offer
from bookshop.shop import ADDRESS


class SitemapPricesSpider(SitemapSpider):
    """Checks the price of every book in the shop's sitemap.

    ``shop`` is the shop's address. A book in stock is a bargain if it costs less than ``bargain`` euros.
    """

    name = "sitemap"
    sitemap_rules = (("/book/", "parse_book"),)

    def __init__(self, shop: str = ADDRESS, bargain: str = "10", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sitemap_urls = [f"{shop.rstrip('/')}/robots.txt"]
        self.bargain = float(bargain)

    def parse_book(self, response: Response) -> Iterator[Offer]:
        """Compare a book's price with the limit for a bargain."""
        book = Book.from_page(response)
        cheap = book.stock > 0 and book.price < self.bargain
        yield Offer(id=book.id, title=book.title, price=book.price, bargain=cheap, url=book.url)
