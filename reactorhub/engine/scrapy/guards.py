"""Keeps a crawl from harming the process.

Guards contain what the crawl's code raises, pace its ``start()``, and let its downloads be cut off. They are
put onto one crawl's own engine objects. No class of Scrapy or of the project is changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from scrapy.core.engine import ExecutionEngine
from scrapy.exceptions import IgnoreRequest

from reactorhub.containment.contexts import contain, contained, contained_iterator
from reactorhub.engine.isolated.child.private import keep_to_limits
from reactorhub.engine.scrapy.private.engines import (
    ask_again,
    close_spider,
    drop_delays,
    wrap_calls,
    wrap_components,
    wrap_next_request,
)
from reactorhub.errors import EscapedError

MAX_SCHEDULED = 10_000  # start() pauses while so many requests wait in the crawl's scheduler
MAX_FAILURES = 3  # exceptions in a row from a scheduler that is asked for a request
_LAST_WAIT = 0.1  # seconds that code which begins after a cut may await something, an errback for example
_PAUSE = 0.02  # seconds between checks whether a paused start() may go on

Call = Callable[..., Any]


class InFlight:
    """What one crawl awaits: its downloads, and spider code that awaits something.

    All of it can be cut off without harm to other crawls. Scrapy sees a download that was cut off as an
    ignored request, and code that was cut off as code that raised. So the crawl still closes in order.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cutting: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._refused: Callable[[], object] = _nothing
        self.begun = False
        """Whether anything was downloaded, by code of the spider as well."""

    async def download(self, call: Call, request: Any) -> Any:
        """Download. Raises IgnoreRequest if the crawl has been cut off, or is cut off meanwhile."""
        self.begun = True
        if self._closed:
            self._refused()
            raise _download_cut()
        return await self._waited(call(request), _download_cut)

    def code(self, waiting: Awaitable[Any]) -> Awaitable[Any]:
        """Return what awaits spider code.

        It raises EscapedError if the code is cut off, or raises what would end the process.
        """
        return self._waited(waiting, _code_cut)

    def cut(self, engine: ExecutionEngine, refused: Callable[[], object]) -> None:
        """Cut off everything that is awaited, and let no other download begin.

        :param refused: called before each download that would have begun fails.
        """
        self._closed, self._refused = True, refused
        for task in tuple(self._tasks):
            self._cut(task)
        drop_delays(engine)

    async def _waited(self, waiting: Awaitable[Any], cut: Callable[[], Exception]) -> Any:
        task = asyncio.current_task()
        known = task is None or task in self._tasks  # then it is code that awaits other code
        late = None if known else self._begin(task)
        try:
            return await waiting
        except asyncio.CancelledError as error:
            if task is None or known or task not in self._cutting:
                contain(error)
            task.uncancel()
            raise cut() from None
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        finally:
            if not known:
                self._tasks.discard(task)
                self._cutting.discard(task)
                if late is not None:
                    late.cancel()

    def _begin(self, task: Any) -> asyncio.TimerHandle | None:
        self._tasks.add(task)
        return task.get_loop().call_later(_LAST_WAIT, self._cut, task) if self._closed else None

    def _cut(self, task: asyncio.Task[Any]) -> None:
        self._cutting.add(task)
        task.cancel()


def _nothing() -> None:
    """Do nothing."""


def _download_cut() -> Exception:
    return IgnoreRequest("the download was cut off: the run was told to stop")


def _code_cut() -> Exception:
    return EscapedError("it was cut off: the run was told to stop")


def guard(engine: ExecutionEngine, in_flight: InFlight) -> None:
    """Put all guards on a crawl's engine. Call this before its spider opens."""
    keep_to_limits(engine.downloader)
    wrap_calls(
        engine,
        download=partial(_cuttable, in_flight),
        callback=partial(_contained_callback, in_flight),
        item=partial(_contained, in_flight),
        start=partial(_paced_start, in_flight, engine),
    )
    wrap_components(engine, contained)
    wrap_next_request(engine, partial(_enduring, engine))


def _enduring(engine: ExecutionEngine, next_requests: Call) -> Call:
    """Let a scheduler raise when it is asked for a request, but not for ever: then the crawl is closed."""
    failures = 0

    def send_next_requests() -> None:
        nonlocal failures
        try:
            next_requests()
        except BaseException as error:
            failures += 1
            logging.getLogger(__name__).exception("The crawl cannot send its next request", exc_info=error)
            if failures < MAX_FAILURES:
                ask_again(engine)
            else:
                close_spider(engine, "scheduler_error")
        else:
            failures = 0

    return send_next_requests


def _cuttable(in_flight: InFlight, download: Call) -> Call:
    return partial(in_flight.download, download)


def _contained(in_flight: InFlight, call: Call) -> Call:
    def contained(*args: Any) -> Any:
        return in_flight.code(call(*args))

    return contained


def _contained_callback(in_flight: InFlight, call: Call) -> Call:
    async def callback(result: Any, request: Any) -> Any:
        output = await in_flight.code(call(result, request))
        if hasattr(output, "__aiter__"):
            return _contained_async(in_flight, output)
        return contained_iterator(output)

    return callback


async def _contained_async(in_flight: InFlight, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
    iterator = aiter(output)
    while True:
        try:
            each = await in_flight.code(anext(iterator))
        except StopAsyncIteration:
            return
        yield each


def _paced_start(in_flight: InFlight, engine: ExecutionEngine, process_start: Call) -> Call:
    async def paced() -> AsyncIterator[Any]:
        return _paced(_contained_async(in_flight, await in_flight.code(process_start())), engine)

    return paced


async def _paced(start: AsyncIterator[Any], engine: ExecutionEngine) -> AsyncIterator[Any]:
    """Pause start() while the crawl is busy. Scrapy would read all of it in one turn of the reactor."""
    async for each in start:
        yield each
        if engine.needs_backout():
            await asyncio.sleep(0)
        while _scheduled(engine) >= MAX_SCHEDULED:  # noqa: ASYNC110 - a scheduler sends no signal
            await asyncio.sleep(_PAUSE)


def _scheduled(engine: ExecutionEngine) -> int:
    try:
        return len(engine.scheduler)  # type: ignore[arg-type]
    except BaseException:  # noqa: BLE001 - a scheduler of the project's own may have no length, or raise anything
        return 0
