"""Real crawls that win nothing: what is refused, what is never asked for, what cannot be stored."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest
from scrapy import Spider
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from reactorhub.engine.isolated.child import pages as pages_module
from reactorhub.engine.isolated.child.pages import Pages, why_no_request
from reactorhub.model.run import CrawlEnd, Outcome, RunState
from reactorhub.policies.expectations import expected_reasons
from reactorhub.policies.outcome import outcome_of
from tests.support.shop_project import EngineCase, forget_project, spider

STARTS = """\
async def start(self):
    for url in {urls}:
        yield scrapy.Request(url if "://" in url else self.shop + url{more})

def parse(self, response):
    {parse}
"""
TWO_ITEMS = "yield {'a': 1}; yield {'a': 2}"


class Statuses(Resource):
    """Answers ``/404/x`` with 404, ``/robots.txt`` as told, and ``/302/x`` with a redirect to itself."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Answer with the status that the path names."""
        path = request.path.decode()
        if path == "/robots.txt":
            return b"User-agent: *\nDisallow: /200/closed\n"
        request.setResponseCode(int(path.split("/")[1]))
        if path.startswith("/3") and "304" not in path:
            request.setHeader("location", path)
        return b"<p>page</p>"


class OutcomeTests(EngineCase):
    """Outcomes of whole crawls that won nothing, by the rule."""

    def setUp(self) -> None:
        """Serve any status."""
        super().setUp()
        site = Site(Statuses(), reactor=reactor)  # type: ignore[arg-type]
        site.log = lambda request: None  # type: ignore[method-assign]
        statuses = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(statuses.stopListening)
        self.shop = f"http://127.0.0.1:{statuses.getHost().port}"

    async def outcome(self, name: str = "it", **spec: Any) -> Outcome:
        """Crawl, and judge."""
        end = await self.launch(f"run-{name}", name, **spec).done
        return outcome_of(end, None, expected_reasons(spec.get("expect", {})))

    async def judged(self, urls: list[str], more: str = "", parse: str = "pass", **spec: Any) -> Outcome:
        """Crawl these pages with a spider that scrapes nothing, and judge."""
        settings = spec.pop("settings", {"RETRY_ENABLED": False})
        self.load({"it": spider(STARTS.format(urls=urls, more=more, parse=parse))})
        return await self.outcome(settings=settings, **spec)

    async def test_refused_pages(self) -> None:
        """Statuses that Scrapy drops are named with their numbers, the most frequent first."""
        outcome = await self.judged(["/403/1", "/404/1", "/403/2", "/500/1"])
        assert outcome.state is RunState.FAILED
        assert outcome.reason == "every page was refused: 403 × 2, 404 × 1, 500 × 1"

    async def test_each_page_counts_once(self) -> None:
        """A page that was tried three times is one page, refused with its last answer."""
        outcome = await self.judged(["/503/1"], settings={"RETRY_TIMES": 2})
        assert outcome.reason == "every page was refused: 503 × 1"

    async def test_an_errback_does_not_make_a_page(self) -> None:
        """An errback that only takes note does not turn a refusal into success."""
        outcome = await self.judged(["/403/1"], ", errback=lambda failure: None")
        assert outcome.reason == "every page was refused: 403 × 1"

    async def test_robots_txt(self) -> None:
        """What robots.txt forbids was refused."""
        outcome = await self.judged(["/200/closed", "/200/closed2"], settings={"ROBOTSTXT_OBEY": True})
        assert outcome.reason == "every page was refused: robots.txt × 2"

    async def test_a_middleware_that_raises(self) -> None:
        """What a middleware raises for every page is the reason, whether or not an errback hears of it."""
        for more in ("", ", errback=lambda failure: None"):
            self.load(
                {
                    "it": spider(STARTS.format(urls=["/200/1", "/200/2"], more=more, parse="pass")),
                    "middle": """
                        class Price:
                            def process_spider_input(self, response):
                                raise ValueError("no price")
                        """,
                },
                'SPIDER_MIDDLEWARES = {"enginetest.spiders.middle.Price": 1}\n',
            )
            outcome = await self.outcome()
            assert outcome.state is RunState.FAILED
            expected = "every page raised an exception before the spider saw it: ValueError: no price × 2"
            assert outcome.reason == expected
            self.engine.load({})
            self.forget()

    async def test_no_answer(self) -> None:
        """A site that cannot be reached is named by the exception, which is the run's error."""
        outcome = await self.judged(["http://127.0.0.1:1/"])
        assert outcome.reason.startswith("every page was refused: ")
        assert outcome.reason.endswith("RefusedError × 1")
        assert "RefusedError" in (outcome.error or "")

    async def test_offsite(self) -> None:
        """Pages beyond allowed_domains are dropped before an errback hears of them, and count."""
        self.load({"it": spider("allowed_domains = ['elsewhere.example']\ncustom_settings = {}")})
        outcome = await self.outcome()
        assert (outcome.state, outcome.reason) == (RunState.FAILED, "every page was refused: offsite × 1")

    async def test_redirects_only(self) -> None:
        """A page that redirects to what was seen before is never passed, and says so."""
        outcome = await self.judged(["/302/1"])
        assert (outcome.state, outcome.reason) == (RunState.FAILED, "every page was refused: 302 × 1")

    async def test_answers_that_are_passed(self) -> None:
        """A spider that asks for a status gets its page; one page of many is enough; 304 refuses nothing."""
        for urls, more in (
            (["/404/1"], ", meta={'handle_httpstatus_list': [404]}"),
            (["/404/1", "/403/1", "/200/1"], ""),
            (["/304/1"], ""),
        ):
            outcome = await self.judged(urls, more)
            assert (outcome.state, outcome.reason) == (RunState.SUCCEEDED, "the crawl finished"), urls
            self.engine.load({})
            self.forget()

    async def test_no_request(self) -> None:
        """A crawl without one request says so; items that it yields at once are items."""
        self.load(
            {
                "empty": spider("async def start(self):\n    return\n    yield", "empty"),
                "items": spider("async def start(self):\n    yield {'a': 1}", "items"),
                "old": "import scrapy\nclass Old(scrapy.Spider):\n    name = 'old'\n"
                "    def start_requests(self):\n        yield scrapy.Request('http://x.example')\n",
            }
        )
        for name in ("empty", "items"):
            outcome = await self.outcome(name)
            assert (outcome.state, outcome.reason) == (
                RunState.SUCCEEDED,
                "the crawl finished without one request",
            )
        old = await self.outcome("old")
        assert old.state is RunState.FAILED
        assert "without one request: Scrapy" in old.reason
        assert "never calls start_requests(); the spider needs `async def start(self)`" in old.reason

    async def test_own_reason(self) -> None:
        """A reason of the spider's own is good where the spec names it."""
        close = "raise scrapy.exceptions.CloseSpider('caught_up')"
        outcome = await self.judged(["/200/1"], parse=close, expect={"finish_reason": ["caught_up"]})
        assert outcome.state is RunState.SUCCEEDED
        assert "'caught_up', which is expected" in outcome.reason

    async def stored(
        self, feeds: str, parse: str = "yield {'a': 1}; yield {'a': 2}"
    ) -> tuple[CrawlEnd, Outcome]:
        """Crawl one page with these feeds."""
        body = STARTS.format(urls=["/200/1"], more="", parse=parse)
        self.load({"it": spider(body)}, f"FEEDS = {feeds}\n")
        end = await self.launch().done
        return end, outcome_of(end, None)

    async def test_a_feed_that_cannot_be_opened(self) -> None:
        """Items that never reach a file are lost, with their number and the cause."""
        (self.folder / "file").write_text("")
        path = str(self.folder / "file" / "below.jsonl")
        end, outcome = await self.stored(f"{{{path!r}: {{'format': 'jsonlines'}}}}")
        assert (end.items, end.unstored, outcome.state) == (2, 2, RunState.FAILED)
        assert outcome.reason.startswith("2 items could not be stored: ")
        assert "Error: " in outcome.reason

    async def test_a_feed_that_cannot_be_set_up(self) -> None:
        """Scrapy drops a feed of an unknown kind with a line in the log, and all items with it."""
        _, outcome = await self.stored("{'odd://x/items.jsonl': {'format': 'jsonlines'}}")
        assert (outcome.state, outcome.reason[:30]) == (RunState.FAILED, "2 items could not be stored: n")

    async def test_an_item_that_cannot_be_written(self) -> None:
        """One item of three that the format cannot hold is one of three."""
        path = str(self.folder / "out.jsonl")
        parse = "yield {'a': 1}; yield {'a': object()}; yield {'a': 2}"
        _, outcome = await self.stored(f"{{{path!r}: {{'format': 'jsonlines'}}}}", parse)
        assert outcome.state is RunState.FAILED
        assert outcome.reason.startswith("1 of 3 items could not be stored: TypeError: ")

    async def test_the_hub_s_own_file(self) -> None:
        """Without a feed of the project the hub's own file takes the items, and says what it cannot hold."""
        parse = "yield {'a': 1}; yield {'a': object()}; yield {'a': float('nan')}"
        end, outcome = await self.stored("{}", parse)
        assert (end.items, end.unstored, outcome.state) == (3, 1, RunState.FAILED)
        assert outcome.reason.startswith("1 of 3 items could not be stored: TypeError: ")
        assert self.items() == '{"a": 1}\n{"a": null}\n'

    async def test_feeds_that_are_stored(self) -> None:
        """Batches, filters and feeds that need no file lose nothing."""
        for number, options in enumerate(
            (
                "'batch_item_count': 1",
                "'item_classes': ['scrapy.Item'], 'store_empty': True",
                "'item_classes': ['scrapy.Item'], 'store_empty': False",
            )
        ):
            path = str(self.folder / f"out-{number}-%(batch_id)d.jsonl")
            end, outcome = await self.stored(f"{{{path!r}: {{'format': 'jsonlines', {options}}}}}")
            assert (end.items, end.unstored, outcome.state) == (2, 0, RunState.SUCCEEDED), outcome
            self.engine.load({})
            self.forget()

    async def test_a_storage_that_fails_at_the_end(self) -> None:
        """What the storage refuses when the file is complete is lost."""
        (self.folder / "storage.py").write_text(STORAGE)
        self.patch_path(self.folder)
        for kind in ("Raises", "Awaits", "Defers"):
            feeds = f"{{'x://out': {{'format': 'jsonlines'}}}}\nFEED_STORAGES = {{'x': 'storage.{kind}'}}"
            end, outcome = await self.stored(feeds)
            assert (end.unstored, outcome.reason) == (2, "2 items could not be stored: OSError: disk full")
            self.engine.load({})
            self.forget()

    def forget(self) -> None:
        """Make room for another project of the same name."""

        forget_project()
        shutil.rmtree(self.folder / "project")

    def patch_path(self, folder: Any) -> None:
        """Let the project import modules from this folder."""
        sys.path.append(str(folder))


