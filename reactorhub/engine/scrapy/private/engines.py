"""What is private in the engine of a crawl: where its calls are wrapped, how it is hurried and stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scrapy.core.downloader import Downloader
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import (
    Crawler,
)
from scrapy.extensions.feedexport import FeedExporter
from scrapy.utils.defer import _schedule_coro
from scrapy.utils.misc import build_from_crawler

Call = Callable[..., Any]
Wrapper = Callable[[Call], Call]


def wrap_calls(
    engine: ExecutionEngine, *, download: Wrapper, callback: Wrapper, item: Wrapper, start: Wrapper
) -> None:
    """Replace the engine's calls into downloads and into the project's code.

    :param download: wraps ``download(request)``; unused with a downloader that has no handlers.
    :param callback: wraps ``callback(result, request)``, for errbacks too.
    :param item: wraps ``process_item(item)`` of all pipelines together.
    :param start: wraps ``process_start()``, which returns the asynchronous iterator of ``start()``.
    """
    handlers: Any = getattr(engine.downloader, "handlers", None)
    if handlers is not None:
        handlers.download_request_async = download(handlers.download_request_async)
    wrap_callback(engine, callback)
    scraper: Any = engine.scraper
    if getattr(scraper.itemproc, "methods", {}).get("process_item", True):  # none is there without pipelines
        scraper.itemproc.process_item_async = item(scraper.itemproc.process_item_async)
    scraper.spidermw.process_start = start(scraper.spidermw.process_start)


def wrap_callback(engine: ExecutionEngine, callback: Wrapper) -> None:
    """Replace ``callback(result, request)``, which calls a request's callback or errback."""
    scraper: Any = engine.scraper
    scraper.call_spider_async = callback(scraper.call_spider_async)


def wrap_new_batches(exporter: FeedExporter, wrap: Callable[[Any], Any]) -> None:
    """Call ``wrap`` with each batch of items that this exporter begins; it returns the batch."""
    begin = exporter._start_new_batch
    exporter.__dict__["_start_new_batch"] = lambda *args, **kwargs: wrap(begin(*args, **kwargs))


def wrap_close(engine: ExecutionEngine, close: Wrapper) -> None:
    """Replace the call that closes the pipelines of a crawl."""
    scraper: Any = engine.scraper
    scraper.close_spider_async = close(scraper.close_spider_async)


def wrap_components(engine: ExecutionEngine, wrap: Wrapper) -> None:
    """Replace the methods of the project's own middlewares and pipelines in the engine's lists of them.

    Scrapy's own stay as they are: they raise nothing unusual, and most crawls have no others.
    """
    scraper: Any = engine.scraper
    downloads: Any = getattr(engine.downloader, "middleware", None)
    managers: tuple[Any, ...] = (downloads, scraper.spidermw, scraper.itemproc)
    for manager in managers:
        for methods in getattr(manager, "methods", {}).values():
            for index, method in enumerate(methods):
                if method is not None and not _is_scrapy_s(method):
                    methods[index] = wrapped = wrap(method)
                    if method in manager._mw_methods_requiring_spider:
                        manager._mw_methods_requiring_spider.add(wrapped)


def _is_scrapy_s(method: Any) -> bool:
    modules = {getattr(method, "__module__", ""), type(getattr(method, "__self__", None)).__module__}
    return all(str(name).startswith("scrapy.") for name in modules)


def wrap_next_request(engine: ExecutionEngine, wrap: Wrapper) -> None:
    """Replace the call that asks the scheduler for requests and sends them."""
    engine.__dict__["_start_scheduled_requests"] = wrap(engine._start_scheduled_requests)


def ask_again(engine: ExecutionEngine) -> None:
    """Let the engine ask its scheduler for requests again, in a later turn of the reactor."""
    if engine._slot is not None:
        engine._slot.nextcall.schedule()


def close_spider(engine: ExecutionEngine, reason: str) -> None:
    """Begin to close a spider, if it is open and not closing yet."""
    if engine._slot is not None and engine._slot.closing is None:
        _schedule_coro(engine.close_spider_async(reason=reason))


def wrap_scheduler(engine: ExecutionEngine, wrap: Callable[[Any], None]) -> None:
    """Call ``wrap`` with the scheduler of this engine as soon as Scrapy makes it."""
    engine.scheduler_cls = _WrappingScheduler(engine.scheduler_cls, wrap)  # type: ignore[assignment]


class _WrappingScheduler:
    """Stands where the engine expects a class of schedulers. A class made for each run would cost more."""

    def __init__(self, kind: Any, wrap: Callable[[Any], None]) -> None:
        self._kind, self._wrap = kind, wrap

    def from_crawler(self, crawler: Crawler) -> Any:
        scheduler = build_from_crawler(self._kind, crawler)
        self._wrap(scheduler)
        return scheduler


def drop_delays(engine: ExecutionEngine) -> None:
    """Let requests that wait for a delay begin now, and later ones too.

    A downloader of the project's own stays as it is.
    """
    downloader = engine.downloader
    if not isinstance(downloader, Downloader):
        return
    downloader._delay = 0
    for slot in tuple(downloader.slots.values()):
        slot.delay = 0
        slot.close()
        downloader._process_queue(slot)


def stop_timers(engine: ExecutionEngine) -> None:
    """Stop the timers of an engine that did not close."""
    engine.downloader.close()
    if engine._slot is not None:
        engine._slot.nextcall.cancel()
        if engine._slot.heartbeat.running:
            engine._slot.heartbeat.stop()
