"""Whatever a component raises, of any kind that Scrapy lets a project replace: the run ends with it."""

from __future__ import annotations

import os
from importlib import import_module
from textwrap import dedent

import pytest

from tests.engine.test_escapes import ERRORS, within
from tests.support.shop_project import EngineCase, spider

CLASSES = """
import gc
from io import BytesIO
from scrapy import signals
from scrapy.core.downloader import Downloader
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.core.scheduler import Scheduler
from scrapy.dupefilters import RFPDupeFilter
from scrapy.exporters import JsonLinesItemExporter
from scrapy.extensions.feedexport import FileFeedStorage
from scrapy.extensions.httpcache import DummyPolicy, FilesystemCacheStorage
from scrapy.logformatter import LogFormatter
from scrapy.pqueues import ScrapyPriorityQueue
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.request import RequestFingerprinter
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

class Panic(BaseException):
    pass

NOW = {}

def hurt(where):
    here = NOW.get(asyncio_run())
    if here and here[0] == where:
        raise eval(here[1])

def asyncio_run():
    from reactorhub.containment.contexts import RUN
    run = RUN.get()
    return run and run.run_id

def hurting(base, *names, prefix=""):
    def method(name):
        def call(self, *args, **kwargs):
            hurt(f"{base.__name__}.{name}")
            return getattr(super(made, self), name)(*args, **kwargs)
        return call
    made = type(f"My{base.__name__}", (base,), {name: method(name) for name in names})
    made.__module__ = __name__
    return made

Stats = hurting(MemoryStatsCollector, "inc_value", "set_value", "max_value", "get_value", "get_stats",
    "open_spider", "close_spider")
Prints = hurting(RequestFingerprinter, "fingerprint")
Filter = hurting(RFPDupeFilter, "request_seen", "open", "close", "log")
Line = hurting(Scheduler, "open", "close", "has_pending_requests", "enqueue_request", "next_request",
    "__len__")
Texts = hurting(LogFormatter, "crawled", "scraped", "dropped", "item_error", "spider_error", "download_error")
Export = hurting(JsonLinesItemExporter, "__init__", "start_exporting", "export_item", "finish_exporting")
Store = hurting(FileFeedStorage, "__init__", "open", "store")
Policy = hurting(DummyPolicy, "should_cache_request", "should_cache_response", "is_cached_response_fresh")
Cache = hurting(FilesystemCacheStorage, "open_spider", "close_spider", "retrieve_response", "store_response")
Loads = hurting(Downloader, "fetch", "needs_backout", "close")
class Handler(HTTP11DownloadHandler):
    async def download_request(self, request):
        hurt("Handler.download_request")
        return await super().download_request(request)

    async def close(self):
        hurt("Handler.close")
        await super().close()

Queue = hurting(ScrapyPriorityQueue, "push", "pop", "close", "__len__")

class Addon:
    def update_settings(self, settings):
        hurt("Addon.update_settings")

class Extension:
    def __init__(self):
        hurt("Extension.__init__")

    @classmethod
    def from_crawler(cls, crawler):
        hurt("Extension.from_crawler")
        made = cls()
        crawler.signals.connect(made.idle, signals.spider_idle)
        crawler.signals.connect(made.opened, signals.spider_opened)
        return made

    def idle(self):
        hurt("Extension.idle")

    async def opened(self):
        await asyncio.sleep(0)
        hurt("Extension.async")

    def __del__(self):
        hurt("Extension.__del__")

class Item(dict):
    def __repr__(self):
        hurt("Item.__repr__")
        return "item"

    def __len__(self):
        hurt("Item.__len__")
        return 1

    def keys(self):
        hurt("Item.keys")
        return super().keys()

class Value:
    def __repr__(self):
        hurt("Value.__repr__")
        return "value"

    def __eq__(self, other):
        hurt("Value.__eq__")
        return self is other

    __hash__ = object.__hash__

    def __deepcopy__(self, memo):
        hurt("Value.__deepcopy__")
        return self

class Pipe:
    async def open_spider(self):
        await asyncio.sleep(0)
        hurt("Pipe.open_spider")

    def process_item(self, item):
        if NOW[asyncio_run()][0] == "Pipe.deferred":
            return fail(Failure(eval(NOW[asyncio_run()][1])))
        if NOW[asyncio_run()][0] == "Pipe.later":
            waiting = Deferred()
            reactor.callLater(0, waiting.errback, eval(NOW[asyncio_run()][1]))
            return waiting
        if NOW[asyncio_run()][0] == "Pipe.drop":
            raise scrapy.exceptions.DropItem("x")
        return item

    def __del__(self):
        hurt("Pipe.__del__")
"""
BODY = """
custom_settings = {
    "ITEM_PIPELINES": {Pipe: 1}, "EXTENSIONS": {Extension: 1}, "STATS_CLASS": Stats, "SCHEDULER": Line,
    "REQUEST_FINGERPRINTER_CLASS": Prints, "DUPEFILTER_CLASS": Filter, "LOG_FORMATTER": Texts,
    "FEED_EXPORTERS": {"mine": Export}, "FEED_STORAGES": {"file": Store}, "DUPEFILTER_DEBUG": True,
    "HTTPCACHE_ENABLED": True, "HTTPCACHE_POLICY": Policy, "HTTPCACHE_STORAGE": Cache, "DOWNLOADER": Loads,
    "DOWNLOAD_HANDLERS": {"http": Handler}, "SCHEDULER_PRIORITY_QUEUE": Queue, "RETRY_ENABLED": False,
    "ADDONS": {Addon: 1},
}

@classmethod
def update_settings(cls, settings):
    super().update_settings(settings)
    here = NOW[asyncio_run()]
    settings.set("FEEDS", {here[2] + "/%(name)s.json": {"format": "mine"}} if "Exporter" in here[0]
        or "FeedStorage" in here[0] else {})
    settings.set("HTTPCACHE_DIR", here[2] + "/cache")
    hurt("Spider.update_settings")

@classmethod
def from_crawler(cls, crawler, *args, **kwargs):
    hurt("Spider.from_crawler")
    return super().from_crawler(crawler, *args, **kwargs)

def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    hurt("Spider.__init__")

def __del__(self):
    hurt("Spider.__del__")

async def start(self):
    yield scrapy.Request(self.shop + "/book/1.html", meta={"value": Value()}, cb_kwargs={"value": Value()})
    yield scrapy.Request(self.shop + "/book/1.html")
    if self.where == "LogFormatter.download_error":
        yield scrapy.Request("http://127.0.0.1:1/")

async def parse(self, response, value=None):
    item = Item(n=1)
    yield item
    self.crawler.stats.set_value("value", Value())
    self.logger.info("%s", Value())
    if self.where == "future":
        waiting = asyncio.get_running_loop().create_future()
        waiting.set_exception(eval(self.what))
        await waiting
    if self.where == "task":
        async def work():
            raise eval(self.what)
        await asyncio.ensure_future(work())
    if self.where == "group":
        async with asyncio.TaskGroup() as group:
            async def work():
                raise eval(self.what)
            group.create_task(work())
    if self.where == "deferred":
        await defer.fail(Failure(eval(self.what))).asFuture(asyncio.get_running_loop())
    if self.where == "thread":
        await asyncio.to_thread(self.hurt_thread)
    if self.where == "deferToThread":
        await threads.deferToThread(self.hurt_thread).asFuture(asyncio.get_running_loop())
    if self.where == "gc":
        for _ in range(3):
            circle = [Item()]
            circle.append(circle)
        gc.collect()
    if self.where == "spider_error":
        raise ValueError("for the formatter")
    yield response.follow("/book/2.html", callback=self.read, cb_kwargs={"value": Value()})

def hurt_thread(self):
    raise eval(self.what)

def read(self, response, value):
    return [Item(n=2)]

@property
def handle_httpstatus_list(self):
    hurt("Spider.handle_httpstatus_list")
    return []
"""
PLACES = (
    *(f"MemoryStatsCollector.{n}" for n in ("inc_value", "set_value", "max_value", "get_value", "get_stats")),
    *(f"MemoryStatsCollector.{n}" for n in ("open_spider", "close_spider")),
    "RequestFingerprinter.fingerprint",
    *(f"RFPDupeFilter.{n}" for n in ("request_seen", "open", "close", "log")),
    *(f"Scheduler.{n}" for n in ("open", "close", "has_pending_requests", "enqueue_request", "next_request")),
    "Scheduler.__len__",
    *(f"LogFormatter.{n}" for n in ("crawled", "scraped", "download_error")),
    *(
        f"JsonLinesItemExporter.{n}"
        for n in ("__init__", "start_exporting", "export_item", "finish_exporting")
    ),
    *(f"FileFeedStorage.{n}" for n in ("__init__", "open", "store")),
    *(f"DummyPolicy.{n}" for n in ("should_cache_request", "should_cache_response")),
    *(f"FilesystemCacheStorage.{n}" for n in ("open_spider", "close_spider", "retrieve_response")),
    "FilesystemCacheStorage.store_response",
    *(f"Downloader.{n}" for n in ("fetch", "needs_backout", "close")),
    *(f"Handler.{n}" for n in ("download_request", "close")),
    *(f"ScrapyPriorityQueue.{n}" for n in ("push", "pop", "close", "__len__")),
    *("Addon.update_settings", "Extension.__init__", "Extension.from_crawler", "Extension.idle"),
    *("Extension.async", "Extension.__del__", "Item.__repr__", "Item.__len__", "Item.keys", "Value.__repr__"),
    *(
        "Value.__eq__",
        "Value.__deepcopy__",
        "Pipe.open_spider",
        "Pipe.deferred",
        "Pipe.later",
        "Pipe.__del__",
    ),
    *("Spider.update_settings", "Spider.from_crawler", "Spider.__init__", "Spider.__del__"),
    *(
        "Spider.handle_httpstatus_list",
        "future",
        "task",
        "group",
        "deferred",
        "thread",
        "deferToThread",
        "gc",
    ),
)

