"""Speaks HTTP/1.1 to the real site in memory: bytes in, bytes out, no socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from twisted.internet import reactor
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from reactorhub.config import HubConfig
from reactorhub.redis.feeds import Feeds
from reactorhub.storage.layout import RunPaths
from reactorhub.web.api import Api
from reactorhub.web.files import RunFiles
from reactorhub.web.guard import GuardedSite
from tests.support.hubs import HubHarness


@dataclass(frozen=True)
class Reply:
    """A whole answer. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, which has to be what its type says."""
        assert self.headers["content-type"] in ("application/json", "application/problem+json")
        return json.loads(self.body)

    @property
    def fields(self) -> set[str]:
        """The fields that a refusal names."""
        assert self.json["status"] == self.status and self.json["title"] and self.json["detail"]
        return {error["field"] for error in self.json.get("errors", [])}


class _Received(BytesIO):
    """What came in; closing it, as the parser does after each answer, leaves the next one in it."""

    def makefile(self, mode: str) -> _Received:
        return self

    def close(self) -> None:
        """Stay open."""


class Connection:
    """One client's connection."""

    def __init__(self, site: GuardedSite) -> None:
        self.transport = StringTransport()
        self.protocol = site.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Let bytes arrive at the site."""
        self.protocol.dataReceived(data)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str | None] | None = None
    ) -> None:
        """Send a request; Host and Content-Length are given unless ``headers`` do; None leaves one out."""
        given: dict[str, Any] = {"Host": "localhost:6800", **(headers or {})}
        if body:
            given.setdefault("Content-Length", len(body))
        lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
        self.send(f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body)

    def replies(self, method: str = "GET") -> list[Reply]:
        """Return the answers that have arrived whole, oldest first."""
        received, found = _Received(self.transport.value()), []
        while received.tell() < len(received.getvalue()):
            reply = _parsed(received, method)
            if reply is None:
                break
            found.append(reply)
        return found

    def leave(self) -> None:
        """Let the client go away."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


def _parsed(received: _Received, method: str) -> Reply | None:
    response = HTTPResponse(cast(Any, received), method=method)
    try:
        response.begin()
        body = response.read()
    except (HTTPException, ValueError):
        return None
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


@dataclass
class Web:
    """The API of a hub on doubles. Whatever the site waits for, it waits for on the harness's clock."""

    harness: HubHarness = field(default_factory=HubHarness)
    data_dir: Path = Path("/nowhere")
    feeds: Feeds = field(default_factory=lambda: Feeds(None, ""))

    def __post_init__(self) -> None:
        self.file: HubConfig | Exception = self.harness.config
        self.paths = RunPaths(self.data_dir)
        files = RunFiles(self.paths, execute, lambda: self.harness.hub.config.retention, self.harness.now)
        self.api = Api(self.harness.hub, files, self.reload, self.feeds)
        self.site = GuardedSite(self.api.app.resource(), self.harness.clock)
        Deferred.fromCoroutine(self.harness.hub.recover())

    async def reload(self) -> Any:
        """Put the config that ``file`` holds in force, or raise the error that it holds."""
        if isinstance(self.file, Exception):
            raise self.file
        return await self.harness.hub.put_in_force(self.file)

    def connect(self) -> Connection:
        """Open a connection."""
        return Connection(self.site)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str | None] | None = None
    ) -> Reply:
        """Return the answer to a request that is answered at once."""
        connection = self.connect()
        connection.ask(method, path, body, headers)
        (reply,) = connection.replies(method)
        connection.leave()
        return reply

    def get(self, path: str, **headers: str) -> Reply:
        """Ask for something."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, order: Any = None, method: str = "POST") -> Reply:
        """Order something in JSON."""
        body = b"" if order is None else json.dumps(order).encode()
        return self.ask(method, path, body, {"Content-Type": "application/json"})

    def form(self, path: str, *fields: tuple[str, str]) -> Reply:
        """Order something as ``curl -d`` does."""
        return self.raw(path, urlencode(fields).encode())

    def raw(self, path: str, body: bytes) -> Reply:
        """Send any body as ``curl -d`` does, which always says that it sends a form."""
        return self.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def submitted(self, **order: Any) -> str:
        """Take a run on and return its id."""
        return str(self.post("/api/runs", {"spider": "prices", **order}).json["id"])

    async def whole(self, path: str, **headers: str) -> Reply:
        """Return an answer that is sent block by block, as the real reactor turns."""
        connection = self.connect()
        connection.ask("GET", path, headers=headers)
        while not connection.replies():
            await deferLater(reactor, 0)
        (reply,) = connection.replies()
        connection.leave()
        return reply
