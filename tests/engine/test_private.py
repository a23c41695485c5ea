"""What the hub relies on in Scrapy beyond its public interface: each test names the part that is gone."""

from __future__ import annotations

import inspect
from functools import reduce
from importlib import import_module
from typing import Any

import pytest
from scrapy.crawler import Crawler, CrawlerRunner
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader
from scrapy.spiders import Spider

from reactorhub.engine.scrapy import private
from reactorhub.engine.scrapy.private import LEFT_OUT
from reactorhub.engine.scrapy.private.classes import RELIED_ON_CLASSES
from reactorhub.engine.scrapy.private.relied_on import HELD, RELIED_ON, Held, Part
from tests.support.shop_project import EngineCase, spider, until


def resolved(part: Part) -> Any:
    """The object at a part's place; fails with a sentence that names what is missing."""
    module, _, path = part.place.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        assert hasattr(found, name), f"Scrapy no longer has {part.place}, which the hub needs: {part.reason}"
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("part", RELIED_ON + RELIED_ON_CLASSES, ids=lambda part: part.place)
def test_scrapy_has_each_method(part: Part) -> None:
    """Each method that the hub overrides, replaces or calls is there and takes the same parameters."""
    takes = tuple(inspect.signature(resolved(part)).parameters)
    assert takes == part.takes, f"{part.place} takes {takes} now; the hub needs it: {part.reason}"


@pytest.mark.parametrize("path", LEFT_OUT)
def test_scrapy_has_each_extension_that_is_left_out(path: str) -> None:
    """An extension that was renamed would run in the hub's process unnoticed."""
    assert path in Settings()[private.BASE_EXTENSIONS], f"Scrapy no longer has {path} among its extensions"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (private.HookedCrawler, Crawler),
        (private.UnmergedRunner, CrawlerRunner),
        (private.HookedLoader, SpiderLoader),
    ],
)
def test_each_override_is_listed(ours: type[Any], theirs: type[Any]) -> None:
    """Whatever these classes override in Scrapy stands in the table."""
    functions = (name for name, value in vars(ours).items() if inspect.isfunction(value))
    overridden = {
        f"{theirs.__module__}:{theirs.__name__}.{name}" for name in functions if name in dir(theirs)
    }
    listed = {part.place for part in RELIED_ON}
    assert overridden <= listed, f"not listed in RELIED_ON: {overridden - listed}"


class Copied:
    """Settings of which only ``copy`` may be called."""

    def copy(self) -> Settings:
        """Return settings."""
        return Settings({"BOT_NAME": "copied"})


def test_a_crawler_only_copies_the_settings_it_is_given() -> None:
    """``Crawler.__init__`` calls only ``copy()``, so the hub can make the copy its own way."""
    crawler = private.crawler_with(Crawler, Spider, Copied())
    assert crawler.settings["BOT_NAME"] == "copied"


def test_a_crawler_that_has_not_begun_has_no_engine_and_no_stats() -> None:
    """The accessors answer None where Scrapy's public attributes raise."""
    crawler = Crawler(Spider)
    assert private.engine_of(crawler) is None
    assert private.stats_of(crawler) is None


def test_the_loader_leaves_the_choice_of_modules() -> None:
    """``SpiderLoader.__init__`` calls ``_load_all_spiders`` once, after it has made room for spiders."""
    chosen: list[int] = []

    class Loader(private.HookedLoader):
        def load_modules(self) -> None:
            chosen.append(len(self.places))
            self.add_spider("private", PrivateSpider)

    loader = Loader(Settings())
    assert chosen == [0]
    assert loader.list() == ["private"]
    assert dict(loader.places) == {"private": [("tests.engine.test_private", "PrivateSpider")]}


class PrivateSpider(Spider):
    """The one spider of this module."""

    name = "private"


class OrderTests(EngineCase):
    """Attributes and the order of calls, seen from a crawl."""

    async def test_a_running_crawl_holds_each_attribute(self) -> None:
        """Each attribute that the hub looks at is there while a spider is open."""
        self.load({"it": spider("async def parse(self, response):\n    await asyncio.sleep(60)")})
        crawl: Any = self.launch()
        await until(lambda: crawl.opened.called)
        missing = [held for held in HELD if not has(crawl._crawler, held)]
        crawl.abort()
        await crawl.done
        assert not missing, f"Scrapy no longer has on a crawler: {missing}"

    async def test_the_engine_is_made_before_the_spider_opens(self) -> None:
        """Guards are on the engine before ``start()``, a pipeline or a callback is called."""
        calls: list[str] = []

        def engine_made(crawler: Any, engine: Any) -> None:
            calls.append("engine")
            for name, target in (("start", "process_start"), ("callback", "call_spider_async")):
                owner = engine.scraper.spidermw if name == "start" else engine.scraper
                original = getattr(owner, target)
                setattr(owner, target, lambda *a, _n=name, _o=original: (calls.append(_n), _o(*a))[1])

        self.patch(private.HookedCrawler, "engine_made", engine_made)
        self.load({"it": spider("def parse(self, response):\n    yield {}")})
        project = self.engine._projects["test"]
        assert project.runner is not None
        kind = project.spider_class("it")
        assert kind is not None
        crawler = project.runner.crawler_for(private.HookedCrawler, kind, {"LOG_LEVEL": "ERROR"}, "0190")
        await project.runner.crawl(crawler, shop=self.shop)
        assert calls == ["engine", "start", "callback"]


def has(crawler: Crawler, held: Held) -> bool:
    """Whether a crawler has an attribute along a path."""
    missing = object()
    found = reduce(
        lambda each, name: missing if each is missing else getattr(each, name, missing),
        held.path.split("."),
        crawler,
    )
    return found is not missing
