"""Summarizes each category of the shop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from statistics import fmean
from typing import Any

import scrapy
from scrapy.http import TextResponse

from bookshop.items import Category, price
from bookshop.shop import ADDRESS


class CategoriesSpider(scrapy.Spider):
    """Counts the books of each category and their average price. ``shop`` is the shop's address."""

    name = "categories"

    def __init__(self, shop: str = ADDRESS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shop = shop.rstrip("/")

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(f"{self.shop}/")

    def parse(self, response: TextResponse) -> Iterator[Any]:
        """Follow the links to the categories."""
        yield from response.follow_all(
            css="nav.categories a", callback=self.parse_shelf, cb_kwargs={"earlier": ()}
        )

    def parse_shelf(self, response: TextResponse, earlier: tuple[float, ...]) -> Iterator[Any]:
        """Collect the prices on one page of a category. The last page of the category yields the item."""
        prices = (*earlier, *(price(card) for card in response.css("article.book")))
        following = response.css(".pager a.next")
        if following:
            yield response.follow(following[0], self.parse_shelf, cb_kwargs={"earlier": prices})
            return
        yield Category(
            name=response.css("h1.title::text").get(default=""),
            books=len(prices),
            average_price=round(fmean(prices), 2),
            url=response.url,
        )
