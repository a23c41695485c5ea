"""Checks every request before its route: where it comes from, and how large it is.

Any web page can make a browser on the same machine send requests to loopback. So the Host header must be a
loopback name (against DNS rebinding), and an unsafe request must not come from a page of another site.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from reactorhub.config.endpoints import is_loopback
from reactorhub.web.problems import problem

MAX_BODY = 64 * 1024  # bytes; an order for 1,000 runs of a short line each
MAX_READ = (
    16 * MAX_BODY
)  # bytes of a too large body that are read: clients read the answer only after sending
MAX_CONNECTIONS = 500  # well below the usual limit of 1,024 open files
IDLE = 60  # seconds after which a silent connection is closed
_SAFE = (b"GET", b"HEAD", b"OPTIONS")
_HEADERS = (b"host", b"origin", b"sec-fetch-site")
_CUT_OFF = b"HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::[0-9]+)?")


def request_refusal(method: bytes, host: bytes | None, origin: bytes | None, fetch_site: bytes | None) -> Any:
    """Return (status, detail) for a request that must not be served, or None."""
    if not host:
        return HTTPStatus.BAD_REQUEST, "the request has no Host header"
    name = _HOST.fullmatch(host.decode("latin-1"))
    if name is None or not is_loopback(name["name"]):
        return HTTPStatus.MISDIRECTED_REQUEST, "this hub answers to loopback names only, such as localhost"
    if method in _SAFE:
        return None
    if (origin is not None and not _is_own(origin)) or fetch_site == b"cross-site":
        return HTTPStatus.FORBIDDEN, "requests from pages of other sites are refused"
    return None


def _is_own(origin: bytes) -> bool:
    try:
        return is_loopback(urlsplit(origin.decode("latin-1")).hostname or "")
    except ValueError:
        return False


def _is_text(path: bytes) -> bool:
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return True


class GuardedRequest(Request):
    """A request that may be refused before its route is called, or cut off if its body is too large."""

    _received = 0
    _too_large = False

    def gotLength(self, length: int | None) -> None:
        """Refuse a body by its declared length, before it is read."""
        if length is not None and length > MAX_BODY:
            self._too_large = True
        super().gotLength(0)  # bodies are small, so Twisted needs no spool file

    def handleContentChunk(self, data: bytes) -> None:
        """Stop reading a body that is too large, whatever length was declared."""
        self._received += len(data)
        self._too_large = self._too_large or self._received > MAX_BODY
        if not self._too_large:
            super().handleContentChunk(data)
        elif self._received > MAX_READ and self.channel.persistent:
            self.channel.persistent = False
            self.channel.write(_CUT_OFF)
            self.channel.loseConnection()

    def process(self) -> None:
        """Serve the request, or answer why it is refused."""
        refused = request_refusal(self.method, *(self.getHeader(name) for name in _HEADERS))
        if self._too_large:
            detail = f"the body is larger than {MAX_BODY} bytes"
            refused = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail
        elif not _is_text(self.path):
            refused = refused or (HTTPStatus.BAD_REQUEST, "the path is not UTF-8; percent-encode it as UTF-8")
        self.setHeader(b"x-content-type-options", b"nosniff")
        if refused is None:
            super().process()
            return
        self.channel.persistent = False
        self.setHeader(b"connection", b"close")
        self.write(problem(self, *refused))
        self.finish()


class GuardedSite(Site):
    """A site that serves guarded requests on up to ``MAX_CONNECTIONS`` connections."""

    displayTracebacks = False

    def __init__(self, resource: IResource, reactor: IReactorTime | None = None) -> None:
        """:param reactor: times idle connections; by default the installed reactor."""
        super().__init__(resource, requestFactory=GuardedRequest, timeout=IDLE, reactor=reactor)
        self._open = 0

    def buildProtocol(self, addr: Any) -> Any:
        """Accept a connection, or drop it if there are too many."""
        if self._open >= MAX_CONNECTIONS:
            return None
        protocol = super().buildProtocol(addr)
        self._open += 1
        lost = protocol.connectionLost

        def connectionLost(reason: Any) -> None:
            self._open -= 1
            lost(reason)

        protocol.connectionLost = connectionLost
        return protocol

    def log(self, request: Any) -> None:
        """Write no access log: events and runs record what was ordered."""
