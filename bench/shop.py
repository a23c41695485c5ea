"""Serves the bookshop in a process of its own and notes when each one-page crawl's request arrives.

``python -m bench.shop`` prints the port it got. ``GET /arrivals`` answers with a JSON object of wall-clock
seconds by page number and forgets them.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import re
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from reactorhub.demo_site import bookshop


class Arrivals(Resource):
    """When which page was asked for, handed out once."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, list[float]] = {}

    def note(self, path: bytes) -> None:
        """Remember the moment if this is a one-page crawl's page."""
        page = re.fullmatch(r"/one/([0-9]+)\.html", path.decode("latin-1"))
        if page is not None:
            self.seen.setdefault(page[1], []).append(time.time())

    def render_GET(self, request: Request) -> bytes:
        """Hand out what was seen since the last time."""
        seen, self.seen = self.seen, {}
        return json.dumps(seen).encode()


class Shop(Site):
    """The bookshop, with an eye on who comes."""

    def __init__(self, clock: IReactorTime) -> None:
        root = bookshop(clock)
        self.arrivals = Arrivals()
        root.putChild(b"arrivals", self.arrivals)
        super().__init__(root)

    def getResourceFor(self, request: Request) -> IResource:
        """Note the arrival before anything else."""
        self.arrivals.note(request.path)
        return super().getResourceFor(request)  # type: ignore[no-any-return]

    def log(self, request: Any) -> None:
        """Write no access log."""


def main() -> None:
    """Serve until told to end."""
    this: Any = reactor
    port = this.listenTCP(0, Shop(this), interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    this.run()


if __name__ == "__main__":
    main()
