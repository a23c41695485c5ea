"""All that is private in Scrapy or Python and is used here, for every version of Scrapy from 2.11 to 2.19.

Each function asks for what it needs and leaves it at that where a version does not have it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from scrapy import Spider
from scrapy.core.downloader import Downloader
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.extensions.feedexport import FeedExporter
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .feed import ItemsFile
from .pages import Pages
from .project import Modules, broken
from .spiders import sort_out
from .storing import Storing

_ESCAPES = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
_CONSOLES = {
    "scrapy.extensions.remote_control.RemoteControl": "REMOTE_CONTROL_ENABLED",
    "scrapy.extensions.telnet.TelnetConsole": "TELNETCONSOLE_ENABLED",
}
"""Extensions whose import alone costs more than a small crawl, and the settings that ask for them."""


class EscapedError(Exception):
    """Spider code raised what would have ended the process, or hung its crawl."""


class Loader(SpiderLoader):
    """Scrapy's own loader, except that a module may raise anything at all, and that others load on demand.

    ``first`` names the module that is loaded at once; the rest follows when it does not have what is wanted.
    """

    first: str | None = None
    broken: list[dict[str, str]]

    def _load_all_spiders(self) -> None:
        self._complete = False
        self.broken = []
        if self.first is None:
            self._load_rest()
        else:
            self._load([self.first], deep=False)

    def _load_rest(self) -> None:
        if not self._complete:
            self._complete = True
            self._load(self.spider_modules, deep=True)

    def _load(self, names: list[str], deep: bool) -> None:
        modules = Modules()
        for module_name, module in modules.load(names, deep):
            try:
                spiders, odd = sort_out(module, Spider)
            except BaseException as error:  # noqa: BLE001 - it may have put anything into the table of modules
                spiders, odd = {}, [broken(module_name, error)]
            for name, spidercls in spiders.items():
                self._found[name].append((module_name, spidercls.__name__))
                self._spiders[name] = spidercls
            modules.broken.extend(odd)
        self.broken.extend(modules.broken)

    def load(self, spider_name: str) -> Any:
        """Return the spider of this name.

        :raises KeyError: if there is none.
        """
        if spider_name not in self._spiders:
            self._load_rest()
        return super().load(spider_name)

    def duplicates(self) -> dict[str, Any]:
        """Return the classes that claim a name which others claim too."""
        found = {name: sorted(map(".".join, set(places))) for name, places in self._found.items()}
        return {name: places for name, places in found.items() if len(places) > 1}

    def list(self) -> Any:
        """Return the names of all spiders."""
        self._load_rest()
        return super().list()


class IsolatedCrawler(Crawler):
    """A crawler that has the items file which the hub gave it, and leaves out what nobody asked for."""

    items: ItemsFile
    in_flight: InFlight

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pages = Pages()
        self.storing = Storing()

    def _apply_settings(self) -> None:
        self.addons.load_settings(self.settings)
        self.addons.load_settings = lambda settings: None  # type: ignore[method-assign]
        for extension, setting in _CONSOLES.items():
            if not self.settings.getbool(setting):
                self.settings["EXTENSIONS_BASE"].pop(extension, None)
        super()._apply_settings()

    def _create_engine(self) -> Any:
        engine = super()._create_engine()
        keep_to_limits(engine.downloader)
        self.in_flight = InFlight(engine, self.pages)
        self.storing.watch(self, wrap_new_batches)
        self.items.begin(self, self.storing.failed)
        return engine


class OwnSettings(Settings):
    """Settings that are used by one crawl alone, and so are handed on as they are while it is prepared."""

    handed_on = False

    def copy(self) -> Any:
        """Return a copy, or the settings themselves while they are handed on."""
        return self if self.handed_on else super().copy()

    def frozencopy(self) -> Any:
        """Return a frozen copy, or the settings themselves while they are handed on."""
        return self if self.handed_on else super().frozencopy()


def own_settings(settings: Settings) -> OwnSettings:
    """Return the same settings as :class:`OwnSettings`, which are handed on from now on."""
    own = OwnSettings.__new__(OwnSettings)
    own.__dict__.update(settings.__dict__)
    own.handed_on = True
    return own


def keep_to_limits(downloader: Any) -> None:
    """Let Scrapy's own downloader keep to CONCURRENT_REQUESTS_PER_DOMAIN and the limits of DOWNLOAD_SLOTS.

    Scrapy 2.19 counts a download only once its task runs, one turn of the loop after it was let through. So
    it lets through all that wait. A downloader of the project's own stays as it is.
    """
    wait = getattr(downloader, "_wait_for_download", None)
    if type(downloader) is not Downloader or not inspect.iscoroutinefunction(wait):
        return

    def counted(slot: Any, request: Any, queue_dfd: Any) -> Any:
        slot.transferring.add(request)
        return wait(slot, request, queue_dfd)

    downloader.__dict__["_wait_for_download"] = counted


def wrap_new_batches(exporter: FeedExporter, wrap: Callable[[Any], Any]) -> None:
    """Call ``wrap`` with each batch of items that this exporter begins; it returns the batch."""
    begin = exporter._start_new_batch
    exporter.__dict__["_start_new_batch"] = lambda *args, **kwargs: wrap(begin(*args, **kwargs))


def engine_of(crawler: Crawler) -> Any:
    """Return the engine of a crawler, or None before there is one."""
    return crawler.__dict__.get("_engine") or crawler.__dict__.get("engine")


def stats_of(crawler: Crawler) -> dict[str, Any]:
    """Return the stats of a crawler; none before there are any, or where its collector gives none."""
    collector = crawler.__dict__.get("_stats") or crawler.__dict__.get("stats")
    try:
        return {} if collector is None else dict(collector.get_stats())
    except Exception:  # noqa: BLE001 - the collector may be the project's own
        return {}


def stop(crawler: Crawler) -> Deferred[Any]:
    """Tell a running crawler to stop in order."""
    stop_async = getattr(crawler, "stop_async", None)
    return crawler.stop() if stop_async is None else deferred_from_coro(stop_async())


class InFlight:
    """What a crawl waits for: downloads and, from Scrapy 2.14 on, spider code. All of it can be cut off."""

    def __init__(self, engine: Any, pages: Pages) -> None:
        """:param pages: counts what is passed to the spider."""
        self._engine = engine
        self._pages = pages
        self._closed = False
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

    def cut(self) -> None:
        """End all that is waited for, and let no other download begin."""
        self._closed = True
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
                raise _cut_off()
            return await self._waited(download(request), _cut_off())

        return cuttable

    def _old_download(self, download: Callable[..., Any]) -> Callable[..., Any]:
        def cuttable(request: Any, spider: Any) -> Any:
            self._pages.downloads = True
            if self._closed:
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
            return self._each_async(output) if hasattr(output, "__aiter__") else _each(output)

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
        except _ESCAPES as error:
            raise contained(error) from error

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


def contained(error: BaseException) -> BaseException:
    """Return what to raise in place of what escapes from spider code."""
    return EscapedError(f"the spider raised {type(error).__name__}({error})")


def _each(output: Any) -> Iterator[Any]:
    iterator = iter(output)
    while True:
        try:
            each = next(iterator)
        except StopIteration:
            return
        except _ESCAPES as error:
            raise contained(error) from error
        yield each


def _cut_off() -> IgnoreRequest:
    return IgnoreRequest("the download was cut off: the run was told to stop")
