"""The smallest HTTP client that will do: JSON in, JSON out, over one connection that stays open."""

from __future__ import annotations

import http.client
import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from bench.errors import BenchError

PATIENCE = 60.0  # seconds


class Client:
    """Speaks with one server, in one thread, from ``with`` to its end."""

    def __init__(self, base: str) -> None:
        """:param base: such as ``http://127.0.0.1:6800``."""
        self._connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        """Return what is there."""
        return self._ask("GET", path)

    def post(self, path: str, value: Any) -> Any:
        """Send JSON; return the answer."""
        return self._ask("POST", path, json.dumps(value).encode(), "application/json")

    def post_form(self, path: str, fields: dict[str, str]) -> Any:
        """Send form fields; return the answer."""
        return self._ask("POST", path, urlencode(fields).encode(), "application/x-www-form-urlencoded")

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> Any:
        self._connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= 400:
            raise BenchError(f"{method} {path} was answered with {response.status}: {text.decode()}")
        return json.loads(text)
