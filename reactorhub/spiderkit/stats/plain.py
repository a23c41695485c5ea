"""Turns the stats of a crawl, which may be of any class, into values that JSON has. Pure, no I/O."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from numbers import Integral, Real
from typing import Any

MAX_STATS = 1_000  # of one crawl; a spider that counts by URL would fill the memory of whoever reads them all
MAX_TEXT = 10_000  # characters; a traceback fits, a page does not
MAX_DEPTH = 8  # of values in values; deeper ones are shown as text
DROPPED = "_dropped_stats"
_SIMPLE = frozenset({bool, int, type(None)})

_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))

Plain = dict[str, Any]


def plain_stats(stats: Mapping[Any, Any]) -> Plain:
    """Return stats as JSON values. Never fails, whatever a spider has put there.

    Datetimes are RFC 3339, in UTC if they have no time zone. Sets are sorted lists. Decimals are numbers;
    NaN and the infinities, which JSON lacks, are None. A timedelta is its seconds. Anything else is its text.
    Texts are cut after 10,000 characters. Stats beyond the first 1,000 are counted in ``_dropped_stats``.
    """
    plain: Plain = {}
    for name, value in tuple(stats.items())[:MAX_STATS]:
        plain[name if type(name) is str else _key(name)] = (
            value if type(value) in _SIMPLE else _plain(value, MAX_DEPTH)
        )
    if len(stats) > MAX_STATS:
        plain[DROPPED] = len(stats) - MAX_STATS
    return plain


def json_text(value: Any) -> str:
    """Return plain values as compact JSON that can be encoded in UTF-8."""
    text = _ENCODER.encode(value)
    return text.encode("utf-8", "replace").decode()


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if kind is str:
        return value[:MAX_TEXT]
    if kind is float:
        return value if isfinite(value) else None
    try:
        return _converted(value, depth)
    except Exception:  # noqa: BLE001 - the class is the spider's
        return f"<{kind.__name__}>"


def _converted(value: Any, depth: int) -> Any:
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    if depth:
        for kinds, collect in _COLLECTIONS:
            if isinstance(value, kinds):
                return collect(value, depth - 1)
    return str(value)[:MAX_TEXT]


def _list(value: Iterable[Any], depth: int) -> list[Any]:
    return [_plain(each, depth) for each in _first(value)]


def _dict(value: Mapping[Any, Any], depth: int) -> Plain:
    return {_key(name): _plain(each, depth) for name, each in _first(value.items())}


def _sorted(value: Iterable[Any], depth: int) -> list[Any]:
    return sorted(_list(value, depth), key=_order)


def _moment(value: datetime) -> str:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _text(value: bytes | bytearray) -> str:
    return bytes(value[:MAX_TEXT]).decode("utf-8", "replace")


_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: _plain(value.value, 0)),
    (str, lambda value: str(value)[:MAX_TEXT]),
    (Integral, int),
    ((Real, Decimal), lambda value: _plain(float(value), 0)),
    (datetime, _moment),
    ((date, time), lambda value: value.isoformat()),
    (timedelta, lambda value: value.total_seconds()),
    ((bytes, bytearray), _text),
)
_COLLECTIONS: tuple[tuple[Any, Callable[[Any, int], Any]], ...] = (
    (Mapping, _dict),
    ((set, frozenset), _sorted),
    ((list, tuple, deque), _list),
)


def _key(name: Any) -> str:
    return name if type(name) is str else str(_plain(name, 0))


def _order(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, int | float) else (True, str(value))


def _first(values: Iterable[Any]) -> Iterable[Any]:
    return (value for value, _ in zip(tuple(values), range(MAX_STATS), strict=False))
