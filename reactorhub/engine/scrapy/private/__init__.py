"""Everything in Scrapy that is private or that the hub replaces. A new version may change it.

Other modules import these names and never touch an underscore of Scrapy's themselves. ``relied_on`` lists
each part with the reason. ``tests/engine/test_private.py`` names what a new Scrapy no longer has.
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import iscoroutine
from typing import Any

from scrapy import Spider
from scrapy.core import scraper as scraper_module
from scrapy.core.downloader import Downloader
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import (
    AsyncCrawlerProcess,
    AsyncCrawlerRunner,
    Crawler,
    CrawlerProcess,
    CrawlerRunner,
)
from scrapy.extensions.feedexport import FeedExporter
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader
from scrapy.statscollectors import StatsCollector
from scrapy.utils import signal as signal_utils
from scrapy.utils.defer import _schedule_coro
from scrapy.utils.misc import build_from_crawler

from reactorhub.containment.contexts import RunContext, contain, contained_result, here
from reactorhub.containment.imports import importing
from reactorhub.containment.loop import refuse_import

Call = Callable[..., Any]
Wrapper = Callable[[Call], Call]

CRAWLER_LOGGER = "scrapy.crawler"
"""The logger under which Scrapy's own command line would report that a crawl raised an exception."""

LEFT_OUT = (
    "scrapy.extensions.logcount.LogCount",  # one root handler per crawl, and each counts every run's records
    "scrapy.extensions.memusage.MemoryUsage",  # reads the peak memory of the whole process
    "scrapy.extensions.remote_control.RemoteControl",  # its library alone needs 10 MB
    "scrapy.extensions.telnet.TelnetConsole",  # opens a port per crawl
)
"""Scrapy's own extensions that must not run in a process of many crawls. The hub does not import them."""

BASE_EXTENSIONS = "EXTENSIONS_BASE"
"""The setting that names Scrapy's own extensions."""


class HookedCrawler(Crawler):
    """A Crawler that hands its new engine to :meth:`engine_made` and leaves the root logger alone."""

    def engine_made(self, engine: ExecutionEngine) -> None:
        """Override to prepare the engine. Scrapy opens the spider right afterwards."""

    def settings_made(self, settings: Settings) -> None:
        """Override to have the last word on the settings. Scrapy freezes them right afterwards."""

    def _apply_settings(self) -> None:
        load: Any = self.addons.load_settings

        def load_settings(settings: Settings) -> None:
            load(settings)
            self.settings_made(settings)

        self.addons.load_settings = load_settings  # type: ignore[method-assign]
        super()._apply_settings()

    def _create_engine(self) -> ExecutionEngine:
        engine = super()._create_engine()
        self.engine_made(engine)
        return engine

    def log_settings_made(self, settings: Settings) -> None:
        """Override to have the run's log heed LOG_... settings: the spider's, then those of all parts."""

    def _update_root_log_handler(self) -> None:
        """Leave the root logger alone: Scrapy would replace the root log handler of the whole process."""
        self.log_settings_made(self.settings)


class UnmergedRunner(CrawlerRunner):
    """A CrawlerRunner that runs a crawler with exactly the settings that the crawler has."""

    def create_crawler(self, crawler_or_spidercls: Any) -> Crawler:
        """Return a crawler unchanged; make one of anything else."""
        if isinstance(crawler_or_spidercls, Crawler):
            return crawler_or_spidercls
        return super().create_crawler(crawler_or_spidercls)


class HookedLoader(SpiderLoader):
    """A SpiderLoader whose modules :meth:`load_modules` chooses."""

    def load_modules(self) -> None:
        """Override: call :meth:`add_spider` for each spider."""
        raise NotImplementedError

    def add_spider(self, name: str, spidercls: type[Spider]) -> None:
        """Take up a spider. It replaces another one of that name."""
        self._found[name].append((spidercls.__module__, spidercls.__name__))
        self._spiders[name] = spidercls

    @property
    def places(self) -> Mapping[str, list[tuple[str, str]]]:
        """The module and class of each definition of a spider, by the spider's name."""
        found: defaultdict[str, list[tuple[str, str]]] = self._found
        return found

    def _load_all_spiders(self) -> None:
        self.load_modules()


