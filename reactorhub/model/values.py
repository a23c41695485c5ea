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


def trusted(stats: Mapping[Any, Any]) -> dict[str, Any]:
    """Return stats in which no key and no value is of a class of the project's.

    Such a class may raise anything, when it is shown, compared or measured. Numbers, texts and moments stay
    what they are; everything else becomes JSON values.
    """
    return {
        key if type(key) is str else _shown(str, key): value if _is_trusted(value) else _stat(value)
        for key, value in stats.items()
    }


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
        return f"<{_class_name(type(value))} that is nested too deeply>"
    except BaseException as error:  # noqa: BLE001 - values of spiders may raise anything
        return _unshowable(value, error)


def _json_value(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line for each kind
    """Return a value as JSON values, by methods of built-in classes: a spider may have overridden its own."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if issubclass(kind, str):
        return str.__getitem__(value, slice(None))
    if issubclass(kind, int | float):
        number = int.__index__(value) if issubclass(kind, int) else float.__float__(value)
        return number if -_MAX_WHOLE_NUMBER < number < _MAX_WHOLE_NUMBER else _shown(repr, number)
    if issubclass(kind, datetime):
        return _shown(_moment_text, value)
    if depth >= _MAX_DEPTH:
        raise RecursionError
    if issubclass(kind, Mapping):
        items = dict.items(value) if issubclass(kind, dict) else value.items()
        return {_shown(str, key): _json_value(entry, depth + 1) for key, entry in list(items)}
    if issubclass(kind, set | frozenset):
        return sorted(
            _shown(str, entry) for entry in (set if issubclass(kind, set) else frozenset).__iter__(value)
        )
    if issubclass(kind, list | tuple):
        entries = (list if issubclass(kind, list) else tuple).__iter__(value)
        return [_json_value(entry, depth + 1) for entry in entries]
    return _shown(repr, value)


def _moment_text(moment: datetime) -> str:
    return str(time_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))


def _shown(show: Callable[[Any], str], value: Any) -> str:
    """Return the text that ``show`` makes, or a substitute: values of spiders may raise anything."""
    try:
        return str.__getitem__(show(value), slice(_MAX_LENGTH))
    except BaseException as error:  # noqa: BLE001 - see above
        return _unshowable(value, error)


def _unshowable(value: Any, error: BaseException) -> str:
    return f"<{_class_name(type(value))} that cannot be shown: {_class_name(type(error))}>"


def _is_trusted(value: Any) -> bool:
    kind = type(value)  # compared one by one: not even the hash of a class can be trusted
    return kind is int or kind is str or kind is float or kind is datetime or kind is bool or value is None


_class_name: Callable[[type], str] = type.__dict__["__name__"].__get__
