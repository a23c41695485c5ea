"""Reads the entries of a feed: what each one asks a spider to request. Pure, no Scrapy, no I/O.

Entries of a list, a set or a sorted set are read as scrapy-redis reads them. An entry of a stream may contain
more of a request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

STREAM = "stream"
MAX_TASK_ID = 200  # characters; a task's id is part of the name of a key
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_LINE_BREAK = re.compile(r"[\r\n\t]")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")

Pairs = tuple[tuple[str, str], ...]


class BadEntry(ValueError):
    """The entry gives no request. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry as it was taken: its id in the feed's stream, its data, and the kind of key it came from.

    ``kind`` is ``list``, ``set``, ``zset`` or ``stream``. ``deliveries`` counts how often it was taken.
    """

    id: str
    data: bytes
    kind: str
    deliveries: int = 1
    score: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRequest:
    """The request that an entry describes. ``form`` has the fields of a form, in order."""

    url: str
    method: str = "GET"
    meta: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, list[str]] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    form: Pairs = ()
    body: str | None = None
    cb_kwargs: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    dont_filter: bool = True
    callback: str | None = None
    errback: str | None = None

    @property
    def url_with_form(self) -> str:
        """The URL whose query also contains the form, unless the form is the body of a POST."""
        if not self.form or self.method == "POST":
            return self.url
        parts = urlsplit(self.url)
        query = "&".join(filter(None, (parts.query, urlencode(self.form))))
        return urlunsplit(parts._replace(query=query))


def text_of(data: bytes | str, encoding: str) -> str:
    """Decode the data of an entry, without spaces and line breaks at its ends.

    :raises BadEntry: if the data cannot be decoded, or is empty.
    """
    try:
        text = data.decode(encoding) if isinstance(data, bytes) else data
    except ValueError as error:
        raise BadEntry(f"the entry cannot be decoded as {encoding}") from error
    if not (text := text.strip()):
        raise BadEntry("the entry is empty")
    return text


def request_of(text: str, *, full: bool = False) -> EntryRequest:
    """Read an entry: a URL, or a JSON object with ``url`` and more.

    :param full: also accept what only the entry of a stream may contain, such as ``body`` and ``priority``.
    :raises BadEntry: if the entry gives no request.
    """
    if _HTTP.match(text):
        return EntryRequest(url=_checked_url(text))
    fields = _object_of(text)
    known = {**_SHARED, **_FULL} if full else _SHARED
    found: dict[str, Any] = {"url": _url(fields)}
    form: list[tuple[str, str]] = []
    for name, value in fields.items():
        if name in known and value is not None:
            found[name] = known[name](name, value)
        elif name in _OBJECTS and isinstance(value, dict):
            found[name] = _OBJECTS[name](name, value)
        elif name != "url" and name not in known:
            form += _form_field(name, value)
    return _assembled(found, form)


def _assembled(found: dict[str, Any], form: list[tuple[str, str]]) -> EntryRequest:
    task = found.pop("task_id", None)
    if task is not None:
        found["meta"] = {**found.get("meta", {}), "task_id": task}
    form += found.pop("formdata", ())
    request = EntryRequest(**found, form=tuple(form))
    if request.body is not None and request.form and request.method == "POST":
        names = ", ".join(name for name, _ in request.form)
        raise BadEntry(f"the entry has a body and fields of a form ({names}): a POST takes one of them")
    return request


def _object_of(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise BadEntry("the entry's JSON is nested too deeply") from error
    except ValueError as error:
        if text[0] in "{[":
            raise BadEntry(f"the entry is not valid JSON: {error}") from error
        raise BadEntry("the entry is neither a URL that begins with http:// or https://, nor JSON") from error
    if not isinstance(value, dict):
        raise BadEntry("the entry's JSON is not an object")
    return value


def _url(fields: dict[str, Any]) -> str:
    url = fields.get("url")
    if url is None or url == "":
        raise BadEntry("the entry has no url")
    return _checked_url(_text("url", url).strip())


def _checked_url(url: str) -> str:
    if not _HTTP.match(url):
        raise BadEntry("the entry's url does not begin with http:// or https://")
    if _LINE_BREAK.search(url):
        raise BadEntry("the entry's url contains a line break or a tab")
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        url.encode()
    except ValueError as error:
        raise BadEntry(f"the entry's url is not valid: {error}") from error
    if not valid:
        raise BadEntry("the entry's url has no host, or the port 0")
    return url


def _wrong(name: str, what: str) -> BadEntry:
    return BadEntry(f"the entry's {name} must be {what}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "text")
    return value


def _method(name: str, value: Any) -> str:
    text = _text(name, value).strip() or "GET"
    if not _METHOD.fullmatch(text):
        raise _wrong(name, "the name of an HTTP method")
    return text.upper()


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(name, "an object")
    return value


def _task_id(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(name, "text or a whole number")
    return checked_task_id(str(value))


def checked_task_id(text: str) -> str:
    """Return the id of a task, which becomes part of the name of a key.

    :raises BadEntry: if it is empty, too long, or cannot be written as UTF-8.
    """
    if not 0 < len(text) <= MAX_TASK_ID:
        raise BadEntry(f"the entry's task_id must have 1 to {MAX_TASK_ID} characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadEntry("the entry's task_id cannot be written as UTF-8") from error
    return text


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, "a whole number")
    return value


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def _scalar_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None


def _texts(what: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [_scalar_text(each) for each in values]
    if None in texts:
        raise BadEntry(f"{what} must be text, a number, true, false, or a list of these")
    return [text for text in texts if text is not None]


def _form_field(name: str, value: Any) -> list[tuple[str, str]]:
    return [(name, text) for text in _texts(f"the form field {name!r}", value)]


def _form(_: str, value: dict[str, Any]) -> list[tuple[str, str]]:
    return [pair for name, each in value.items() for pair in _form_field(name, each)]


def _headers(_: str, value: dict[str, Any]) -> dict[str, list[str]]:
    return {name: _texts(f"the header {name!r}", each) for name, each in value.items()}


def _cookies(_: str, value: dict[str, Any]) -> dict[str, str]:
    found = {name: _scalar_text(each) for name, each in value.items()}
    if wrong := [name for name, text in found.items() if text is None]:
        raise BadEntry(f"the cookie {wrong[0]!r} must be text, a number, true or false")
    return {name: text for name, text in found.items() if text is not None}


_Read = Callable[[str, Any], Any]
_SHARED: dict[str, _Read] = {"method": _method, "meta": _object, "task_id": _task_id}
_FULL: dict[str, _Read] = {
    "body": _text,
    "cb_kwargs": _object,
    "priority": _whole,
    "dont_filter": _boolean,
    "callback": _text,
    "errback": _text,
}
_OBJECTS: dict[str, _Read] = {"cookies": _cookies, "headers": _headers, "formdata": _form}


def stream_data(fields: Sequence[bytes]) -> bytes:
    """Return the data of a stream's entry, given its field names and values in turn.

    The value of the only field is the data, whatever the field's name; a lone ``url`` is a URL. Several
    fields are the keys of one JSON object. In these, objects, whole numbers and booleans are written as JSON.
    """
    if len(fields) == 2:
        return fields[1]
    pairs = zip(fields[::2], fields[1::2], strict=True)
    try:
        found = {name.decode(): _stream_value(name.decode(), value.decode()) for name, value in pairs}
    except UnicodeDecodeError:
        return b" ".join(fields)  # neither a URL nor JSON, so that it becomes a dead letter
    return json.dumps(found).encode()


def _stream_value(name: str, value: str) -> Any:
    if name in ("priority",) and _WHOLE.fullmatch(value):
        return int(value)
    if name == "dont_filter":
        return {"1": True, "true": True, "0": False, "false": False}.get(value.lower(), value)
    if name in ("meta", "cb_kwargs", *_OBJECTS) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