STORAGE = """
import io
from twisted.internet.defer import fail


class Raises:
    def __init__(self, uri, *, feed_options=None):
        pass

    def open(self, spider):
        return io.BytesIO()

    def store(self, file):
        raise OSError("disk full")


class Awaits(Raises):
    async def store(self, file):
        raise OSError("disk full")


class Defers(Raises):
    def store(self, file):
        return fail(OSError("disk full"))
"""


class New(Spider):
    """Has only what new Scrapys call."""

    async def start(self) -> Any:
        """Ask for nothing."""
        return
        yield


class Old(Spider):
    """Has only what old Scrapys call."""

    def start_requests(self) -> Any:
        """Ask for nothing."""
        return iter(())


class Both(Old, New):
    """Serves all of them."""


class Idle(Old):
    """Feeds itself when it is idle."""

    def spider_idle(self) -> None:
        """Ask for more."""


class Before213:
    """Scrapy's spider as it was before 2.13."""

    def start_requests(self) -> Any:
        """Ask for start_urls."""


@pytest.mark.parametrize(("cls", "why"), [(Old, True), (New, False), (Both, False), (Idle, False)])
def test_what_this_scrapy_never_calls(cls: Any, why: bool) -> None:
    """Only a spider whose sole way to start is never called has a plain cause."""
    assert (why_no_request(cls) is not None) is why


@pytest.mark.parametrize(("cls", "why"), [(Old, False), (New, True), (Both, False)])
def test_what_an_old_scrapy_never_calls(cls: Any, why: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scrapy before 2.13 does not know start()."""
    monkeypatch.setattr(pages_module, "Spider", Before213)
    assert (why_no_request(cls) is not None) is why


def test_stats_that_are_no_numbers() -> None:
    """A spider may put anything into its stats."""
    stats = {"offsite/filtered": "many", "downloader/response_status_count/302": None, 7: 1}
    pages = Pages()
    pages.downloads = True
    assert pages.facts(Spider, stats)["refused"] == {}  # type: ignore[arg-type]
