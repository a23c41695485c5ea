"""Keeps a crawl from harming the process: what its code may raise, how long it may hog the reactor,
and how what it waits for can be cut off.

Everything is put onto one crawl's own engine objects; no class of Scrapy's or of the project is written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

from scrapy.core.downloader import Downloader
from scrapy.core.engine import ExecutionEngine
from scrapy.exceptions import IgnoreRequest

from reactorhub.containment.contexts import ESCAPES, contain
from reactorhub.errors import EscapedError

MAX_SCHEDULED = 10_000  # requests from start() that may wait in a crawl's scheduler before start() is paused
_PAUSE = 0.02  # seconds between looks at whether a paused start() may go on

Call = Callable[..., Any]


class InFlight:
    """What one crawl is waiting for: its downloads, and spider code that awaits something.

    All of it can be cut off without touching anyone else's. To Scrapy a download that was cut off looks like
    an ignored request, and code that was cut off like code that raised; so the crawl still closes in order.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cutting: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def download(self, call: Call, request: Any) -> Any:
        """Download, unless and until it is cut off."""
        stopped = IgnoreRequest("the download was cut off: the run was told to stop")
        if self._closed:
            raise stopped
        return await self._waited(call(request), stopped)

    async def code(self, waiting: Awaitable[Any]) -> Any:
        """Let spider code run, unless and until it is cut off; what escapes from it is contained."""
        try:
            return await self._waited(waiting, EscapedError("it was cut off: the run was told to stop"))
        except ESCAPES as error:
            contain(error)

    def cut(self, engine: ExecutionEngine) -> None:
        """End all that is waited for, and let no other download begin."""
        self._closed = True
        for task in tuple(self._tasks):
            self._cutting.add(task)
            task.cancel()
        if isinstance(engine.downloader, Downloader):
            _hasten(engine.downloader)

    async def _waited(self, waiting: Awaitable[Any], instead: Exception) -> Any:
        task = asyncio.current_task()
        if task is None or task in self._tasks:
            return await waiting
        self._tasks.add(task)
        try:
            return await waiting
        except asyncio.CancelledError:
            if task not in self._cutting:
                raise
            task.uncancel()
            raise instead from None
        finally:
            self._tasks.discard(task)
            self._cutting.discard(task)


def _hasten(downloader: Downloader) -> None:
    """Let what waits for its turn have it now, and what comes later too: it ends as it begins."""
    downloader._delay = 0
    for slot in tuple(downloader.slots.values()):
        slot.delay = 0
        slot.close()
        downloader._process_queue(slot)


def guard(engine: ExecutionEngine, in_flight: InFlight) -> None:
    """Put all guards onto a crawl's engine before its spider opens."""
    handlers: Any = getattr(engine.downloader, "handlers", None)
    if handlers is not None:
        handlers.download_request_async = _cuttable(in_flight, handlers.download_request_async)
    scraper: Any = engine.scraper
    scraper.call_spider_async = _contained_callback(in_flight, scraper.call_spider_async)
    scraper.itemproc.process_item_async = _contained(in_flight, scraper.itemproc.process_item_async)
    scraper.spidermw.process_start = _paced_start(in_flight, scraper.spidermw.process_start, engine)


def _cuttable(in_flight: InFlight, download: Call) -> Call:
    async def cuttable(request: Any) -> Any:
        return await in_flight.download(download, request)

    return cuttable


def _contained(in_flight: InFlight, call: Call) -> Call:
    async def contained(*args: Any) -> Any:
        return await in_flight.code(call(*args))

    return contained


def _contained_callback(in_flight: InFlight, call: Call) -> Call:
    async def callback(result: Any, request: Any) -> Any:
        output = await in_flight.code(call(result, request))
        if hasattr(output, "__aiter__"):
            return _contained_async(in_flight, output)
        return _contained_iterable(output)

    return callback


def _contained_iterable(output: Iterable[Any]) -> Iterator[Any]:
    iterator = iter(output)
    while True:
        try:
            each = next(iterator)
        except StopIteration:
            return
        except ESCAPES as error:
            contain(error)
        yield each


async def _contained_async(in_flight: InFlight, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
    iterator = aiter(output)
    while True:
        try:
            each = await in_flight.code(anext(iterator))
        except StopAsyncIteration:
            return
        yield each


def _paced_start(in_flight: InFlight, process_start: Call, engine: ExecutionEngine) -> Call:
    async def paced() -> AsyncIterator[Any]:
        return _paced(_contained_async(in_flight, await process_start()), engine)

    return paced


async def _paced(start: AsyncIterator[Any], engine: ExecutionEngine) -> AsyncIterator[Any]:
    """Scrapy's engine reads a busy crawl's start() to its end without once letting the reactor go."""
    async for each in start:
        yield each
        if engine.needs_backout():
            await asyncio.sleep(0)
        while _scheduled(engine) >= MAX_SCHEDULED:  # noqa: ASYNC110 - the scheduler tells nobody it shrinks
            await asyncio.sleep(_PAUSE)


def _scheduled(engine: ExecutionEngine) -> int:
    try:
        return len(engine.scheduler)  # type: ignore[arg-type]
    except TypeError:
        return 0  # a scheduler of the project's own need not know its length