QUIET = {
    # Python itself swallows what a finalizer raises
    *("Extension.__del__", "Pipe.__del__", "Spider.__del__", "gc"),
    # Scrapy does not call these in a crawl such as this one, or calls them after the end
    *(
        "DummyPolicy.should_cache_response",
        "FilesystemCacheStorage.store_response",
        "MemoryStatsCollector.get_stats",
    ),
    *("ScrapyPriorityQueue.close", "Item.__repr__", "Item.keys", "Value.__deepcopy__", "Value.__eq__"),
    *(
        "FileFeedStorage.__init__",
        "FileFeedStorage.open",
        "FileFeedStorage.store",
        "Handler.download_request",
    ),
    # asyncio takes a cancellation for one of its own there
    *("JsonLinesItemExporter.finish_exporting", "group"),
}
"""Places whose exception leaves no error behind."""


SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


def raised_at(number: int) -> tuple[str, ...]:
    """Return what is raised at a place: everything in a long test, two kinds in turn in a short one."""
    return ERRORS if SOAK else (ERRORS[number % len(ERRORS)], ERRORS[(number + 2) % len(ERRORS)])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class ComponentTests(EngineCase):
    """Pairs of a place and an exception; with ``HYPOTHESIS_PROFILE=soak`` all of them."""

    timeout = 300

    async def test_each_pair(self) -> None:
        """Each run ends, the next one begins, and nothing of it stands in the hub's log as an error."""
        self.load({"it": spider(dedent(BODY), "it", CLASSES)})
        module = import_module("enginetest.spiders.it")
        hung, silent = [], set()
        for number, where in enumerate(PLACES):
            crawls = {}
            for n, what in enumerate(raised_at(number)):
                run_id = f"{where}-{n}"
                module.NOW[run_id] = (where, what, str(self.folder))
                crawls[what] = self.launch(run_id, args={"where": where, "what": what})
            for what, crawl in crawls.items():
                end = await within(crawl.done, 20)
                if end is None:
                    hung.append((where, what))
                    crawl.abandon()
                elif not end.errors and end.failure is None:
                    silent.add(where)
        assert hung == []
        assert silent <= QUIET
        assert [record.getMessage() for record in self.hub_records if record.levelno >= 40] == []
