"""Real crawls of fed spiders in the test's own process, as plain Scrapy runs them, and a site to crawl."""

from __future__ import annotations

from collections import Counter
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler, CrawlerRunner
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from reactorhub.spiderkit.feed.spiders import RedisSpider
from tests.spiderkit.feed.feed_cases import CLOCK, FeedCase

QUIET = {
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "LOG_ENABLED": False,
    "RETRY_ENABLED": False,
    "REDIS_LEASE": 4,
}


class Pages(Resource):
    """A site: ``/hold/…`` answers when told to, ``/moved/X`` leads to ``/p/X``, ``/broken`` breaks off."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.hits: Counter[str] = Counter()
        self.forms: list[tuple[str, bytes, dict[str, str]]] = []
        self.held: list[Any] = []

    def render(self, request: Any) -> Any:
        """Answer a request of any method."""
        path = request.uri.decode()
        self.hits[path] += 1
        headers = {
            name.decode(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.forms.append((f"{request.method.decode()} {path}", request.content.read(), headers))
        if path.startswith("/hold"):
            self.held.append(request)
            request.notifyFinish().addErrback(lambda _: self.held.remove(request))
            return NOT_DONE_YET
        if path.startswith("/moved"):
            request.redirect(path.replace("/moved", "/p", 1).encode())
        if path.startswith("/broken"):
            request.transport.abortConnection()
            return NOT_DONE_YET
        return b"<html>page</html>"

    def release(self) -> None:
        """Answer what is held."""
        self.held, held = [], self.held
        for request in held:
            request.write(b"<html>late</html>")
            request.finish()


class ShopSpider(RedisSpider):
    """Yields an item for each page."""

    name = "shop"

    def parse(self, response: Any) -> Any:
        """Yield the page's URL."""
        yield {"url": response.url}


class CrawlCase(FeedCase):
    """Tests with crawls of the site."""

    def setUp(self) -> None:
        """Open the site."""
        super().setUp()
        self.pages = Pages()
        site = Site(self.pages, reactor=CLOCK)
        site.log = lambda request: None  # type: ignore[method-assign]
        self.port = CLOCK.listenTCP(0, site, interface="127.0.0.1")
        self.site = f"http://127.0.0.1:{self.port.getHost().port}"
        self.items: list[Any] = []
        self.crawls: list[tuple[Crawler, Deferred[None]]] = []

    async def tearDown(self) -> None:
        """End crawls that a test left, and close the site."""
        for crawler, done in self.crawls:
            await self.stopped(crawler, done)
        await maybeDeferred(self.port.stopListening)

    def begin(
        self, spider: type[Spider] = ShopSpider, settings: dict[str, Any] | None = None, **args: Any
    ) -> tuple[Crawler, Deferred[None]]:
        """Begin a crawl. Its items go to ``self.items``."""
        server = {"REDIS_URL": self.server.url}  # unless the test says otherwise
        runner = CrawlerRunner({**QUIET, **server, **(settings or {})})
        crawler = runner.create_crawler(spider)
        crawler.signals.connect(self._scraped, signal=signals.item_scraped)
        done = runner.crawl(crawler, **args)
        self.crawls.append((crawler, done))
        return crawler, done

    def _scraped(self, item: Any) -> None:
        self.items.append(item)

    async def stopped(self, crawler: Crawler, done: Deferred[None]) -> None:
        """Stop a crawl as SIGTERM does, and wait for its end."""
        if not done.called:
            stopping = deferred_from_coro(crawler.stop_async())
            while not stopping.called:
                self.pages.release()
                await deferLater(CLOCK, 0.01)
        await done

    def push(self, *paths: str) -> None:
        """Push URLs of the site, as ``redis-cli rpush`` does."""
        self.server.ask("RPUSH", self.keys.source, *(self.site + path for path in paths))

    def urls(self) -> list[str]:
        """The paths of all items, sorted."""
        return sorted(item["url"].removeprefix(self.site) for item in self.items)


def requests_to(*urls: str) -> list[Request]:
    """Requests that the dupefilter does not touch."""
    return [Request(url, dont_filter=True) for url in urls]
