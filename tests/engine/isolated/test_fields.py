"""Counting the fields of items: what is there, what is empty, and that no item does any harm."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import attrs
import pytest
import scrapy
from pydantic import BaseModel
from scrapy.crawler import Crawler
from scrapy.utils.test import get_crawler

from reactorhub.engine.isolated.child.fields import FieldCounter, found, is_empty
from reactorhub.policies.expectations import FIELD_COUNT


class Classic(scrapy.Item):
    """An Item of Scrapy's own."""

    price = scrapy.Field()
    offers = scrapy.Field()


@dataclass
class Data:
    """A dataclass."""

    price: Any = None
    offers: Any = None


@attrs.define
class Attrs:
    """An attrs class."""

    price: Any = None
    offers: Any = None


class Pydantic(BaseModel):
    """A pydantic model."""

    price: Any = None
    offers: Any = None


class Plain:
    """What is not an item at all."""

    price = 3


KINDS = (dict, Classic, Data, Attrs, Pydantic)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop of its own. (asyncio.run would take the thread's own loop away from it.)"""
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(coroutine)


def counted(crawler: Crawler) -> dict[str, int]:
    """The fields that a crawl has counted."""
    stats = crawler.stats.get_stats()
    return {name.removeprefix(FIELD_COUNT): n for name, n in stats.items() if name.startswith(FIELD_COUNT)}


async def scraped(crawler: Crawler, *items: object) -> None:
    """Let a crawl scrape these items, as far as its signals go."""
    await crawler.signals.send_catch_log_async(scrapy.signals.spider_opened, spider=None)
    for item in items:
        await crawler.signals.send_catch_log_async(
            scrapy.signals.item_scraped, item=item, response=None, spider=None
        )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_item(kind: Any) -> None:
    """A field is found in whatever Scrapy takes for an item, and on the path into another one."""
    item = kind(price=3, offers={"price": 4, "deep": {"er": 5}, "list": [{"price": 1}]})
    names = ("price", "offers.price", "offers.deep.er", "offers.none", "none", "price.x", "offers.list.price")
    assert [found(item, name) for name in names] == [3, 4, 5, None, None, None, None]
    assert [found(kind(offers=inner(price=6)), "offers.price") for inner in KINDS] == [6] * len(KINDS)
    assert found(kind(), "price") is None


def test_a_name_with_a_dot() -> None:
    """A field whose own name has a dot is found under that name."""
    assert found({"og.title": 1, "og": {"title": 2}}, "og.title") == 1
    assert found({"a": MappingProxyType({"b.c": 3})}, "a.b.c") == 3


@pytest.mark.parametrize("item", [None, 3, "price", [1], Plain()])
def test_what_is_no_item(item: object) -> None:
    """A pipeline may return anything; it has no field."""
    assert found(item, "price") is found(item, "price.x") is None


@pytest.mark.parametrize("value", [None, "", b"", [], {}, (), frozenset(), deque(), MappingProxyType({})])
def test_empty(value: object) -> None:
    """Nothing, and what has nothing in it, is empty."""
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, 0.0, False, " ", "0", [None], {"a": None}, Plain()])
def test_not_empty(value: object) -> None:
    """Zero and false say something."""
    assert not is_empty(value)


def test_counting() -> None:
    """Each field is counted in the crawl's own stats, from zero on; other fields are not."""
    crawler = get_crawler()
    counter = FieldCounter(crawler, ("price", "offers.price", "none"), FIELD_COUNT)
    run(scraped(crawler))
    assert counted(crawler) == {"price": 0, "offers.price": 0, "none": 0}
    run(scraped(crawler, {"price": 1, "x": 1}, Data(price=0, offers={"price": ""}), {"price": ""}))
    assert counted(crawler) == {"price": 2, "offers.price": 0, "none": 0}
    del counter


def test_nothing_to_count() -> None:
    """A crawl whose fields nobody asks for has no handler for its items."""
    crawler = get_crawler()
    counter = FieldCounter(crawler, (), FIELD_COUNT)
    run(scraped(crawler, {"price": 1}))
    assert counted(crawler) == {}
    del counter


class Strange(dict[str, Any]):
    """An item that raises when it is looked at."""

    error: type[BaseException] = ValueError

    def __getitem__(self, key: str) -> Any:
        raise self.error("no")


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_strange_item_harms_nothing(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    """It counts as one without the field, the next one counts, and the run's log says so once."""
    crawler = get_crawler()
    counter = FieldCounter(crawler, ("price",), FIELD_COUNT)
    odd = type("Odd", (Strange,), {"error": error})
    run(scraped(crawler, odd(price=1), odd(price=1), {"price": 1}))
    assert counted(crawler) == {"price": 1}
    said = f"an item raised {error.__name__} when it was read; it counts as one without price"
    assert [record.getMessage() for record in caplog.records if record.name == "reactorhub.fields"] == [said]
    del counter
