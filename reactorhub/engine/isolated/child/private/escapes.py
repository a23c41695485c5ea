"""Makes ordinary exceptions of what would hang the crawl, where Scrapy calls code of the project.

Scrapy expects an ``Exception`` there. Anything else, such as the panic of a library, ends the task that
Scrapy counts on, and then the crawl never closes.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from types import FunctionType
from typing import Any, NoReturn

from scrapy.crawler import Crawler
from scrapy.utils import misc
from scrapy.utils import signal as signal_utils

from ..forks import is_forked, leave

Call = Callable[..., Any]

_PARTS = ("logformatter", "request_fingerprinter", "stats")
_STATS = "close_spider"  # it dumps all stats, and their texts come from any class


class EscapedError(Exception):
    """Spider code raised what would have ended the process, or hung its crawl."""


def contain_project(crawler: Crawler, engine: Any) -> None:
    """Contain what the project's own parts raise: middlewares, pipelines, ``start()``, scheduler and others.

    Scrapy's own classes stay as they are. What its callbacks raise is contained by ``InFlight``.
    """
    contain_signals()
    scraper = engine.scraper
    for manager in (getattr(engine.downloader, "middleware", None), scraper.spidermw, scraper.itemproc):
        _contain_manager(manager)
    if hasattr(scraper.spidermw, "process_start"):
        scraper.spidermw.process_start = contained(scraper.spidermw.process_start)
    parts = [getattr(crawler, name, None) for name in _PARTS]
    for part in (*parts, engine.downloader, getattr(engine.downloader, "handlers", None)):
        _contain_part(part)
    stats = getattr(crawler, "stats", None)
    if stats is not None:
        _set(stats, _STATS, contained(getattr(stats, _STATS)))
    engine.scheduler_cls = _ContainedScheduler(engine.scheduler_cls)


def contain_signals() -> None:
    """Contain what handlers of signals raise."""
    module: Any = signal_utils
    if not hasattr(module.robustApply, "__wrapped__"):
        module.robustApply = contained(module.robustApply)


def contained(call: Call) -> Call:
    """Return ``call``, which raises ordinary exceptions only, as does a coroutine or generator it returns."""

    @wraps(call)
    def inside(*args: Any, **kwargs: Any) -> Any:
        try:
            result = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        return _contained_result(result)

    return inside


def contain(error: BaseException) -> NoReturn:
    """Raise an ordinary exception in place of ``error``, or the same, if it is ordinary or a real cancel.

    :raises EscapedError: with the name and text of ``error``.
    """
    if isinstance(error, Exception) or _is_cancel(error):
        raise error
    if is_forked():
        leave(error)
    raise EscapedError(f"the spider raised {type(error).__name__}({_text(error)})") from error


def _is_cancel(error: BaseException) -> bool:
    """Whether the task is being cancelled. Python before 3.11 does not tell, and then it may be."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and bool(getattr(task, "cancelling", lambda: True)())


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the class is the project's
        return ""


def _contained_result(result: Any) -> Any:
    if inspect.iscoroutine(result):
        return _coroutine(result)
    if inspect.isasyncgen(result):
        return each_async(result)
    return each(result) if inspect.isgenerator(result) else result


async def _coroutine(coroutine: Any) -> Any:
    try:
        result = await coroutine
    except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
        contain(error)
    return _contained_result(result)


async def each_async(output: Any) -> AsyncIterator[Any]:
    """Yield what ``output`` yields; raise ordinary exceptions only."""
    iterator = output.__aiter__()
    while True:
        try:
            value = await iterator.__anext__()
        except StopAsyncIteration:
            return
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        yield value


def each(output: Any) -> Iterator[Any]:
    """Yield what ``output`` yields; raise ordinary exceptions only."""
    iterator = iter(output)
    while True:
        try:
            value = next(iterator)
        except StopIteration:
            return
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        yield value


def _contain_manager(manager: Any) -> None:
    """Contain the methods of a manager of middlewares that are the project's. Some versions pair them."""
    spider_is_passed = getattr(manager, "_mw_methods_requiring_spider", None)
    for methods in getattr(manager, "methods", {}).values():
        for index, method in enumerate(methods):
            if isinstance(method, tuple):
                methods[index] = tuple(_contained_method(one, spider_is_passed) for one in method)
            else:
                methods[index] = _contained_method(method, spider_is_passed)


def _contained_method(method: Any, spider_is_passed: Any) -> Any:
    if method is None or _is_scrapy_s(method):
        return method
    inside = contained(method)
    if spider_is_passed is not None and method in spider_is_passed:
        spider_is_passed.add(inside)
    return inside


def _is_scrapy_s(method: Any) -> bool:
    modules = {getattr(method, "__module__", ""), type(getattr(method, "__self__", None)).__module__}
    return all(str(name).startswith("scrapy.") for name in modules)


def _contain_part(part: Any) -> None:
    """Contain the methods that a class of the project's own defines or overrides."""
    if _is_foreign(type(part).__module__):
        return
    for name in dir(type(part)):
        function = getattr(type(part), name, None)
        if isinstance(function, FunctionType) and name[:2] != "__" and not _is_foreign(function.__module__):
            _set(part, name, contained(getattr(part, name)))


def _is_foreign(module: Any) -> bool:
    return str(module).startswith(("scrapy.", "builtins"))


def _set(part: Any, name: str, method: Call) -> None:
    """Replace a method. Scrapy's stats keep each under a second name once it has been looked up."""
    try:
        setattr(part, name, method)
        if hasattr(part, f"_cached_{name}"):
            setattr(part, f"_cached_{name}", method)
    except Exception:  # noqa: BLE001 - a class may have slots or refuse
        logging.getLogger(__name__).debug("%s.%s cannot be contained", type(part).__name__, name)


class _ContainedScheduler:
    """Stands where the engine expects a class of schedulers, and contains the one that it makes."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def from_crawler(self, crawler: Crawler) -> Any:
        build = getattr(misc, "build_from_crawler", None)
        old: Any = misc
        scheduler = build(self._kind, crawler) if build else old.create_instance(self._kind, None, crawler)
        _contain_part(scheduler)
        _contain_part(getattr(scheduler, "df", None))
        for name in ("open", "close", "has_pending_requests"):
            if hasattr(scheduler, name):
                _set(scheduler, name, contained(getattr(scheduler, name)))
        _set(scheduler, "enqueue_request", _dropping(scheduler.enqueue_request))
        return scheduler


def _dropping(enqueue: Call) -> Call:
    """Drop a request for which the scheduler raises. A task that feeds requests to it would die instead."""

    def enqueue_request(request: Any) -> Any:
        try:
            return enqueue(request)
        except BaseException as error:
            logger = logging.getLogger(__name__)
            logger.exception("The scheduler raised an exception and drops %s", request, exc_info=error)
            return False

    return enqueue_request
