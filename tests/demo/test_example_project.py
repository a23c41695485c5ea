"""The example project: its spiders on the bookshop, in memory and as ``scrapy crawl`` runs them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import DropItem
from scrapy.http import Headers
from scrapy.responsetypes import responsetypes
from scrapy.spiderloader import SpiderLoader
from scrapy.utils.project import get_project_settings
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.utils import getProcessOutputAndValue
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from reactorhub.config.reading import read_config
from reactorhub.demo_site import ADDRESS_VARIABLE, BOOKS, CATEGORIES, bookshop, slug
from tests.demo.test_demo_site import visit

PROJECT = Path(__file__).parents[2] / "spiders"


@pytest.fixture
def spiders(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpiderLoader]:
    """The project's spiders, importable while the test lasts."""
    monkeypatch.syspath_prepend(str(PROJECT))
    monkeypatch.setenv("SCRAPY_SETTINGS_MODULE", "bookshop.settings")
    yield SpiderLoader.from_settings(get_project_settings())
    for name in [name for name in sys.modules if name.partition(".")[0] == "bookshop"]:
        del sys.modules[name]


def gathered(spider: Any) -> list[Any]:
    """Return the items of a whole crawl that asks one page after the other, without reactor or network."""
    waiting: list[Request] = []
    items: list[Any] = []

    async def start() -> None:
        waiting.extend([request async for request in spider.start()])

    Deferred.fromCoroutine(start())
    while waiting:
        request = waiting.pop(0)
        for result in (request.callback or spider.parse)(downloaded(request), **request.cb_kwargs):
            (waiting if isinstance(result, Request) else items).append(result)
    return items


def downloaded(request: Request) -> Any:
    path = request.url.removeprefix("http://shop.test:6801")
    answer, body = visit(path)
    headers = Headers(dict(answer.headers))
    kind = responsetypes.from_args(headers=headers, url=request.url)
    return kind(request.url, status=answer.status, body=body, request=request, headers=headers)


def test_the_project_has_four_documented_spiders(spiders: SpiderLoader) -> None:
    """Each spider says what it does and which arguments it takes."""
    names = sorted(spiders.list())
    assert names == ["books", "categories", "sitemap", "troublemaker"]
    assert all("``shop``" in spiders.load(name).__doc__ for name in names)


def test_books_reads_every_field(spiders: SpiderLoader) -> None:
    """The spider brings home the shelf as it is."""
    items = gathered(spiders.load("books")(shop="http://shop.test:6801/"))
    found = {
        (item.id, item.title, item.author, item.category, item.stock, item.rating, item.description)
        for item in items
    }
    assert found == {
        (book.id, book.title, book.author, book.category, book.stock, book.rating, book.description)
        for book in BOOKS
    }
    assert {item.id: f"€{item.price:.2f}" for item in items} == {book.id: book.price for book in BOOKS}


def test_books_keeps_to_its_category(spiders: SpiderLoader) -> None:
    """With ``category`` the spider walks that category only."""
    items = gathered(spiders.load("books")(shop="http://shop.test:6801", category="science-and-nature"))
    assert [item.id for item in items] == [book.id for book in BOOKS if book.category == "Science & Nature"]


@pytest.mark.parametrize(("pages", "books"), [("1", 20), ("3", 60), ("99", 500)])
def test_books_stops_after_max_pages(spiders: SpiderLoader, pages: str, books: int) -> None:
    """``max_pages`` counts pages of the catalogue; it may be more than there are."""
    assert len(gathered(spiders.load("books")(shop="http://shop.test:6801", max_pages=pages))) == books


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_books_refuses_a_wrong_max_pages(spiders: SpiderLoader, wrong: str) -> None:
    """The mistake is named, with the argument and the value."""
    with pytest.raises(ValueError, match=rf"max_pages must be a whole number from 1, not '{wrong}'"):
        spiders.load("books")(max_pages=wrong)


def test_categories_adds_up(spiders: SpiderLoader) -> None:
    """There is one item for each category, with its number of books and their average price."""
    items = gathered(spiders.load("categories")(shop="http://shop.test:6801"))
    assert {item.name for item in items} == set(CATEGORIES)
    for item in items:
        cents = [book.cents for book in BOOKS if book.category == item.name]
        assert item.books == len(cents)
        assert item.average_price == pytest.approx(fmean(cents) / 100, abs=0.006)
        assert f"/category/{slug(item.name)}/" in item.url


def test_sitemap_prices_every_book(spiders: SpiderLoader) -> None:
    """The sitemap leads to all books; what is cheap and in stock is a bargain."""
    items = gathered(spiders.load("sitemap")(shop="http://shop.test:6801", bargain="12.50"))
    assert {item.id for item in items} == {book.id for book in BOOKS}
    bargains = {book.id for book in BOOKS if book.cents < 1250 and book.stock}
    assert {item.id for item in items if item.bargain} == bargains != set()


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("http://127.0.0.1:7001", "http://127.0.0.1:7001"),
        ("", "http://127.0.0.1:6801"),
        (None, "http://127.0.0.1:6801"),
    ],
    ids=["set", "empty", "unset"],
)
def test_the_spiders_follow_the_shop(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, variable: str | None, address: str
) -> None:
    """Without the argument ``shop`` every spider goes where the hub says that the shop is, else to its usual
    address."""
    if variable is None:
        monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(ADDRESS_VARIABLE, variable)
    loader: SpiderLoader = request.getfixturevalue("spiders")  # imports the spiders, so after the variable
    assert loader.load("books")().first_page == f"{address}/catalogue/page-1.html"
    assert loader.load("sitemap")().sitemap_urls == [f"{address}/robots.txt"]
    assert {loader.load(name)().shop for name in ("categories", "troublemaker")} == {address}


