"""Makes Scrapy's requests of the entries of a feed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import isroutine
from typing import Any

from scrapy import FormRequest, Request, Spider

from reactorhub.spiderkit.feed.entries import BadEntry, EntryRequest, checked_task_id


def scrapy_request(wanted: EntryRequest, spider: Spider) -> Request:
    """Return the request that an entry describes.

    :raises BadEntry: if Scrapy accepts no such request, or the spider has no such callback.
    """
    posted = wanted.form if wanted.method == "POST" else ()
    try:
        return FormRequest(
            wanted.url_with_form,
            method=wanted.method,
            formdata=posted or None,
            headers=dict(wanted.headers),
            cookies=dict(wanted.cookies),
            meta=dict(wanted.meta),
            body=wanted.body,
            cb_kwargs=dict(wanted.cb_kwargs),
            priority=wanted.priority,
            dont_filter=wanted.dont_filter,
            callback=_method(spider, wanted.callback),
            errback=_method(spider, wanted.errback),
        )
    except BadEntry:
        raise
    except (TypeError, ValueError) as error:
        raise BadEntry(f"Scrapy accepts no such request: {error}") from error


def _method(spider: Spider, name: str | None) -> Callable[..., Any] | None:
    if name is None:
        return None
    if name.startswith("_") or not isroutine(getattr(type(spider), name, None)):
        raise BadEntry(f"the spider has no method {name!r}")
    method: Callable[..., Any] = getattr(spider, name)
    return method


def requests_in(made: Any) -> list[Request]:
    """Return the requests that ``make_request_from_data`` returned: one, several, or none.

    :raises BadEntry: if it returned anything else.
    """
    if made is None:
        return []
    if isinstance(made, Request):
        return [made]
    if isinstance(made, str | bytes) or not isinstance(made, Iterable):
        raise BadEntry(f"make_request_from_data returned {type(made).__name__}, not a request")
    found = list(made)
    for each in found:
        if not isinstance(each, Request):
            raise BadEntry(f"make_request_from_data returned {type(each).__name__} among its requests")
    return found


def task_of(request: Request) -> str | None:
    """Return the id of the task that a request belongs to: ``task_id`` in its ``meta``."""
    task = request.meta.get("task_id")
    if isinstance(task, bool) or not isinstance(task, str | int):
        return None
    try:
        return checked_task_id(str(task))
    except BadEntry:
        return None
