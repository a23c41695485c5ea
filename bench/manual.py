"""Serves a large documentation site in a process of its own: pages of some 100 kB with hundreds of links.

``python -m bench.manual`` prints the port it got. Every page is made from its number alone. There are
:data:`DRAFTS` texts; the links are different on each page.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import random
from functools import cache
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

PAGES = 3_000
DRAFTS = 40
SECTIONS = 30
LINKS = 12  # in a section
_WORDS = """
argument attribute buffer callback class codec context decorator default descriptor element error
event field file format function generator handle header index instance iterator key length list
loop method module name object option order package parameter path pattern pointer process queue
raise range record reference return section sequence set signal slice socket state stream string
table task thread token tuple type value variable version warning wrapper yield
""".split()  # noqa: SIM905 - a list would be five times as long


def page(number: int) -> bytes:
    """Return a page: a table of contents, and sections with prose, a signature, a table and links."""
    targets = ((number * 7919 + n * 104_729) % PAGES for n in range(SECTIONS * LINKS))
    return (_draft(number % DRAFTS) % (number, *targets)).encode()


@cache
def _draft(number: int) -> str:
    """Return the text of a page, with ``%d`` for its own number and for the page behind each link."""
    chance = random.Random(number)
    contents = "".join(f'<li><a href="#s{n}">{_words(chance, 3)}</a></li>' for n in range(SECTIONS))
    sections = "".join(_section(chance, n) for n in range(SECTIONS))
    return (
        "<!DOCTYPE html><html><head><title>A manual</title></head><body>"
        f'<h1>Chapter %d</h1><ul class="contents">{contents}</ul>{sections}</body></html>'
    )


def _section(chance: random.Random, number: int) -> str:
    links = ", ".join(_link(chance) for _ in range(LINKS))
    rows = "".join(
        f"<tr><td><code>{_words(chance, 1)}</code></td><td>{_words(chance, 8)}</td></tr>" for _ in range(8)
    )
    prose = "".join(f"<p>{_words(chance, 50)} <em>{_words(chance, 2)}</em>.</p>" for _ in range(3))
    signature = f'<dt class="signature" id="f{number}"><code>{_words(chance, 2)}</code>()</dt>'
    return (
        f'<section id="s{number}"><h2>{_words(chance, 3)}</h2><dl>{signature}<dd>{prose}</dd></dl>'
        f'<table>{rows}</table><p class="seealso">See also {links}.</p></section>'
    )


def _link(chance: random.Random) -> str:
    return (
        f'<a class="reference internal" href="/page/%d.html#f{chance.randrange(SECTIONS)}">'
        f'<span class="pre">{_words(chance, 1)}</span></a>'
    )


def _words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(_WORDS, k=count))


class Manual(Resource):
    """``/page/N.html`` is page N; ``/small/N.html`` is a page without links."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Make the page, or take it from those made before."""
        kind, _, name = request.path.decode("latin-1").lstrip("/").partition("/")
        number = int(name.removesuffix(".html"))
        return page(number % PAGES) if kind == "page" else b"<html><h1>%d</h1></html>" % number


def main() -> None:
    """Serve until told to end."""
    this: Any = reactor
    site = Site(Manual())
    site.log = lambda request: None  # type: ignore[method-assign]
    print(this.listenTCP(0, site, interface="127.0.0.1").getHost().port, flush=True)
    this.run()


if __name__ == "__main__":
    main()
