"""Reads orders for runs. Every order is checked here before ``hub.submit``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from types import NoneType
from typing import Any

from reactorhub.errors import InvalidRequest
from reactorhub.model.isolation import Isolate, Isolation
from reactorhub.model.placeholders import FACTS, UPSTREAM, placeholders_in
from reactorhub.model.run import DEFAULT_QUEUE, RunSpec, arg_name
from reactorhub.model.sizes import size
from reactorhub.triggers.durations import duration

MAX_ARG = 8192  # characters
MAX_REASON = 200  # characters
MAX_ARGS = 100
MAX_PRIORITY = 1_000_000

# Settings that only tune a crawl. Other settings may contain import paths, which run code, or file paths,
# which read or write files in the hub's process. They belong in the project or in the schedule file.
SAFE_SETTINGS = re.compile(
    r"AUTOTHROTTLE_(ENABLED|DEBUG|START_DELAY|MAX_DELAY|TARGET_CONCURRENCY)|BOT_NAME"
    r"|CLOSESPIDER_\w+|CONCURRENT_(ITEMS|REQUESTS(_PER_DOMAIN|_PER_IP)?)"
    r"|COOKIES_(ENABLED|DEBUG)|DEPTH_(LIMIT|PRIORITY|STATS_VERBOSE)"
    r"|DOWNLOAD_(DELAY(_JITTER)?|TIMEOUT|MAXSIZE|WARNSIZE|FAIL_ON_DATALOSS)|DUPEFILTER_DEBUG"
    r"|HTTPCACHE_(ENABLED|EXPIRATION_SECS|IGNORE_MISSING)|HTTPERROR_ALLOW(_ALL|ED_CODES)"
    r"|LOG_(LEVEL|ENABLED|SHORT_NAMES)|LOGSTATS_INTERVAL|METAREFRESH_(ENABLED|MAXDELAY)"
    r"|RANDOMIZE_DOWNLOAD_DELAY|REDIRECT_(ENABLED|MAX_TIMES|PRIORITY_ADJUST)"
    r"|RETRY_(ENABLED|TIMES|HTTP_CODES|PRIORITY_ADJUST)|ROBOTSTXT_(OBEY|USER_AGENT)"
    r"|SCRAPER_SLOT_MAX_ACTIVE_SIZE|URLLENGTH_LIMIT|USER_AGENT"
)

_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}$)")
_SCALARS = (str, int, float, bool, NoneType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A checked order: ``project`` is None if the hub is to choose it."""

    spider: str
    project: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    timeout: float | None = None
    not_before: datetime | None = None
    tags: tuple[str, ...] = ()
    isolate: Isolate | None = None
    memory_limit: int | None = None

    def spec(self, project: str, isolation: Isolation) -> RunSpec:
        """Return the spec of the run in this project and with this isolation."""
        fields = {name: getattr(self, name) for name in _READERS}
        return RunSpec(**{**fields, **asdict(isolation), "project": project})


def read_order(data: Mapping[str, Any]) -> Order:
    """Check an order given as JSON values.

    :raises InvalidRequest: naming every field that is wrong or unknown.
    """
    mistakes = {name: f"there is no such field; there are: {', '.join(_READERS)}" for name in data}
    fields: dict[str, Any] = {}
    for name, reader in _READERS.items():
        mistakes.pop(name, None)
        if data.get(name) is None:
            continue
        try:
            fields[name] = reader(data[name])
        except ValueError as error:
            mistakes[name] = str(error)
    if "spider" not in fields and "spider" not in mistakes:
        mistakes["spider"] = "is required: the name of the spider to run"
    if mistakes:
        raise InvalidRequest(mistakes)
    return Order(**fields)


def order_view(order: Order) -> dict[str, Any]:
    """Return an order as JSON values; :func:`read_order` reads them into the same order."""
    fields = {name: getattr(order, name) for name in _READERS}
    fields["tags"] = list(order.tags)
    fields["not_before"] = order.not_before and order.not_before.isoformat()
    fields["isolate"] = order.isolate and order.isolate.value
    return {name: value for name, value in fields.items() if value is not None}


