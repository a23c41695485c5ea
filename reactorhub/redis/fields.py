"""Turns views into the flat text fields of Redis. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

from reactorhub.model.values import json_of

MAX_FIELDS = 500  # of one hash; Lua's unpack, which writes them, takes at most about 8,000 values
MAX_NAME = 200  # characters; Scrapy's own stats stay far below, but a spider may count by URL
MAX_VALUE = 10_000  # characters; a traceback fits, a page does not
DROPPED = "_dropped_fields"
_encode = partial(json_of, ensure_ascii=False, separators=(",", ":"), default=str)


def flattened(values: Mapping[str, Any]) -> dict[str, str]:
    """Return JSON values as the flat text fields of a Redis hash.

    Nested names are joined with ``/``. None has no field; booleans are ``true`` and ``false``; lists are
    JSON. A value is cut after 10,000 characters. Fields beyond the first 500, and fields whose name is
    longer than 200 characters, are left out and counted in ``_dropped_fields``.
    """
    fields: dict[str, str] = {}
    dropped = 0
    for name, value in _leaves(values, ""):
        if len(name) > MAX_NAME or (len(fields) >= MAX_FIELDS and name not in fields):
            dropped += 1
        else:
            fields[name] = _text(value)
    if dropped:
        fields[DROPPED] = str(dropped)
    return fields


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}/")
        elif value is not None:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return _encode(value)[:MAX_VALUE]
    return str(value)[:MAX_VALUE]


def json_bytes(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8. Values that JSON or UTF-8 lacks become text or ``?``."""
    return _encode(value).encode("utf-8", "replace")


def pairs(fields: Mapping[str, Any]) -> bytes:
    """Return the fields of a hash as a JSON list of names and values in turn, as the scripts take them."""
    return json_bytes(list(chain.from_iterable(fields.items())))
