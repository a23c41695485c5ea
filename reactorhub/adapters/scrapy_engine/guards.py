"""Keeps a crawl from harming the process: what its code may raise, how long it may hog the reactor,
and how its downloads can be cut off.

Everything is put onto one crawl's own engine objects; no class of Scrapy's or of the project is written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from scrapy.core.engine import ExecutionEngine
from scrapy.exceptions import IgnoreRequest

MOST_SCHEDULED = 10_000  # requests from start() that may wait in a crawl's scheduler before start() is paused
_PAUSE = 0.02  # seconds between looks at whether a paused start() may go on

Awaitable = Callable[..., Any]
_ESCAPES = (SystemExit, KeyboardInterrupt, GeneratorExit)


class EscapedException(Exception):
    """Spider code raised what would have ended the process (``sys.exit``) or hung the crawl."""


class Downloads:
    """The downloads of one crawl, so that they can be cut off without touching anyone else's."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cut = False

    def watch(self, download: Awaitable) -> Awaitable:
        """Return ``download`` with every call of it known here while it lasts."""

        async def watched(request: Any) -> Any:
            if self._cut:
                raise IgnoreRequest("the run was told to stop")
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                return await download(request)
            except asyncio.CancelledError:
                if not self._cut:
                    raise
                task.uncancel()
                raise IgnoreRequest("the download was cut off: the run was told to stop") from None
            finally:
                self._tasks.discard(task)

        return watched

    def cut(self, engine: ExecutionEngine) -> None:
        """End all downloads that are under way or wait for their turn, and let no other begin."""
        self._cut = True
        for task in tuple(self._tasks):
            task.cancel()
        for slot in tuple(getattr(engine.downloader, "slots", {}).values()):
            while slot.queue:
                _, waiting = slot.queue.popleft()
                waiting.errback(IgnoreRequest("the download was dropped: the run was told to stop"))


def guard(engine: ExecutionEngine, downloads: Downloads) -> None:
    """Put all guards onto a crawl's engine before its spider opens."""
    handlers = getattr(engine.downloader, "handlers", None)
    if handlers is not None:
        handlers.download_request_async = downloads.watch(handlers.download_request_async)
    scraper: Any = engine.scraper
    scraper.call_spider_async = _contained_callback(scraper.call_spider_async)
    scraper.itemproc.process_item_async = _contained(scraper.itemproc.process_item_async)
    scraper.spidermw.process_start = _paced_start(scraper.spidermw.process_start, engine)


def _paced_start(process_start: Awaitable, engine: ExecutionEngine) -> Awaitable:
    async def paced() -> AsyncIterator[Any]:
        return _paced(await process_start(), engine)

    return paced


async def _paced(start: AsyncIterator[Any], engine: ExecutionEngine) -> AsyncIterator[Any]:
    """Scrapy's engine reads a busy crawl's start() to its end without once letting the reactor go."""
    async for each in _contained_async(start):
        yield each
        if engine.needs_backout():
            await asyncio.sleep(0)
        while _scheduled(engine) >= MOST_SCHEDULED:  # noqa: ASYNC110 - the scheduler tells nobody it shrinks
            await asyncio.sleep(_PAUSE)


def _scheduled(engine: ExecutionEngine) -> int:
    try:
        return len(engine.scheduler)  # type: ignore[arg-type]
    except TypeError:
        return 0  # a scheduler of the project's own need not know its length


def _contained(call: Awaitable) -> Awaitable:
    async def contained(*args: Any) -> Any:
        try:
            return await call(*args)
        except _ESCAPES as error:
            raise _escaped(error) from error

    return contained


def _contained_callback(call: Awaitable) -> Awaitable:
    contained = _contained(call)

    async def callback(result: Any, request: Any) -> Any:
        output = await contained(result, request)
        if hasattr(output, "__aiter__"):
            return _contained_async(output)
        return _contained_iterable(output)

    return callback


def _contained_iterable(output: Iterable[Any]) -> Iterator[Any]:
    iterator = iter(output)
    while True:
        try:
            each = next(iterator)
        except StopIteration:
            return
        except _ESCAPES as error:
            raise _escaped(error) from error
        yield each


async def _contained_async(output: AsyncIterator[Any]) -> AsyncIterator[Any]:
    iterator = aiter(output)
    while True:
        try:
            each = await anext(iterator)
        except StopAsyncIteration:
            return
        except _ESCAPES as error:
            raise _escaped(error) from error
        yield each


def _escaped(error: BaseException) -> EscapedException:
    return EscapedException(f"the spider raised {type(error).__name__}({error}); the hub goes on")