def read_form(form: Mapping[str, list[str]]) -> Order:
    """Check an order given as form fields, as ``curl -d spider=prices -d args.category=laptops`` sends it.

    ``args.NAME`` and ``settings.NAME`` each give one argument or setting; ``tags`` may be repeated.

    :raises InvalidRequest: naming every field that is wrong or unknown.
    """
    data: dict[str, Any] = {}
    mistakes: dict[str, str] = {}
    for name, values in form.items():
        group, _, key = name.partition(".")
        if group in ("args", "settings") and key:
            data.setdefault(group, {})[key] = values[-1]
        elif name == "tags":
            data["tags"] = values
        elif name in ("args", "settings"):
            mistakes[name] = f"in a form write {name}.NAME=VALUE for each; or send JSON"
        elif len(values) > 1:
            mistakes[name] = "is given more than once"
        else:
            data[name] = _FORM_VALUES.get(name, str)(values[0])
    try:
        order = read_order(data)
    except InvalidRequest as error:
        raise InvalidRequest({**error.fields, **mistakes}) from None
    if mistakes:
        raise InvalidRequest(mistakes)
    return order


def read_pause(data: Mapping[str, Any]) -> str | None:
    """Return the reason for a pause as a single line, which each skipped tick shows; None without a reason.

    :raises InvalidRequest: naming every field that is wrong or unknown.
    """
    mistakes = {name: "there is no such field; there are: reason" for name in data if name != "reason"}
    reason = data.get("reason")
    if not isinstance(reason, str | None) or len(reason or "") > MAX_REASON:
        mistakes["reason"] = f"must be a text of up to {MAX_REASON} characters"
    if mistakes:
        raise InvalidRequest(mistakes)
    shown = (each if each.isprintable() else " " for each in reason or "")
    return " ".join("".join(shown).split()) or None


def rerun_of(spec: RunSpec) -> RunSpec:
    """Return the spec of a new first attempt with the same inputs, which belongs to no tick."""
    return replace(spec, nominal_time=None, not_before=None, attempt=1, retry_of=None, batch=None)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 200:
        raise ValueError("must be a text of 1 to 200 characters")
    return value


def _args(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_ARGS:
        raise ValueError(f"must map up to {MAX_ARGS} names to texts")
    for name, each in value.items():
        arg_name(name)
        if not isinstance(each, str) or len(each) > MAX_ARG:
            raise ValueError(f"{name!r} must be a text of up to {MAX_ARG} characters")
    for name, part, fact in placeholders_in(value):
        if part == UPSTREAM:
            raise ValueError(f"{name!r}: '{{upstream...}}' is only for schedules with after")
        if fact not in FACTS[part]:
            there_are = ", ".join(f"{{{part}.{each}}}" for each in FACTS[part])
            raise ValueError(f"{name!r}: there is no {{{part}.{fact}}}; there are: {there_are}")
    return value


def _settings(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must map names of Scrapy settings to values")
    for name in value:
        if not SAFE_SETTINGS.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be set for a single run; set it in the project or the schedule"
            )
        if not all(isinstance(each, _SCALARS) for each in _entries(value[name])):
            raise ValueError(f"{name!r} must be a text, a number, true, false, null or a list of these")
    return value


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_PRIORITY:
        raise ValueError(f"must be a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        return duration(value).total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError("must be a number of seconds, or a duration such as 90s, 15m or 2h")
    return float(value)


def read_moment(value: Any) -> datetime:
    """Return an RFC 3339 time as aware UTC.

    :raises ValueError: if the text is not such a time, or has no offset.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 <= moment.year < 3000:
        raise ValueError("must be an RFC 3339 time with an offset, such as 2026-12-01T08:00:00Z")
    return moment.astimezone(UTC)


def encoded_moment(text: str) -> datetime:
    """Read an RFC 3339 time from a URL or a form, in which an unencoded plus sign arrives as a space.

    :raises ValueError: if the text is not such a time, or has no offset.
    """
    return read_moment(_PLUS.sub("+", text))


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 50:
        raise ValueError("must be a list of up to 50 texts")
    return tuple(dict.fromkeys(_text(tag) for tag in value))


def _isolate(value: Any) -> Isolate:
    kinds = [kind.value for kind in Isolate]
    if value not in kinds:
        raise ValueError(f"must be one of {', '.join(kinds)}")
    return Isolate(value)


def _memory(value: Any) -> int:
    if isinstance(value, str):
        return size(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a number of bytes, or a size such as 512MiB or 2GiB")
    return size(f"{value}B")


def _number(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


_FORM_VALUES: Mapping[str, Callable[[str], Any]] = {
    "priority": _number,
    "not_before": lambda text: _PLUS.sub("+", text),
}
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "spider": _text,
    "project": _text,
    "args": _args,
    "settings": _settings,
    "queue": _text,
    "priority": _priority,
    "timeout": _seconds,
    "not_before": read_moment,
    "tags": _tags,
    "isolate": _isolate,
    "memory_limit": _memory,
}
