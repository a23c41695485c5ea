"""Reads requests: JSON or form bodies, and query parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar
from urllib.parse import parse_qs

from twisted.web.iweb import IRequest

from reactorhub.errors import InvalidRequest, UnreadableBody
from reactorhub.wire.json_object import json_object
from reactorhub.wire.orders import Order, read_form, read_order

T = TypeVar("T")
MAX_ROWS = 1000
_DIGITS = re.compile(r"[0-9]{1,20}")


def body_of(request: IRequest) -> bytes:
    """Return the body, whatever its type."""
    content = request.content
    if content is None:
        return b""
    content.seek(0)
    return bytes(content.read())


def is_json(request: IRequest, body: bytes) -> bool:
    """Whether a body is JSON. ``curl -d '{…}'`` declares a form, so the first byte of the body decides."""
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    return kind == b"application/json" or body.lstrip()[:1] in (b"{", b"[")


def form_of(body: bytes) -> dict[str, list[str]]:
    """Return a form's fields.

    :raises UnreadableBody: if it is not UTF-8, or has too many fields.
    """
    try:
        return parse_qs(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=500)
    except ValueError as error:
        raise UnreadableBody(f"is not a valid form: {error}") from None


def order_of(request: IRequest) -> Order:
    """Return the order for a run in a body, which is JSON or a form.

    :raises UnreadableBody: if it is neither.
    :raises InvalidRequest: naming every field that is wrong or unknown.
    """
    body = body_of(request)
    return read_order(json_object(body)) if is_json(request, body) else read_form(form_of(body))


def fields_in(request: IRequest) -> dict[str, Any]:
    """Return the fields of a body, which is JSON or a form. The last value of a repeated form field counts.

    :raises UnreadableBody: if it is neither.
    :raises InvalidRequest: if it is JSON, but not an object.
    """
    body = body_of(request)
    if is_json(request, body) or not body:
        return json_object(body)
    return {name: values[-1] for name, values in form_of(body).items()}


class Query:
    """The query parameters of a request; collects their mistakes."""

    def __init__(self, request: IRequest, known: Collection[str]) -> None:
        query = request.uri.partition(b"?")[2].decode("utf-8", "replace")
        self._values = parse_qs(query, keep_blank_values=True)
        names = ", ".join(known) or "none"
        self._mistakes = {
            name: f"there is no such parameter; there are: {names}"
            for name in self._values
            if name not in known
        }

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return self._values.get(name, [])

    def one(self, name: str) -> str | None:
        """Return a parameter's last value, or None."""
        return self.all(name)[-1] if self.all(name) else None

    def read(self, name: str, reader: Callable[[str], T]) -> T | None:
        """Return a parameter as ``reader`` reads it; None if it is absent or wrong."""
        text = self.one(name)
        try:
            return None if text is None else reader(text)
        except ValueError as error:
            self._mistakes[name] = str(error)
            return None

    def every(self, name: str, reader: Callable[[str], list[T]]) -> list[T]:
        """Return all values of a parameter, joined with commas, as ``reader`` reads them."""
        try:
            return reader(",".join(self.all(name))) if self.all(name) else []
        except ValueError as error:
            self._mistakes[name] = str(error)
            return []

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number within bounds."""

        def reader(text: str) -> float:
            try:
                value = float(text)
            except ValueError:
                value = float("nan")
            if not low <= value <= high:
                raise ValueError(f"must be a number from {low:g} to {high:g}")
            return value

        value = self.read(name, reader)
        return default if value is None else value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number within bounds."""

        def reader(text: str) -> int:
            if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
                raise ValueError(f"must be a whole number from {low} to {high}")
            return int(text)

        value = self.read(name, reader)
        return default if value is None else value

    def conclude(self) -> None:
        """:raises InvalidRequest: if there were mistakes."""
        if self._mistakes:
            raise InvalidRequest(self._mistakes)
