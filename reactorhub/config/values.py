"""Readers for each kind of value in the schedule file.

A reader gets a :class:`~reactorhub.config.yaml_source.Scalar`, which has the written text and its type. It
returns the value, or raises :exc:`ValueError` with a message for the author of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar
from zoneinfo import available_timezones

from reactorhub.config.places import KeyPath, suggestion
from reactorhub.config.yaml_source import Kind, Scalar, Tree
from reactorhub.model import sizes
from reactorhub.triggers import cron_fields as cron_expressions
from reactorhub.triggers import durations, wall_clock

E = TypeVar("E", bound=Enum)

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
MOMENT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?$"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DAYS = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\.\.([0-9]{4}-[0-9]{2}-[0-9]{2}))?")


class NestedError(ValueError):
    """Mistakes inside one value, each with its path from the value."""

    def __init__(self, found: list[tuple[KeyPath, str]]) -> None:
        self.found = found
        super().__init__("; ".join(message for _, message in found))


def single(raw: Tree) -> Scalar:
    """Return ``raw`` if it is a single value and not empty."""
    if not isinstance(raw, Scalar):
        raise ValueError(f"must be one value, not a {'list' if isinstance(raw, list) else 'mapping'}")
    if raw.kind is Kind.NULL:
        raise ValueError("is empty; write a value, or remove the key")
    return raw


def line(raw: Tree) -> str:
    """Read a text on one line. Text that YAML 1.1 reads as something else must be in quotes."""
    scalar = single(raw)
    if scalar.kind is not Kind.TEXT:
        raise ValueError(f"must be text; put {scalar.shown} in quotes")
    if not scalar.text.strip() or _CONTROL.search(scalar.text):
        raise ValueError("must be a text on one line, and not empty")
    return scalar.text


def secret_line(raw: Tree) -> str:
    """Read a text on one line. Mistakes do not show the text."""
    if single(raw).kind is not Kind.TEXT:
        raise ValueError("must be text; put it in quotes")
    return line(raw)


def name(raw: Tree) -> str:
    """Read the name of a schedule, project or queue. Names are used in paths and URLs."""
    text = raw if isinstance(raw, str) else line(raw)
    if not re.fullmatch(NAME, text):
        raise ValueError(
            "a name has up to 100 letters (a to z), digits, _ - and . and starts with a letter, digit or _"
        )
    return text


def flag(raw: Tree) -> bool:
    """Read true or false."""
    scalar = single(raw)
    if scalar.kind is not Kind.FLAG:
        raise ValueError(f"write true or false instead of {scalar.shown}, without quotes")
    return scalar.value is True


def whole(low: int, high: int) -> Callable[[Tree], int]:
    """Read a decimal whole number from ``low`` to ``high``."""

    def read(raw: Tree) -> int:
        scalar = single(raw)
        if scalar.kind is not Kind.WHOLE or not low <= int(scalar.text) <= high:
            quotes = ", without quotes" if scalar.kind is Kind.TEXT else ""
            raise ValueError(f"must be a whole number from {low} to {high}{quotes}, not {scalar.shown}")
        return int(scalar.text)

    return read


def number(low: float, high: float) -> Callable[[Tree], float]:
    """Read a number from ``low`` to ``high``, whole or not."""

    def read(raw: Tree) -> float:
        scalar = single(raw)
        if scalar.kind not in (Kind.WHOLE, Kind.FRACTION) or not low <= float(scalar.text) <= high:
            quotes = ", without quotes" if scalar.kind is Kind.TEXT else ""
            raise ValueError(f"must be a number from {low:g} to {high:g}{quotes}, not {scalar.shown}")
        return float(scalar.text)

    return read


def choice(kind: type[E]) -> Callable[[Tree], E]:
    """Read one of the values of an enumeration."""

    def read(raw: Tree) -> E:
        scalar, known = single(raw), [str(member.value) for member in kind]
        if scalar.text not in known:
            raise ValueError(f"must be one of {', '.join(known)}{suggestion(scalar.text, known)}")
        return kind(scalar.text)

    return read


def duration(raw: Tree) -> timedelta:
    """Read a duration such as ``90s``, ``15m``, ``2h``, ``1d`` or ``1h30m``."""
    scalar = single(raw)
    try:
        return durations.duration(scalar.text)
    except ValueError as error:
        raise ValueError(str(error).replace(repr(scalar.text), scalar.shown)) from None


def size(raw: Tree) -> int:
    """Read an amount of memory such as ``512MiB`` or ``2GiB``, in bytes."""
    scalar = single(raw)
    try:
        return sizes.size(scalar.text)
    except ValueError as error:
        raise ValueError(str(error).replace(repr(scalar.text), scalar.shown)) from None


def moment(raw: Tree) -> datetime:
    """Read an RFC 3339 time, or a local one without offset, to the second. Quotes are optional."""
    scalar = single(raw)
    try:
        read = datetime.fromisoformat(scalar.text) if re.fullmatch(MOMENT, scalar.text) else None
    except ValueError:
        read = None
    if read is None or not 1970 <= read.year < 3000:
        examples = "2026-12-01T08:00:00+01:00, or 2026-12-01T08:00:00 for a local time"
        raise ValueError(f"{scalar.shown} is not a time; write it like {examples}")
    return read.replace(microsecond=0)


def cron(raw: Tree) -> str:
    """Read a cron expression that matches at least one time. Fields may be separated by tabs, as in crontabs;
    the result has single spaces."""
    text = " ".join(line(_without_tabs(raw)).split())
    try:
        cron_expressions.check(text)
    except ValueError:
        if raw.text == raw.written:
            raise
        message = (
            f"{raw.shown} is not a cron expression that ever matches; write five fields, or six, or @daily"
        )
        raise ValueError(message) from None
    return text


def _without_tabs(raw: Tree) -> Tree:
    return replace(raw, text=raw.text.replace("\t", " ")) if isinstance(raw, Scalar) else raw


def left_out(raw: Tree) -> str | tuple[date, date]:
    """Read a day, a range of days (first and last), or a cron expression. Quotes are optional for days."""
    scalar = single(raw)
    days = _DAYS.fullmatch(scalar.text)
    if days is None:
        text = line(_without_tabs(raw))
        if " " not in text.strip() and not text.startswith("@"):
            forms = "a cron expression, or days like 2026-12-24 or 2026-12-24..2027-01-02"
            raise ValueError(f"{scalar.shown} is neither a cron expression nor a date; write {forms}")
        return cron(raw)
    try:
        first, last = date.fromisoformat(days[1]), date.fromisoformat(days[2] or days[1])
    except ValueError:
        raise ValueError(f"{scalar.shown} is not a date that exists; write it like 2026-12-24") from None
    if last < first:
        raise ValueError(f"{scalar.shown} ends before it begins; write the earlier date first")
    return first, last


def zone(raw: Tree) -> str:
    """Read the name of a time zone that this machine knows."""
    text = line(raw)
    try:
        wall_clock.zone(text)
    except ValueError:
        near = suggestion(text, available_timezones()) or "; names look like Europe/Berlin"
        raise ValueError(f"there is no time zone {raw.shown}{near}") from None
    return text


def as_written(raw: Tree) -> str:
    """Read a spider argument: the text in the file, whatever its type in YAML."""
    if isinstance(raw, Scalar) and raw.kind is Kind.NULL:
        raise ValueError('is empty; write "" for an empty text, or remove the key')
    return single(raw).text


def plain(raw: Tree) -> Any:
    """Read a Scrapy setting: text, number, true, false, null, or lists and mappings of these."""
    found: list[tuple[KeyPath, str]] = []
    value = _plain(raw, (), found)
    if found:
        raise NestedError(found)
    return value


def _plain(raw: Tree, path: KeyPath, found: list[tuple[KeyPath, str]]) -> Any:
    if isinstance(raw, dict):
        return {key: _plain(value, (*path, key), found) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_plain(value, (*path, index), found) for index, value in enumerate(raw)]
    if raw.kind is Kind.TRAP:
        found.append((path, f"put {raw.shown} in quotes, or write true, false or a decimal number"))
    return raw.value
