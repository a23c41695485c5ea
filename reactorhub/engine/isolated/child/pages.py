"""Counts what became of the requests of a crawl, and tells why a spider makes none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import scrapy
from scrapy import Spider
from scrapy.exceptions import IgnoreRequest
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from .project import last_line

_NOT_MODIFIED = 304  # an answer, and none that refuses anything
_MAX_NAME = 60  # characters of a kind
_MAX_KINDS = 50  # kinds that are counted; a project may make any number of classes
_MAX_LINE = 200  # characters of an exception's last line
_RULES = {"Forbidden by robots.txt": "robots.txt", "max redirections reached": "too many redirects"}
_LIBRARIES = frozenset(("scrapy", "twisted", "OpenSSL", "ssl", "h2", "httpx", "aiohttp", "asyncio"))
"""Whose exceptions tell of a download."""
_MISTAKES = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_OFFSITE = "Filtered offsite"
_STATUSES = "downloader/response_status_count/"


class Pages:
    """The responses that a crawl has passed to its spider, and the requests that brought none."""

    def __init__(self) -> None:
        self.passed = 0
        self.refused: dict[str, int] = {}
        self.raised: dict[str, int] = {}
        """The requests for which code of the project raised before the spider had the page."""
        self.downloads = False
        """Whether anything was downloaded, by code of the spider as well."""

    def came(self, result: Any) -> None:
        """Count what is passed to a callback, or as a failure to an errback."""
        if not isinstance(result, Failure):
            self.passed += 1
        else:
            self._failed(result.value)

    def facts(self, spidercls: type[Spider], stats: Mapping[str, Any]) -> dict[str, Any]:
        """Return the counts, by the names that they have in the facts of a crawl."""
        refused = self._with_dropped(stats) if not self.passed else self.refused
        known = self.passed or refused or self.raised or _number(stats.get("downloader/request_count"))
        asked = self.downloads or bool(known)
        return {
            "pages": self.passed,
            "refused": dict(refused),
            "raised": dict(self.raised),
            "asked": asked,
            "no_request_why": None if asked else why_no_request(spidercls),
        }

    def _failed(self, error: BaseException | None) -> None:
        if isinstance(error, HttpError) and error.response.status == _NOT_MODIFIED:
            self.passed += 1
            return
        if error is None or _is_refusal(error):
            _count(self.refused, _kind(error))
        else:
            _count(self.raised, last_line(error)[:_MAX_LINE])

    def _with_dropped(self, stats: Mapping[str, Any]) -> dict[str, int]:
        """Add requests of which no errback hears: those offsite, and redirects to what was seen before."""
        offsite = _number(stats.get("offsite/filtered"))
        refused = {**self.refused, **({"offsite": offsite} if offsite else {})}
        if refused or self.raised or not self.downloads:
            return refused
        statuses = {str(stat)[len(_STATUSES) :]: _number(stats[stat]) for stat in stats if _is_redirect(stat)}
        return {status: count for status, count in statuses.items() if count}


def _count(counts: dict[str, int], kind: str) -> None:
    if kind in counts or len(counts) < _MAX_KINDS:
        counts[kind] = counts.get(kind, 0) + 1


def _is_refusal(error: BaseException) -> bool:
    """Return whether a site, the network or a rule is the cause, and not a mistake in code of the project."""
    if isinstance(error, OSError) and not isinstance(error, _MISTAKES):
        return True
    return any(cls.__module__.split(".")[0] in _LIBRARIES for cls in type(error).__mro__)


def _is_redirect(stat: Any) -> bool:
    return isinstance(stat, str) and stat.startswith(f"{_STATUSES}3") and not stat.endswith("/304")


def _number(stat: Any) -> int:
    return stat if type(stat) is int and stat > 0 else 0


def _kind(error: BaseException | None) -> str:
    """Return what a request without a response is counted as. Never raises."""
    if isinstance(error, HttpError):
        return str(error.response.status)[:_MAX_NAME]
    if not isinstance(error, IgnoreRequest):
        return type(error).__name__[:_MAX_NAME]
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the class is the project's own
        text = ""
    if text.startswith(_OFFSITE):
        return "offsite"
    plain = "ignored" if type(error) is IgnoreRequest else type(error).__name__[:_MAX_NAME]
    return _RULES.get(text, plain)


def why_no_request(spidercls: type[Spider]) -> str | None:
    """Return why a spider can make no request at its start under this Scrapy, or None if it could.

    Scrapy before 2.13 calls only ``start_requests()``, later versions have ``start()``, and the newest never
    call ``start_requests()``. A spider that feeds itself when it is idle needs neither.
    """
    start, requests = _own(spidercls, "start"), _own(spidercls, "start_requests")
    if hasattr(spidercls, "spider_idle") or start == requests:
        return None
    if requests and not hasattr(Spider, "start_requests"):
        return _never("start_requests()", "async def start(self)")
    if start and not hasattr(Spider, "start"):
        return _never("start()", "def start_requests(self)")
    return None


def _never(old: str, new: str) -> str:
    return f"Scrapy {scrapy.__version__} never calls {old}; the spider needs `{new}`"


def _own(spidercls: type[Spider], name: str) -> bool:
    """Return whether the project, not Scrapy, defines this method of its spider."""
    owner = next((cls for cls in spidercls.__mro__ if name in vars(cls)), None)
    return owner is not None and not str(owner.__module__).startswith("scrapy.")
