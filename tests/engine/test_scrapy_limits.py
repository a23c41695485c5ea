"""How many requests of a crawl a site has to answer at once, counted by the site."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.support.shop_project import EngineCase

PAGE_TAKES = 0.05  # seconds
PAGES = 10
SPIDERS = f"""
import scrapy
from scrapy.core.downloader import Downloader

class Own(Downloader):
    def needs_backout(self):
        self.crawler.stats.inc_value("asked")
        return super().needs_backout()

class Spider(scrapy.Spider):
    custom_settings = {{"ROBOTSTXT_OBEY": False, "CONCURRENT_REQUESTS": 16}}
    async def start(self):
        for number in range({PAGES}):
            yield scrapy.Request(f"{{self.site}}/{{self.name}}/{{number}}", cb_kwargs={{"left": number % 2}})
    def parse(self, response, left):
        if left:
            yield response.follow(response.url + "/more", cb_kwargs={{"left": 0}})
"""
LIMITS = {
    "one": (1, '{"CONCURRENT_REQUESTS_PER_DOMAIN": 1}'),
    "two": (2, '{"CONCURRENT_REQUESTS_PER_DOMAIN": 2}'),
    "four": (4, '{"CONCURRENT_REQUESTS_PER_DOMAIN": 4}'),
    "total": (3, '{"CONCURRENT_REQUESTS": 3}'),
    "slot": (3, '{"DOWNLOAD_SLOTS": {"127.0.0.1": {"concurrency": 3, "delay": 0}}}'),
    "delayed": (1, '{"CONCURRENT_REQUESTS_PER_DOMAIN": 1, "DOWNLOAD_DELAY": 0.001}'),
    "throttled": (
        2,
        '{"CONCURRENT_REQUESTS_PER_DOMAIN": 2, "AUTOTHROTTLE_ENABLED": True,'
        ' "AUTOTHROTTLE_START_DELAY": 0.001, "AUTOTHROTTLE_TARGET_CONCURRENCY": 50}',
    ),
}


class CountingSite(Resource):
    """Answers after a while; ``peaks`` has the most requests at once for each first part of a path."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.now: Counter[bytes] = Counter()
        self.peaks: Counter[str] = Counter()

    def render_GET(self, request: Any) -> int:
        """Answer later."""
        name = request.path.split(b"/")[1]
        self.now[name] += 1
        self.peaks[name.decode()] = max(self.peaks[name.decode()], self.now[name])
        reactor.callLater(PAGE_TAKES, self._answer, request, name)  # type: ignore[attr-defined]
        return NOT_DONE_YET

    def _answer(self, request: Any, name: bytes) -> None:
        self.now[name] -= 1
        request.setHeader("content-type", "text/html")
        request.write(b"<p>a page</p>")
        request.finish()


class LimitTests(EngineCase):
    """Several crawls at once, each with limits of its own."""

    async def test_limits_are_kept_exactly(self) -> None:
        """A site has as many requests of a crawl at once as the crawl may send, and not one more."""
        spiders = "".join(
            f"class {name.title()}(Spider):\n    name = {name!r}\n"
            f"    custom_settings = {{**Spider.custom_settings, **{settings}}}\n"
            for name, (_, settings) in LIMITS.items()
        )
        self.load({"all": SPIDERS + spiders})
        site = CountingSite()
        port = reactor.listenTCP(0, Site(site), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        args = {"site": f"http://127.0.0.1:{port.getHost().port}"}
        crawls = {name: self.launch(name, name, args=args) for name in LIMITS}
        for name, crawl in crawls.items():
            end = await crawl.done
            assert (end.finish_reason, end.errors) == ("finished", 0), self.log(name, name)
            assert end.stats["downloader/response_count"] == PAGES * 3 / 2
        limits = {name: limit for name, (limit, _) in LIMITS.items()}
        assert {name: min(site.peaks[name], limit) for name, limit in limits.items()} == site.peaks
        assert all(site.peaks[name] >= min(limit, 2) for name, limit in limits.items()), site.peaks

    async def test_a_downloader_of_the_project_s_own(self) -> None:
        """It is used as it is."""
        own = "class It(Spider):\n    name = 'it'\n    custom_settings = {'DOWNLOADER': Own}\n"
        self.load({"all": SPIDERS + own})
        crawl: Any = self.launch(args={"site": self.shop})
        downloader: list[Any] = []
        crawl.opened.addCallback(lambda _: downloader.append(crawl._crawler.engine.downloader))
        end = await crawl.done
        assert end.stats["asked"]
        assert type(downloader[0]).__name__ == "Own"
        assert "_wait_for_download" not in vars(downloader[0])
