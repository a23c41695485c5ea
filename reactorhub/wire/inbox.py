"""Reads the entries of the inbox in Redis: orders as the API takes them, with an id."""

from __future__ import annotations

import json
from dataclasses import dataclass

from reactorhub.errors import InvalidRequest, UnreadableBody
from reactorhub.wire.json_object import json_object
from reactorhub.wire.orders import Order, read_order

MAX_ID = 200  # characters


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A checked entry. Entries with one id are one run. ``id`` is None if the sender gave none."""

    id: str | None
    order: Order


def read_entry(entry: bytes) -> InboxEntry:
    """Check an entry: a JSON object with the fields of an order, and optionally ``id``.

    :raises InvalidRequest: naming every field that is wrong or unknown, or saying why it cannot be read.
    """
    if not entry.strip():
        raise UnreadableBody("is empty")
    try:
        data = json_object(entry.decode().encode())
    except UnicodeDecodeError:
        raise UnreadableBody("is not UTF-8") from None
    chosen, mistakes = data.pop("id", None), dict[str, str]()
    if chosen is not None and not _is_id(chosen):
        mistakes["id"] = f"must be a text of 1 to {MAX_ID} printable characters"
    try:
        order = read_order(data)
    except InvalidRequest as error:
        raise InvalidRequest({**mistakes, **error.fields}) from None
    if mistakes:
        raise InvalidRequest(mistakes)
    return InboxEntry(chosen, order)


def with_id(entry: bytes, entry_id: str) -> bytes:
    """Return an entry with this id, which :func:`read_entry` takes as it took the entry itself.

    The text of the entry stays, so that it does not grow beyond what an inbox takes.
    """
    fields = json_object(entry)
    if fields.get("id") == entry_id:
        return entry
    if "id" in fields:
        return json.dumps({**fields, "id": entry_id}).encode()
    rest = entry.decode("utf-8-sig").lstrip().removeprefix("{")
    return f'{{"id": {json.dumps(entry_id)}{", " if fields else ""}{rest}'.encode()


def why_not(error: InvalidRequest) -> str:
    """Return why an entry is refused, as a sentence for people."""
    return "; ".join(
        f"the entry {message}" if field == "body" else f"{field}: {message}"
        for field, message in error.fields.items()
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_ID and value.isprintable()
