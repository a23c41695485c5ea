"""What the spiders bring home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Book:
    """A book as its own page describes it. ``price`` is in euros, ``stock`` is 0 when it is sold out."""

    id: int
    title: str
    author: str
    category: str
    price: float
    stock: int
    rating: int
    description: str
    url: str

    @classmethod
    def from_page(cls, response: Any) -> Book:
        """Read a book's page."""
        book = response.css("article.book")
        return cls(
            id=int(book.attrib["data-id"]),
            title=response.css("h1.title::text").get(default=""),
            author=book.css(".author::text").get(default=""),
            category=book.css(".category a::text").get(default=""),
            price=price(book),
            stock=int(book.css(".stock::text").re_first(r"\d+", default="0")),
            rating=int(book.css(".rating").attrib["data-stars"]),
            description=book.css(".description::text").get(default=""),
            url=response.url,
        )


@dataclass
class Category:
    """A category with its number of books and their average price in euros."""

    name: str
    books: int
    average_price: float
    url: str


@dataclass
class Offer:
    """Today's price of a book in euros, and whether it is low enough to buy now."""

    id: int
    title: str
    price: float
    bargain: bool
    url: str


@dataclass
class Visit:
    """A page that was reached: what was asked for, where that led, how long it took in seconds."""

    asked: str
    url: str
    status: int
    redirects: int
    complete: bool
    seconds: float


def price(part: Any) -> float:
    """Return the price that stands in a book's page or card; 0 if none is legible."""
    return float(part.css(".price::text").re_first(r"\d+\.\d\d", default="0"))
