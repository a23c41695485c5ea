"""Whatever a crawl's code raises, wherever it does: it is that run's error, and the run ends."""

from __future__ import annotations

from textwrap import dedent

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.shop_project import EngineCase, spider

ERRORS = ("SystemExit(1)", "KeyboardInterrupt()", "GeneratorExit()", "asyncio.CancelledError()", "Panic()")
CLASSES = """
from scrapy import signals
from scrapy.core.scheduler import Scheduler
from scrapy.dupefilters import RFPDupeFilter

class Panic(BaseException):
    pass

class Part:
    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def hurt(self, where):
        self.crawler.spider.hurt(where)

class Pipe(Part):
    def open_spider(self):
        self.hurt("open_spider")

    def process_item(self, item):
        self.hurt("process_item")
        return item

    async def close_spider(self):
        self.hurt("close_spider")

class Down(Part):
    def process_request(self, request):
        self.hurt("process_request")

    async def process_response(self, request, response):
        self.hurt("process_response")
        return response

    def process_exception(self, request, exception):
        self.hurt("process_exception")

class Around(Part):
    def process_spider_input(self, response):
        self.hurt("process_spider_input")

    async def process_spider_output(self, response, result):
        async for each in result:
            yield each
        self.hurt("process_spider_output")

    def process_spider_exception(self, response, exception):
        self.hurt("process_spider_exception")

    async def process_start(self, start):
        async for each in start:
            yield each
        self.hurt("process_start")

class Filter(RFPDupeFilter):
    crawler = None

    @classmethod
    def from_crawler(cls, crawler):
        made = super().from_crawler(crawler)
        made.crawler = crawler
        return made

    def request_seen(self, request):
        self.crawler.spider.hurt("request_seen")
        return super().request_seen(request)

class Line(Scheduler):
    def next_request(self):
        self.crawler.spider.hurt("next_request")
        return super().next_request()
"""
BODY = """
custom_settings = {"ITEM_PIPELINES": {Pipe: 1}, "DOWNLOADER_MIDDLEWARES": {Down: 1},
    "SPIDER_MIDDLEWARES": {Around: 1}, "DUPEFILTER_CLASS": Filter, "SCHEDULER": Line}

@classmethod
def from_crawler(cls, crawler, *args, **kwargs):
    made = super().from_crawler(crawler, *args, **kwargs)
    made.handlers = []
    for name in SIGNALS:
        def handler(_name=name):
            made.hurt(_name)
        made.handlers.append(handler)
        crawler.signals.connect(handler, getattr(signals, name))
    return made

async def start(self):
    yield scrapy.Request(self.shop + "/book/1.html")
    if self.where == "process_exception":
        yield scrapy.Request("http://127.0.0.1:1/")
    if self.where == "errback":
        yield scrapy.Request("http://127.0.0.1:1/", errback=self.failed)

def hurt(self, where):
    if where == self.where:
        raise eval(self.what)

async def parse(self, response):
    self.hurt("coroutine")
    yield {"n": 1}
    if self.where == "process_spider_exception":
        raise ValueError("for the middleware")
    for number in range(2, 6):
        yield response.follow(f"/book/{number}.html", callback=self.read)

def read(self, response):
    pass

async def failed(self, failure):
    self.hurt("errback")

async def closed(self, reason):
    self.hurt("closed")
"""
SIGNALS = (
    *("engine_started", "spider_opened", "spider_idle", "request_scheduled", "request_reached_downloader"),
    *("headers_received", "bytes_received", "response_downloaded", "response_received", "item_scraped"),
    *("request_left_downloader", "spider_closed", "feed_exporter_closed"),
)
PLACES = (
    *("open_spider", "process_item", "close_spider", "process_request", "process_response"),
    *("process_exception", "process_spider_input", "process_spider_output", "process_spider_exception"),
    *("process_start", "request_seen", "next_request", "coroutine", "errback", "closed"),
)


class EscapeTests(EngineCase):
    """Every pair of a place and an exception."""

    timeout = 120

    async def test_each_pair(self) -> None:
        """Each run ends and has an error that names what was raised; nothing else is harmed."""
        self.load({"it": spider(dedent(BODY), "it", CLASSES + f"\nSIGNALS = {SIGNALS!r}\n")})
        hung, silent = [], []
        for where in (*PLACES, *SIGNALS[:-1]):
            runs = {what: f"{where}-{n}" for n, what in enumerate(ERRORS)}
            crawls = {
                what: self.launch(run_id, args={"where": where, "what": what})
                for what, run_id in runs.items()
            }
            for what, crawl in crawls.items():
                end = await within(crawl.done, 20)
                if end is None:
                    hung.append((where, what))
                    crawl.abandon()
                elif what.partition("(")[0].rpartition(".")[2] not in f"{end.error} {end.failure}":
                    silent.append((where, what, end.error, end.failure))
        assert hung == []
        assert silent == []
        assert [record for record in self.hub_records if record.levelno >= 40] == []


async def within(waited: Deferred[object], seconds: float) -> object:
    """Wait for a Deferred at most so long; None if it has not fired."""
    end: list[object] = []
    waited.addCallback(lambda result: (end.append(result), result)[1])
    deadline = reactor.seconds() + seconds  # type: ignore[attr-defined]
    while not end and reactor.seconds() < deadline:  # type: ignore[attr-defined]
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]
    return end[0] if end else None
