"""What a crawl waits for, and how all of it is cut off."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from scrapy.core.downloader import Downloader
from scrapy.exceptions import IgnoreRequest
from twisted.python.failure import Failure

from ..pages import Pages
from .escapes import EscapedError, contain, each


class InFlight:
    """What a crawl waits for: downloads and, from Scrapy 2.14 on, spider code. All of it can be cut off."""

    def __init__(self, engine: Any, pages: Pages) -> None:
        """:param pages: counts what is passed to the spider."""
        self._engine = engine
        self._pages = pages
        self._closed = False
        self._refused: Callable[[], object] = lambda: None
        self._tasks: set[Any] = set()
        self._cutting: set[Any] = set()
        self._deferreds: set[Any] = set()
        self._guard_downloads(getattr(engine.downloader, "handlers", None))
        scraper = engine.scraper
        if hasattr(scraper, "call_spider_async"):
            scraper.call_spider_async = self._callback(scraper.call_spider_async)
        else:
            scraper.call_spider = self._old_callback(scraper.call_spider)
        if hasattr(scraper.itemproc, "process_item_async"):
            scraper.itemproc.process_item_async = self._code(scraper.itemproc.process_item_async)

    def cut(self, refused: Callable[[], object]) -> None:
        """End all that is waited for, and let no other download begin.

        :param refused: called before each download that would have begun fails.
        """
        self._closed, self._refused = True, refused
        for task in tuple(self._tasks):
            self._cutting.add(task)
            task.cancel()
        for deferred in tuple(self._deferreds):
            deferred.cancel()
        if isinstance(self._engine.downloader, Downloader):
            self._hasten(self._engine.downloader)

    def _hasten(self, downloader: Any) -> None:
        """Let what waits for its turn have it now: it ends as it begins."""
        for attribute in ("_delay", "delay"):
            if hasattr(downloader, attribute):
                setattr(downloader, attribute, 0)
        process = downloader._process_queue
        for slot in tuple(downloader.slots.values()):
            slot.delay = 0
            slot.close()
            slot.latercall = None
            process(*([self._engine.spider] if len(inspect.signature(process).parameters) > 1 else []), slot)

    def _guard_downloads(self, handlers: Any) -> None:
        if hasattr(handlers, "download_request_async"):
            handlers.download_request_async = self._download(handlers.download_request_async)
        elif hasattr(handlers, "download_request"):
            handlers.download_request = self._old_download(handlers.download_request)

    def _download(self, download: Callable[..., Any]) -> Callable[..., Any]:
        async def cuttable(request: Any) -> Any:
            self._pages.downloads = True
            if self._closed:
                self._refused()
                raise _cut_off()
            return await self._waited(download(request), _cut_off())

        return cuttable

    def _old_download(self, download: Callable[..., Any]) -> Callable[..., Any]:
        def cuttable(request: Any, spider: Any) -> Any:
            self._pages.downloads = True
            if self._closed:
                self._refused()
                raise _cut_off()
            deferred = download(request, spider)
            self._deferreds.add(deferred)
            return deferred.addBoth(done, deferred)

        def done(result: Any, deferred: Any) -> Any:
            self._deferreds.discard(deferred)
            return Failure(_cut_off()) if self._closed and isinstance(result, Failure) else result

        return cuttable

    def _callback(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def callback(*args: Any) -> Any:
            self._pages.came(args[0])
            output = await self._contained(call(*args))
            return self._each_async(output) if hasattr(output, "__aiter__") else each(output)

        return callback

    def _old_callback(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def callback(*args: Any) -> Any:
            self._pages.came(args[0])
            return call(*args)

        return callback

    def _code(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def contained(*args: Any) -> Any:
            return await self._contained(call(*args))

        return contained

    async def _each_async(self, output: Any) -> AsyncIterator[Any]:
        iterator = output.__aiter__()
        while True:
            try:
                each = await self._contained(iterator.__anext__())
            except StopAsyncIteration:
                return
            yield each

    async def _contained(self, waiting: Awaitable[Any]) -> Any:
        try:
            return await self._waited(waiting, EscapedError("it was cut off: the run was told to stop"))
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)

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
            getattr(task, "uncancel", int)()
            raise instead from None
        finally:
            self._tasks.discard(task)
            self._cutting.discard(task)


def _cut_off() -> IgnoreRequest:
    return IgnoreRequest("the download was cut off: the run was told to stop")
