"""The bookshop to practise on, visited through a real Site in memory."""

from __future__ import annotations

import re
from functools import cache
from http.client import HTTPResponse, IncompleteRead
from io import BytesIO
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsel import Selector
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site

from reactorhub.demo_site import BOOKS, BOOKS_PER_PAGE, CATEGORIES, NUMBER_OF_BOOKS, SLOWEST, bookshop, slug


class Visitor:
    """One client on one connection to a bookshop of its own clock; the request is sent at once."""

    def __init__(self, path: str, *, host: str = "shop.test:6801", method: str = "GET") -> None:
        self.clock, site = shop()
        self.transport = StringTransport()
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        self.channel.dataReceived(head.encode("latin-1"))
        self.method = method

    def leave(self) -> None:
        """Close the connection, as a client does that has read its answer or lost patience."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    def answer(self) -> HTTPResponse:
        """Parse what has arrived so far."""
        response = HTTPResponse(self, method=self.method)  # type: ignore[arg-type]
        response.begin()
        return response

    def makefile(self, _mode: str) -> BytesIO:
        """Be a socket to :class:`http.client.HTTPResponse`."""
        return BytesIO(self.transport.value())


@cache
def shop() -> tuple[Clock, Site]:
    clock = Clock()
    return clock, Site(bookshop(clock), reactor=clock)


@pytest.fixture(autouse=True)
def own_shop() -> None:
    """Give each test a shop whose clock holds nothing of the tests before."""
    shop.cache_clear()


def visit(path: str, **how: str) -> tuple[HTTPResponse, bytes]:
    """Return the answer to a request and its body, once nothing is left of the connection."""
    visitor = Visitor(path, **how)
    answer = visitor.answer()
    visitor.leave()
    assert visitor.clock.getDelayedCalls() == []
    return answer, answer.read()


def page(path: str) -> Selector:
    """Return a page that is expected to be there."""
    answer, body = visit(path)
    assert answer.status == 200, path
    return Selector(body.decode())


def walk(path: str) -> list[Selector]:
    """Return a page and all that its next links lead to."""
    pages = [page(path)]
    while following := pages[-1].css(".pager a.next::attr(href)").get():
        pages.append(page(following))
    return pages


def book_links(pages: list[Selector]) -> list[str]:
    return [link for each in pages for link in each.css("article.book .title a::attr(href)").getall()]


def test_the_stock_is_the_same_on_every_machine() -> None:
    """The first of the invented books stands for all that follow from the same seed."""
    first = BOOKS[0]
    assert (first.title, first.author, first.price) == ("My Quiet Postman", "Ada Grünwald", "€6.88")


def test_two_shops_show_the_same_pages() -> None:
    """A page does not depend on when its site was built."""
    before = visit("/catalogue/page-7.html")[1]
    shop.cache_clear()
    assert visit("/catalogue/page-7.html")[1] == before


def test_the_stock_is_plausible() -> None:
    """There are 500 different books with sane prices, and some of them are sold out."""
    assert [book.id for book in BOOKS] == list(range(1, NUMBER_OF_BOOKS + 1))
    assert len({book.title for book in BOOKS}) == NUMBER_OF_BOOKS == 500
    assert all(399 <= book.cents < 4999 and 1 <= book.rating <= 5 for book in BOOKS)
    assert 0 < sum(book.stock == 0 for book in BOOKS) < 100


def test_slugs_are_distinct_and_safe_in_addresses() -> None:
    """A category's slug needs no quoting."""
    slugs = [slug(name) for name in CATEGORIES]
    assert len(set(slugs)) == len(CATEGORIES) == 12
    assert all(re.fullmatch("[a-z-]+", each) for each in slugs)


def test_the_catalogue_shows_every_book_once() -> None:
    """Next links lead through 25 pages of 20 books each and then end."""
    pages = walk("/catalogue/page-1.html")
    assert [len(each.css("article.book")) for each in pages] == [BOOKS_PER_PAGE] * 25
    assert book_links(pages) == [book.path for book in BOOKS]


@pytest.mark.parametrize("name", CATEGORIES)
def test_a_category_shows_its_books(name: str) -> None:
    """Each category goes over several pages and holds its own books only."""
    pages = walk(f"/category/{slug(name)}/page-1.html")
    assert len(pages) > 1
    assert {each.css("h1::text").get() for each in pages} == {name}
    assert book_links(pages) == [book.path for book in BOOKS if book.category == name]


def test_a_book_page_says_what_the_book_is() -> None:
    """Every field reads back exactly, whatever characters it holds."""
    for book in BOOKS:
        shown = page(book.path)
        texts = {name: shown.css(f"article.book .{name}::text").get() for name in ("author", "description")}
        assert texts == {"author": book.author, "description": book.description}
        assert shown.css("h1.title::text").get() == book.title
        assert shown.css(".price::text").get() == book.price
        assert shown.css(".category a::text").get() == book.category
        assert shown.css(".stock::text").get() == (f"In stock ({book.stock})" if book.stock else "Sold out")
        assert shown.css(".rating::attr(data-stars)").get() == str(book.rating)


def test_some_books_need_escaping() -> None:
    """The stock holds the characters on which careless pages and spiders stumble."""
    texts = "".join(book.title + book.author + book.description for book in BOOKS)
    assert all(character in texts for character in "<>&'\"ö")


def test_home_leads_everywhere() -> None:
    """The home page links the catalogue, the sitemap and all categories, and each link works."""
    home = page("/")
    links = home.css("nav.categories a::attr(href), main > ul a::attr(href)").getall()
    assert len(links) == len(CATEGORIES) + 2
    assert {visit(link)[0].status for link in links} == {200}
    assert "/private/" in home.css(".odd a::attr(href)").getall()