def crawler_with(kind: type[Crawler], spidercls: Any, settings: Any) -> Crawler:
    """Return a new crawler. Of ``settings`` it only calls ``copy()``, which returns the settings it keeps."""
    return kind(spidercls, settings)


def without_left_out(settings: Settings) -> None:
    """Take :data:`LEFT_OUT` out of the extensions."""
    settings[BASE_EXTENSIONS].update(dict.fromkeys(LEFT_OUT))


def engine_of(crawler: Crawler) -> ExecutionEngine | None:
    """Return the crawler's engine, or None while it has none."""
    return crawler._engine


def stats_of(crawler: Crawler) -> StatsCollector | None:
    """Return the crawler's stats collector, or None while it has none."""
    return crawler._stats


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


class _CountingLogger:
    """The logger of Scrapy's module of signals, which also counts each exception that it is to log.

    Scrapy catches what handlers of signals raise and logs it here, unless the sender expects it. So this
    costs nothing where nothing is raised.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def error(self, message: str, *args: Any, **choices: Any) -> None:
        """Count the exception, then log it."""
        exc_info = choices.get("exc_info")
        error = (exc_info if isinstance(exc_info, tuple) else sys.exc_info())[1]
        owner = here()
        if exc_info and error is not None and isinstance(owner, RunContext):
            owner.raised(error)
        self._logger.error(message, *args, **choices)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


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


def contain_for_all() -> Callable[[], None]:
    """Contain what signal handlers and coroutine callbacks raise, and count what signal handlers raise.

    Return a function that undoes this. What is replaced stands in modules, once for the whole process.
    """
    in_signals: Any = signal_utils
    in_scraper: Any = scraper_module
    apply, iterate = in_signals.robustApply, in_scraper.iterate_spider_output
    logger = in_signals.logger

    def robust_apply(receiver: Any, *arguments: Any, **named: Any) -> Any:
        try:
            result = apply(receiver, *arguments, **named)
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        return contained_result(result) if iscoroutine(result) else result

    def iterate_spider_output(result: Any) -> Any:
        return iterate(contained_result(result) if iscoroutine(result) else result)

    def undo() -> None:
        in_signals.robustApply, in_scraper.iterate_spider_output = apply, iterate
        in_signals.logger = logger

    in_signals.robustApply, in_scraper.iterate_spider_output = robust_apply, iterate_spider_output
    in_signals.logger = _CountingLogger(logger)
    return undo


def refuse_crawls_at_import() -> Callable[[], None]:
    """Let no import start crawls that the ledger does not know, and no run start a reactor of its own.

    Return a function that undoes this.
    """
    runners: tuple[Any, ...] = (CrawlerRunner, AsyncCrawlerRunner)
    processes: tuple[Any, ...] = (CrawlerProcess, AsyncCrawlerProcess)
    replaced = [(each, "crawl", each.crawl) for each in runners]
    replaced += [(each, "start", each.start) for each in processes]
    for owner, name, method in replaced:
        setattr(owner, name, _refusing(f"{owner.__name__}.{name}()", method, name == "start"))

    def undo() -> None:
        for owner, name, method in replaced:
            setattr(owner, name, method)

    return undo


def _refusing(name: str, method: Call, in_runs: bool) -> Call:
    @wraps(method)
    def refusing(*args: Any, **kwargs: Any) -> Any:
        owner = here()
        if importing(owner):
            refuse_import(name)
        if in_runs and owner is not None:
            raise RuntimeError(f"{name} cannot be called in a run: the hub's reactor runs already")
        return method(*args, **kwargs)

    return refusing


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
