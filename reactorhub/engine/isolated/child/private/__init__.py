"""All that is private in Scrapy or Python and is used here, for every version of Scrapy from 2.11 to 2.19.

Each function asks for what it needs and leaves it at that where a version does not have it.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

from scrapy import Spider
from scrapy.core.downloader import Downloader
from scrapy.crawler import Crawler
from scrapy.extensions.feedexport import FeedExporter
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader
from scrapy.utils import log
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred

from ..feed import ItemsFile
from ..pages import Pages
from ..project import Modules, broken
from ..spiders import sort_out
from ..storing import Storing
from .escapes import contain_project
from .imports import no_crawls
from .in_flight import InFlight

_CONSOLES = {
    "scrapy.extensions.remote_control.RemoteControl": "REMOTE_CONTROL_ENABLED",
    "scrapy.extensions.telnet.TelnetConsole": "TELNETCONSOLE_ENABLED",
}
"""Extensions whose import alone costs more than a small crawl, and the settings that ask for them."""


_MAX_SHOWN = 3
"""Modules that a message names."""


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
        with no_crawls():
            self._load_each(names, deep)

    def _load_each(self, names: list[str], deep: bool) -> None:
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

        :raises ImportError: if there is none, and modules that could have it cannot be imported. Their
            tracebacks are printed.
        :raises KeyError: if there is none.
        """
        if spider_name not in self._spiders:
            self._load_rest()
        if spider_name not in self._spiders and self.broken:
            raise _not_imported(spider_name, self.broken)
        return super().load(spider_name)

    def duplicates(self) -> dict[str, Any]:
        """Return the classes that claim a name which others claim too."""
        found = {name: sorted(map(".".join, set(places))) for name, places in self._found.items()}
        return {name: places for name, places in found.items() if len(places) > 1}

    def list(self) -> Any:
        """Return the names of all spiders."""
        self._load_rest()
        return super().list()


def _not_imported(spider_name: str, broken: list[dict[str, str]]) -> ImportError:
    for each in broken:
        sys.stderr.write(each["traceback"])  # the run's log
    shown = ", ".join(f"{each['module']} ({each['error']})" for each in broken[:_MAX_SHOWN])
    return ImportError(f"there is no spider {spider_name!r}, and cannot be imported: {shown}")


class IsolatedCrawler(Crawler):
    """A crawler that has the items file which the hub gave it, and leaves out what nobody asked for."""

    items: ItemsFile
    in_flight: InFlight
    reactorhub_feeds: str | None = None

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
        contain_project(self, engine)
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


def keep_to_log_enabled() -> None:
    """Have Scrapy heed LOG_ENABLED although it logs to a file, and write any text into that file."""
    get_handler = getattr(log, "_get_handler", None)
    if get_handler is None:
        return

    def handler_for(settings: Settings) -> logging.Handler:
        if not settings.getbool("LOG_ENABLED"):
            return logging.NullHandler()
        handler: logging.Handler = get_handler(settings)
        stream = getattr(handler, "stream", None)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        return handler

    log.__dict__["_get_handler"] = handler_for
