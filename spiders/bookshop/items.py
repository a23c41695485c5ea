"""The items that the spiders yield."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Book:
    """A book as its page describes it. ``price`` is in euros. ``stock`` is 0 if the book is sold out."""

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
    """The present price of a book in euros, and whether the price is a bargain."""

    id: int
    title: str
    price: float
    bargain: bool
    url: str


@dataclass
class Visit:
    """A page that the spider got: the address it asked for, where that led, and the time in seconds."""

    asked: str
    url: str
    status: int
    redirects: int
    complete: bool
    seconds: float


def price(part: Any) -> float:
    """Return the price on a book's page or card, or 0 if no price can be read."""
    return float(part.css(".price::text").re_first(r"\d+\.\d\d", default="0"))
