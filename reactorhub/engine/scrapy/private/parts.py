"""Contains what parts of a crawl raise that a project has replaced: scheduler, downloader and others.

Scrapy calls them where only an ``Exception`` is expected. Anything else would hang the crawl.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import FunctionType
from typing import Any

from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler

from reactorhub.containment.contexts import contained

_ASKED = ("open", "close", "has_pending_requests")


def contain_parts(crawler: Crawler, engine: ExecutionEngine) -> None:
    """Contain the methods of parts that are of the project's own classes. Scrapy's own cost nothing."""
    downloader: Any = engine.downloader
    for part in (
        crawler.logformatter,
        crawler.request_fingerprinter,
        downloader,
        getattr(downloader, "handlers", None),
    ):
        contain_methods(part)


def contain_scheduler(scheduler: Any) -> None:
    """Contain a scheduler and its duplicate filter. Its queues may be of any class, too."""
    contain_methods(scheduler)
    contain_methods(getattr(scheduler, "df", None))
    for name in _ASKED:
        if hasattr(scheduler, name):
            setattr(scheduler, name, contained(getattr(scheduler, name)))


def contain_methods(part: Any) -> None:
    """Contain the methods that a class of the project's own defines or overrides."""
    kind = type(part)
    if _is_foreign(kind.__module__):
        return
    for name in dir(kind):
        function = getattr(kind, name, None)
        if isinstance(function, FunctionType) and not _is_foreign(function.__module__) and name[:2] != "__":
            _set(part, name, contained(getattr(part, name)))


def _is_foreign(module: str | None) -> bool:
    return str(module).startswith(("scrapy.", "builtins", "reactorhub."))


def _set(part: Any, name: str, method: Callable[..., Any]) -> None:
    try:
        setattr(part, name, method)
    except Exception:  # noqa: BLE001 - a class may have slots or refuse
        logging.getLogger(__name__).debug("%s.%s cannot be contained", type(part).__name__, name)