def test_the_usual_address_is_that_of_the_shipped_file() -> None:
    """Where the spiders look for the shop by themselves is where the shipped schedule file has it served."""
    shipped = read_config(PROJECT.parent / "schedule.yaml", {}, {})
    assert shipped.demo_site == "tcp:6801:interface=127.0.0.1"
    assert all("shop" not in schedule.spec.args for schedule in shipped.schedules.values())


@pytest.mark.parametrize(
    ("price", "kept"), [(0.01, True), (1000.0, True), (0.0, False), (-1, False), (1001, False)]
)
def test_the_pipeline_drops_impossible_prices(spiders: SpiderLoader, price: float, kept: bool) -> None:
    """A price of nothing, or far too much, means that a page was read wrongly."""
    from bookshop.pipelines import PriceCheck

    item = {"price": price, "url": "http://shop.test/book/1.html"}
    if kept:
        assert PriceCheck().process_item(item) is item
    else:
        with pytest.raises(DropItem, match=r"look at http://shop\.test/book/1\.html"):
            PriceCheck().process_item(item)


def test_the_pipeline_passes_items_without_a_price(spiders: SpiderLoader) -> None:
    """What has no price is not its business."""
    from bookshop.items import Category
    from bookshop.pipelines import PriceCheck

    category = Category(name="Poetry", books=2, average_price=3.5, url="http://shop.test/")
    assert PriceCheck().process_item(category) is category


def test_the_project_knows_nothing_of_the_hub() -> None:
    """It is an ordinary Scrapy project: none of its files imports the hub, and it sets no feeds."""
    files = [*PROJECT.rglob("*.py"), PROJECT / "scrapy.cfg"]
    assert len(files) >= 9
    text = "".join(file.read_text() for file in files)
    assert "reactorhub" not in text
    assert "FEEDS" not in text


class Door(WrappingFactory):
    """Knows when the last client has left."""

    def __init__(self, wrapped: Factory) -> None:
        super().__init__(wrapped)
        self.empty: Deferred[None] = Deferred()
        self.closing = False

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)
        self.close_if_empty()

    def close_if_empty(self) -> None:
        if self.closing and not self.protocols and not self.empty.called:
            self.empty.callback(None)


class CrawlTests(TestCase):
    """Real ``scrapy crawl`` processes on the bookshop, served on a free port of the loopback interface."""

    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = reactor
        self.door = Door(Site(bookshop(reactor), reactor=reactor))
        self.port = reactor.listenTCP(0, self.door, interface="127.0.0.1")

    async def tearDown(self) -> None:
        await self.port.stopListening()
        self.door.closing = True
        self.door.close_if_empty()
        await self.door.empty

    async def crawl(self, spider: str, **args: str) -> tuple[list[dict[str, Any]], str]:
        """Return the items and the log of a crawl that ended well."""
        shop = {"shop": f"http://127.0.0.1:{self.port.getHost().port}", **args}
        options = [part for name, value in shop.items() for part in ("-a", f"{name}={value}")]
        command = ["-m", "scrapy", "crawl", spider, *options, "-o", "-:jsonlines"]
        out, log, status = await getProcessOutputAndValue(
            sys.executable, command, env=os.environ, path=str(PROJECT), reactor=self.reactor
        )
        assert status == 0, log.decode()
        return [json.loads(line) for line in out.splitlines()], log.decode()

    async def test_books(self) -> None:
        """A plain ``scrapy crawl books`` brings home all 500 books and nothing goes wrong."""
        items, log = await self.crawl("books")
        assert sorted(item["id"] for item in items) == [book.id for book in BOOKS]
        assert "'item_scraped_count': 500" in log
        assert "ERROR" not in log
        assert "WARNING" not in log

    async def test_troublemaker(self) -> None:
        """The crawl survives every bad page: four pages come, one exception counts, the rest is told."""
        items, log = await self.crawl("troublemaker", slow="0.2")
        base = f"http://127.0.0.1:{self.port.getHost().port}"
        visits = {item["asked"].removeprefix(base): item for item in items}
        assert sorted(visits) == ["/broken/404", "/broken/truncated", "/redirect/3", "/slow/0.2"]
        assert visits["/redirect/3"]["redirects"] == 3
        assert visits["/redirect/3"]["url"] == f"{base}/book/1.html"
        assert visits["/broken/404"]["status"] == 404
        assert [path for path, item in visits.items() if not item["complete"]] == ["/broken/truncated"]
        assert visits["/slow/0.2"]["seconds"] >= 0.2
        assert "'log_count/ERROR': 1" in log
        assert "'spider_exceptions/ValueError': 1" in log
        for path in ("/slow/600", "/redirect/loop", "/private/", "/broken/reset"):
            assert f"no page from {base}{path}" in log
