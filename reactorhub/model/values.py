"""Turns values that spiders make into plain JSON, and hides secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

View = dict[str, Any]
REDACTED = "***"
_SECRET = re.compile(
    r"pass(word|wd|phrase)|(^|[_-])pass($|[_-])|secret|token|api[-_]?key|credential|private_?key|auth($|_)|authorization"
    r"|^(set-)?cookie$",
    re.IGNORECASE,
)
_MAX_DEPTH = 20  # levels of a nested stat; a deeper stat, or one that contains itself, is not shown
_MAX_LENGTH = 1000  # characters of a stat that is shown as text
_MAX_WHOLE_NUMBER = 10**300  # most readers of JSON do not accept larger whole numbers


def time_text(moment: datetime | None) -> str | None:
    """Return a moment as RFC 3339 text in UTC, or None."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def redacted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the values of keys that name a secret hidden, at any depth."""
    return {
        str(key): REDACTED if _SECRET.search(str(key)) else _redacted_value(value)
        for key, value in values.items()
    }


def _redacted_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redacted(value)
    return [_redacted_value(entry) for entry in value] if isinstance(value, list | tuple) else value


def stats_view(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return a crawl's stats as JSON values. Values that JSON lacks become text."""
    return {_shown(str, key): _stat(value) for key, value in stats.items()}


def json_of(value: Any, **options: Any) -> str:
    """Return a value as strict JSON: numbers that JSON lacks, NaN and the infinities, become text.

    :param options: those of :func:`json.dumps`.
    :raises TypeError: if it holds an object that is no JSON value at all.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(_stat(value), allow_nan=False, **options)


def _stat(value: Any) -> Any:
    try:
        return _json_value(value, 0)
    except RecursionError:
        return f"<{type(value).__name__} that is nested too deeply>"


def _json_value(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line for each kind
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if -_MAX_WHOLE_NUMBER < value < _MAX_WHOLE_NUMBER else _shown(repr, value)
    if isinstance(value, datetime):
        return _shown(_moment_text, value)
    if depth >= _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, Mapping):
        return {_shown(str, key): _json_value(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_shown(str, entry) for entry in value)
    if isinstance(value, list | tuple):
        return [_json_value(entry, depth + 1) for entry in value]
    return _shown(repr, value)


def _moment_text(moment: datetime) -> str:
    return str(time_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))


def _shown(show: Callable[[Any], str], value: Any) -> str:
    """Return the text that ``show`` makes, or a substitute: values of spiders may raise anything."""
    try:
        return show(value)[:_MAX_LENGTH]
    except Exception as error:  # noqa: BLE001 - see above
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
