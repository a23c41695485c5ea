"""Everything in Scrapy that is private or that a feed replaces. A new version of Scrapy may change it.

Scrapy has no signal for "this request has been handled", and none for "the spider begins to close". So
methods of the engine of one crawl are replaced, on this engine alone.
``tests/spiderkit/feed/test_private.py`` says what a new version no longer has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import ContextVar
from typing import Any

from scrapy import Request
from scrapy.core.engine import ExecutionEngine
from scrapy.utils.defer import _schedule_coro
from twisted.python.failure import Failure

from reactorhub.spiderkit.feed.accounts import Accounts

ENTRY = "redis_entry"
"""The key in ``request.meta`` that has the entry's id. It survives redirects, retries and disk queues."""

RELIED_ON: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "scrapy.core.engine:ExecutionEngine._schedule_request",
        ("self", "request"),
        "replaced: each request on its way into the scheduler, also one that a signal handler refuses",
    ),
    (
        "scrapy.core.engine:ExecutionEngine._handle_downloader_output",
        ("self", "result", "request"),
        "replaced: a redirect or a retry belongs to the entry, and a failed download is counted",
    ),
    (
        "scrapy.core.engine:ExecutionEngine._remove_request",
        ("self", "_", "request"),
        "replaced: called when a request is over, with all that the spider and the pipelines made of it",
    ),
    (
        "scrapy.core.engine:ExecutionEngine.close_spider_async",
        ("self", "reason"),
        "replaced: called when the spider begins to close; the signal comes when it has closed",
    ),
    (
        "scrapy.core.scraper:Scraper.handle_spider_output_async",
        ("self", "result", "request", "response"),
        "replaced: says whose response the requests come from that a callback yields",
    ),
    (
        "scrapy.core.scraper:Scraper._process_spidermw_output_async",
        ("self", "output", "response"),
        "replaced: each request that a callback yields, after the spider middlewares",
    ),
    (
        "scrapy.middleware:MiddlewareManager._process_chain",
        (
            "self",
            "methodname",
            "obj",
            "args",
            "add_spider",
            "always_add_spider",
            "warn_deferred",
        ),
        "called: passes requests through the spider middlewares as start() does",
    ),
    ("scrapy.utils.defer:_schedule_coro", ("coro",), "called: starts a coroutine, as the engine does"),
)
"""Methods, with the names of their parameters and the reason. A test compares them with Scrapy."""

_whose: ContextVar[str | None] = ContextVar("reactorhub_feed_entry", default=None)


def entry_of(request: Request | None) -> str | None:
    """Return the entry that a request belongs to."""
    return None if request is None else request.meta.get(ENTRY)


def mark(request: Request, entry_id: str) -> None:
    """Note in a request that it belongs to an entry."""
    request.meta[ENTRY] = entry_id


class Follower:
    """Tells accounts which requests of an engine begin and end."""

    def __init__(
        self,
        engine: ExecutionEngine,
        accounts: Accounts,
        *,
        closing: Callable[[], None],
        over: Callable[[], None],
    ) -> None:
        """
        :param closing: called when the spider begins to close.
        :param over: called whenever a request is over, whether it belongs to an entry or not.
        """
        self._engine = engine
        self._accounts = accounts
        self._closing = closing
        self._over = over
        self._accepted: Request | None = None
        self._ending: dict[Request, str | None] = {}

    def follow(self) -> None:
        """Replace the methods of the engine. Call this once, before the first request of an entry."""
        engine, scraper = self._engine, self._engine.scraper
        scheduler: Any = engine.scheduler
        self._enqueue = scheduler.enqueue_request
        scheduler.enqueue_request = self._enqueue_request
        replaced = {
            "_schedule_request": self._schedule_request,
            "_handle_downloader_output": self._handle_downloader_output,
            "_remove_request": self._remove_request,
            "close_spider_async": self._close_spider_async,
        }
        self._of_engine = {name: getattr(engine, name) for name in replaced}
        engine.__dict__.update(replaced)
        self._handle_output = scraper.handle_spider_output_async
        self._process_output = scraper._process_spidermw_output_async
        scraper.__dict__["handle_spider_output_async"] = self._handle_spider_output_async
        scraper.__dict__["_process_spidermw_output_async"] = self._process_spidermw_output_async

    def running(self) -> list[str]:
        """Return the entry of each request that was sent and is not over."""
        slot = self._engine._slot
        found = () if slot is None else map(entry_of, slot.inprogress)
        return [entry_id for entry_id in found if entry_id is not None]

    def _enqueue_request(self, request: Request) -> bool:
        accepted: bool = self._enqueue(request)
        if accepted:
            self._accepted = request
        return accepted

    def _schedule_request(self, request: Request) -> None:
        entry_id = entry_of(request)
        if entry_id is None:
            self._of_engine["_schedule_request"](request)
            return
        self._accounts.begin(entry_id)
        self._accepted = None
        self._of_engine["_schedule_request"](request)
        if self._accepted is request:
            self._accounts.accepted(entry_id)
        else:
            self._accounts.end(entry_id)

    def _handle_downloader_output(self, result: Any, request: Request) -> Any:
        entry_id = self._ending[request] = entry_of(request)
        if entry_id is not None:
            if isinstance(result, Request):
                mark(result, entry_id)
            elif isinstance(result, Failure):
                self._accounts.failed(entry_id)
            else:
                self._accounts.responded(entry_id)
        return self._of_engine["_handle_downloader_output"](result, request)

    def _remove_request(self, result: Any, request: Request) -> None:
        entry_id = self._ending.pop(request, None)
        self._of_engine["_remove_request"](result, request)
        if entry_id is not None:
            self._accounts.end(entry_id)
        self._over()

    async def _close_spider_async(self, *, reason: str = "cancelled") -> None:
        self._closing()
        await self._of_engine["close_spider_async"](reason=reason)

    async def _handle_spider_output_async(self, result: Any, request: Request, response: Any) -> None:
        before = _whose.set(self._ending.get(request))
        try:
            await self._handle_output(result, request, response)
        finally:
            _whose.reset(before)

    async def _process_spidermw_output_async(self, output: Any, response: Any) -> None:
        if isinstance(output, Request):
            self._adopt(output, _whose.get())
        await self._process_output(output, response)

    def _adopt(self, request: Request, entry_id: str | None) -> None:
        """A request that a callback yields belongs to the entry of its response, or to none."""
        if self._accounts.tree and entry_id is not None:
            mark(request, entry_id)
        elif ENTRY in request.meta:
            del request.meta[ENTRY]


async def as_start(engine: ExecutionEngine, outputs: Iterable[Any]) -> AsyncIterator[Any]:
    """Pass requests through the spider middlewares, as the requests of ``start()`` pass."""

    async def start() -> AsyncIterator[Any]:
        for each in outputs:
            yield each

    chain: AsyncIterator[Any] = await engine.scraper.spidermw._process_chain("process_start", start())
    return chain


def look_again(engine: ExecutionEngine) -> None:
    """Let the engine find out soon whether it is idle. Otherwise it looks every 5 s."""
    if engine._slot is not None:
        engine._slot.nextcall.schedule()


def backlog(engine: ExecutionEngine) -> int:
    """Return how many requests wait in the scheduler; 0 if it does not say."""
    try:
        return len(engine.scheduler)  # type: ignore[arg-type]  # other schedulers may have no length
    except TypeError:
        return 0


def close(engine: ExecutionEngine, reason: str) -> None:
    """Begin to close the spider."""
    _schedule_coro(engine.close_spider_async(reason=reason))
