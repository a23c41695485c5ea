"""A bookshop to practise on: a small web site that is the same at every start and on every machine.

The shop has what spiders meet on real sites: :data:`BOOKS` on numbered pages with next links, categories,
a robots.txt with a disallowed folder, a sitemap, and pages that are slow, broken or redirect. Nothing in the
shop is real. The shop shares its process with the hub, so most pages are rendered once, at the start.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from typing import cast

from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import Data
from twisted.web.util import Redirect

ADDRESS_VARIABLE = "REACTORHUB_DEMO_SITE"
"""The environment variable in which a hub tells its spiders where it serves the bookshop."""

NUMBER_OF_BOOKS = 500
BOOKS_PER_PAGE = 20
SLOWEST = 600.0  # seconds; longer than any sensible download timeout
_HANG_UP_AFTER = 0.05  # seconds; enough for half a page to arrive on the same machine
_HTML = "text/html; charset=utf-8"
CATEGORIES = (
    *("Art & Design", "Children's Books", "Cooking", "Gardening", "History", "Music"),
    *("Mystery", "Philosophy", "Poetry", "Science & Nature", "Science Fiction", "Travel"),
)
_TITLES = ("The {0} {1}", "{0} {1} & Other Stories", "The {0} {1} in Winter", "My {0} {1}", "<{0}> {1}?")
_WORDS = """
Amber Borrowed Broken Copper Crooked Distant Drowsy Electric Faithful Forgotten Gentle Hollow Invisible
Lunar Modest Nameless Ordinary Paper Patient Quiet Restless Salted Silver Velvet Wandering /
Almanac Anchor Archive Bicycle Clockmaker Compass Ferry Garden Harbour Island Kettle Lantern Letter
Lighthouse Market Meridian Orchard Piano Postman Signal Staircase Telescope Tide Umbrella Window /
Ada Bruno Carla Dmitri Elif Farah Hanne Ines Jonas Kofi Lena Mira Noor Orla /
Bergström Castell Dvorak Ellery Grünwald Hollis Jansen Kimura Lindqvist Nakata O'Dowd Petrov Quist Sørensen
"""
_ADJECTIVES, _NOUNS, _FIRST_NAMES, _LAST_NAMES = (block.split() for block in _WORDS.split("/"))
_HEROES = ("A retired engineer", "A child of nine", "The new librarian", "An old sailor")
_DEEDS = ("finds a key that fits no door", "answers no letters", 'counts the stars & loses "one or two"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A book of the shop. ``cents`` is the price in euro cents, and ``rating`` goes from 1 to 5."""

    id: int
    title: str
    author: str
    category: str
    cents: int
    stock: int
    rating: int
    description: str

    @property
    def price(self) -> str:
        """The price as it is on the pages, such as ``€12.40``."""
        return f"€{self.cents // 100}.{self.cents % 100:02}"

    @property
    def path(self) -> str:
        """The path of the book's page."""
        return f"/book/{self.id}.html"


def slug(category: str) -> str:
    """Return a category's name as it is in addresses, such as ``science-and-nature``."""
    return category.lower().replace("&", "and").replace("'", "").replace(" ", "-")


def _books() -> tuple[Book, ...]:
    """Invent the books. No two of them have the same title."""
    chance = random.Random(1731)
    pairs = chance.sample(list(product(_ADJECTIVES, _NOUNS)), NUMBER_OF_BOOKS)
    return tuple(_invent(chance, number, *pair) for number, pair in enumerate(pairs, start=1))


def _invent(chance: random.Random, number: int, adjective: str, noun: str) -> Book:
    return Book(
        id=number,
        title=chance.choice(_TITLES).format(adjective, noun),
        author=f"{chance.choice(_FIRST_NAMES)} {chance.choice(_LAST_NAMES)}",
        category=chance.choice(CATEGORIES),
        cents=chance.randrange(399, 4999),
        stock=max(0, chance.randrange(-4, 40)),
        rating=chance.randint(1, 5),
        description=f"{chance.choice(_HEROES)} {chance.choice(_DEEDS)}.",
    )


BOOKS = _books()


def _link(path: str, text: str, kind: str = "page") -> str:
    return f'<a class="{kind}" href="{escape(path)}">{escape(text)}</a>'