def test_robots_txt_names_the_sitemap_where_the_client_sees_it() -> None:
    """One folder is disallowed; the sitemap's address uses the request's Host."""
    answer, body = visit("/robots.txt", host="books.example:8080")
    assert answer.headers.get_content_type() == "text/plain"
    assert b"Disallow: /private/\n" in body
    assert b"Sitemap: http://books.example:8080/sitemap.xml\n" in body
    assert visit("/private/")[0].status == 200


def sitemap(host: str) -> list[str]:
    answer, body = visit("/sitemap.xml", host=host)
    assert answer.headers.get_content_type() == "application/xml"
    return [element.text or "" for element in ElementTree.fromstring(body).findall(".//{*}loc")]


def test_the_sitemap_lists_every_book() -> None:
    """Its addresses are absolute and lead to the books."""
    assert sitemap("shop.test:6801") == [f"http://shop.test:6801{book.path}" for book in BOOKS]


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_no_host_breaks_the_sitemap(host: str) -> None:
    """Whatever a client claims as Host, the sitemap says it back well-formed, or the request is bad."""
    answer, _body = visit("/sitemap.xml", host=host)
    if answer.status != 400:
        assert sitemap(host)[0] == f"http://{host}/book/1.html"


@pytest.mark.parametrize(
    ("name", "seconds"), [("0", 0), ("2", 2), ("1.5", 1.5), ("601", 600), ("999999999", 600)]
)
def test_a_slow_page_takes_its_time(name: str, seconds: float) -> None:
    """It answers after the seconds asked for, and not before; ten minutes are the most."""
    visitor = Visitor(f"/slow/{name}")
    visitor.clock.advance(max(0, seconds - 0.01))
    assert (visitor.transport.value() == b"") == (seconds > 0)
    visitor.clock.advance(0.02)
    assert Selector(visitor.answer().read().decode()).css(".waited")
    visitor.leave()
    assert visitor.clock.getDelayedCalls() == []
    assert seconds <= SLOWEST


def test_a_slow_page_forgets_a_client_that_left() -> None:
    """Whoever hangs up early leaves no delayed call behind."""
    visitor = Visitor("/slow/600")
    visitor.leave()
    assert visitor.clock.getDelayedCalls() == []
    assert visitor.transport.value() == b""


@pytest.mark.parametrize(
    "path",
    [
        *("/slow/", "/slow/soon", "/slow/-1", "/slow/nan", "/slow/inf", "/slow/1e3", "/slow/%D9%A1"),
        *("/redirect/", "/redirect/0", "/redirect/100", "/redirect/x", "/one/", "/one/x.html", "/one/7"),
        *("/book/0.html", "/book/501.html", "/category/cooking/page-0.html", "/catalogue/page-26.html"),
        *("/broken/404", "/book/", "/nothing", "/category/nothing/page-1.html"),
    ],
)
def test_what_is_not_there_is_not_found(path: str) -> None:
    """Addresses beside the rules answer 404 at once."""
    assert visit(path)[0].status == 404


def test_the_broken_page_is_an_error() -> None:
    """/broken/500 answers with that status."""
    assert visit("/broken/500")[0].status == 500


@pytest.mark.parametrize(("path", "aborted"), [("/broken/truncated", False), ("/broken/reset", True)])
def test_a_page_breaks_off_in_the_middle(path: str, aborted: bool) -> None:
    """More bytes are promised than come; then the connection is closed, or reset."""
    visitor = Visitor(path)
    with pytest.raises(IncompleteRead) as cut:
        visitor.answer().read()
    assert cut.value.partial.startswith(b"<!doctype html>")
    assert cut.value.expected > 500
    assert not visitor.transport.disconnecting
    visitor.clock.advance(1)
    assert visitor.transport.disconnecting
    assert visitor.transport.disconnected == aborted
    visitor.leave()
    assert visitor.clock.getDelayedCalls() == []


@pytest.mark.parametrize("hops", [1, 2, 3, 20, 99])
def test_redirects_lead_to_a_book(hops: int) -> None:
    """/redirect/<n> takes exactly n hops."""
    path, taken = f"/redirect/{hops}", 0
    while (answer := visit(path)[0]).status == 302:
        path, taken = answer.headers["Location"], taken + 1
    assert (taken, path, answer.status) == (hops, BOOKS[0].path, 200)


def test_the_loop_never_ends() -> None:
    """/redirect/loop leads to itself."""
    answer, _body = visit("/redirect/loop")
    assert (answer.status, answer.headers["Location"]) == (302, "/redirect/loop")


@pytest.mark.parametrize(("number", "book"), [(1, 1), (500, 500), (501, 1), (0, 500), (300_000_002, 2)])
def test_a_single_page_holds_one_book(number: int, book: int) -> None:
    """Any number has its page, the books take turns, and no page is bigger than it must be."""
    answer, body = visit(f"/one/{number}.html")
    assert Selector(body.decode()).css("article.book .title a::attr(href)").getall() == [f"/book/{book}.html"]
    assert answer.status == 200
    assert len(body) < 400


@pytest.mark.parametrize("path", ["/", "/book/3.html", "/sitemap.xml"])
def test_head_answers_without_a_body(path: str) -> None:
    """HEAD tells the length that GET would have."""
    answer, body = visit(path, method="HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(visit(path)[1])


def test_the_shop_is_read_only() -> None:
    """POST is refused with 405."""
    assert visit("/book/3.html", method="POST")[0].status == 405