def _items(entries: Sequence[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{entry}</li>\n" for entry in entries) + "</ul>\n"


_MENU = _items([_link(f"/category/{slug(name)}/page-1.html", name) for name in CATEGORIES])


def _page(title: str, main: str) -> Data:
    """Return a whole page. ``main`` is HTML, ``title`` is plain text."""
    text = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{escape(title)} | The Reactor Bookshop</title></head>\n<body>\n"
        f"<header>{_link('/', 'The Reactor Bookshop', 'home')}</header>\n"
        f'<nav class="categories">{_MENU}</nav>\n'
        f'<main><h1 class="title">{escape(title)}</h1>\n{main}</main>\n</body></html>\n'
    )
    return Data(text.encode(), _HTML)


def _card(book: Book) -> str:
    return (
        f'<article class="book">\n<h2 class="title">{_link(book.path, book.title)}</h2>\n'
        f'<p class="author">{escape(book.author)}</p>\n<p class="price">{book.price}</p>\n</article>\n'
    )


def _book_page(book: Book) -> Data:
    stock = f"In stock ({book.stock})" if book.stock else "Sold out"
    category = _link(f"/category/{slug(book.category)}/page-1.html", book.category)
    return _page(
        book.title,
        f'<article class="book" data-id="{book.id}">\n<p class="author">{escape(book.author)}</p>\n'
        f'<p class="category">{category}</p>\n<p class="price">{book.price}</p><p class="stock">{stock}</p>\n'
        f'<p class="rating" data-stars="{book.rating}">{"★" * book.rating}{"☆" * (5 - book.rating)}</p>\n'
        f'<p class="description">{escape(book.description)}</p>\n</article>\n',
    )


def _shelf(title: str, folder: str, category: str | None = None) -> Resource:
    """Return ``folder`` with its pages ``page-1.html``, ``page-2.html`` …: of all books, or of a category."""
    books = [book for book in BOOKS if category in (None, book.category)]
    cuts = range(0, len(books), BOOKS_PER_PAGE)
    pages: dict[str, IResource] = {}
    for number, cut in enumerate(cuts, start=1):
        cards = "".join(_card(book) for book in books[cut : cut + BOOKS_PER_PAGE])
        pages[f"page-{number}.html"] = _page(title, cards + _pager(folder, number, len(cuts)))
    return _folder(pages)


def _pager(folder: str, number: int, last: int) -> str:
    after = _link(f"{folder}/page-{number + 1}.html", "next", "next") if number < last else ""
    return f'<nav class="pager"><span class="current">Page {number} of {last}</span> {after}</nav>\n'


def _home() -> Data:
    shop = [_link("/catalogue/page-1.html", "All books", "catalogue"), _link("/sitemap.xml", "Sitemap")]
    odd = ("/slow/2", "/broken/500", "/broken/reset", "/broken/truncated", "/redirect/3", "/private/")
    links = _items([_link(path, path) for path in odd])
    return _page("Welcome", f'{_items(shop)}<section class="odd">{links}</section>\n')


class _Lookup(Resource):
    """A folder whose pages ``find`` returns by name. If ``find`` returns None, there is no such page."""

    def __init__(self, find: Callable[[str], Resource | None]) -> None:
        super().__init__()
        self._find = find

    def getChild(self, path: bytes, request: Request) -> IResource:
        return self._find(path.decode("ascii", "replace")) or notFound()


class _Answer(Resource):
    """A page that a function renders, as a ``render`` method would."""

    def __init__(self, answer: Callable[[Request], bytes | int]) -> None:
        super().__init__()
        self._answer = answer

    def render_GET(self, request: Request) -> bytes | int:
        return self._answer(request)


def _folder(children: Mapping[str, IResource]) -> Resource:
    folder = _Lookup(lambda _name: None)
    for name, child in children.items():
        folder.putChild(name.encode("ascii"), child)
    return folder


def _later(clock: IReactorTime, seconds: float, request: Request, action: Callable[[], object]) -> int:
    """Call ``action`` after ``seconds``, unless the client has disconnected by then."""
    call = clock.callLater(seconds, action)
    request.notifyFinish().addErrback(lambda _gone: call.cancel() if call.active() else None)
    return NOT_DONE_YET


def _send(request: Request, page: bytes, size: int) -> None:
    """Announce the whole length of ``page``, and send its first ``size`` bytes."""
    request.setHeader("content-type", _HTML)
    request.setHeader("content-length", str(len(page)))
    request.write(page[:size])


def _slow(clock: IReactorTime, name: str) -> Resource | None:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", name):
        return None
    seconds = min(float(name), SLOWEST)
    page = _page("A slow page", f'<p class="waited">This took {seconds:g} seconds.</p>\n').data

    def finish(request: Request) -> None:
        _send(request, page, len(page))
        request.finish()

    return _Answer(lambda request: _later(clock, seconds, request, lambda: finish(request)))


def _half(clock: IReactorTime, hang_up: Callable[[ITCPTransport], object]) -> Resource:
    """Return a page that breaks off in the middle. A pause lets the first half reach the client."""
    page = _book_page(BOOKS[0]).data

    def answer(request: Request) -> int:
        _send(request, page, len(page) // 2)
        return _later(
            clock, _HANG_UP_AFTER, request, lambda: hang_up(cast("ITCPTransport", request.transport))
        )

    return _Answer(answer)


def _redirect(name: str) -> Resource | None:
    if not re.fullmatch("[1-9][0-9]?", name):
        return None
    hops = int(name)
    return Redirect(f"/redirect/{hops - 1}".encode() if hops > 1 else BOOKS[0].path.encode())


def _one(name: str) -> Resource | None:
    match = re.fullmatch(r"([0-9]{1,9})\.html", name)
    if match is None:
        return None
    card = _card(BOOKS[(int(match[1]) - 1) % len(BOOKS)])
    return Data(f'<!doctype html><meta charset="utf-8"><title>{name}</title>\n{card}'.encode(), _HTML)


def _base(request: Request) -> str:
    """Return the address that the client used for the site, such as ``http://127.0.0.1:6801``."""
    host = request.getHeader("host") or request.getRequestHostname().decode()
    return f"{'https' if request.isSecure() else 'http'}://{host}"


def _robots(request: Request) -> bytes:
    request.setHeader("content-type", "text/plain; charset=utf-8")
    return f"User-agent: *\nDisallow: /private/\n\nSitemap: {_base(request)}/sitemap.xml\n".encode()


def _sitemap(request: Request) -> bytes:
    request.setHeader("content-type", "application/xml; charset=utf-8")
    base = escape(_base(request))
    urls = "".join(f"<url><loc>{base}{book.path}</loc></url>\n" for book in BOOKS)
    kind = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {kind}>\n{urls}</urlset>\n'.encode()


def bookshop(clock: IReactorTime) -> Resource:
    """Return the root resource of the bookshop, for a :class:`twisted.web.server.Site`.

    ``/slow/<seconds>`` answers after that many seconds, at most :data:`SLOWEST`. ``/redirect/<n>`` leads to a
    book by n redirects, at most 99. ``/one/<n>.html`` is a small page with exactly one book.

    :param clock: the clock that slow pages wait on. A client that disconnects leaves no delayed call.
    """
    shelves = {slug(name): _shelf(name, f"/category/{slug(name)}", name) for name in CATEGORIES}
    broken = {
        "404": notFound(message="This page is missing on purpose."),
        "500": errorPage(500, "Internal Server Error", "This page fails on purpose."),
        "reset": _half(clock, lambda transport: transport.abortConnection()),
        "truncated": _half(clock, lambda transport: transport.loseConnection()),
    }
    redirects = _Lookup(_redirect)
    redirects.putChild(b"loop", Redirect(b"/redirect/loop"))
    pages = {
        "": _home(),
        "catalogue": _shelf("All books", "/catalogue"),
        "category": _folder(shelves),
        "book": _folder({f"{book.id}.html": _book_page(book) for book in BOOKS}),
        "robots.txt": _Answer(_robots),
        "sitemap.xml": _Answer(_sitemap),
        "slow": _Lookup(lambda name: _slow(clock, name)),
        "broken": _folder(broken),
        "redirect": redirects,
        "private": _folder({"": _page("Staff only", "<p>Spiders are asked to keep out.</p>\n")}),
        "one": _Lookup(_one),
    }
    return _folder(pages)
