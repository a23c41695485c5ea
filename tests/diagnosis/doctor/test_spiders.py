"""Spiders that never make a request, and settings that have no effect."""

from __future__ import annotations

import pytest

from tests.support.doctor_project import diagnosis, found, kinds, spider

START_REQUESTS = "def start_requests(self):\n    yield scrapy.Request('http://x')"
START = "async def start(self):\n    for each in self.start_requests():\n        yield each"


def test_start_requests_alone_is_never_called() -> None:
    """Scrapy 2.19 asks for ``start()`` only; the finding is advice, since no process of its own helps."""
    (finding,) = found(spider(START_REQUESTS))
    assert (finding.kind, finding.line, finding.severity.value) == ("start-requests", 6, "advice")


@pytest.mark.parametrize(
    ("body", "base"),
    [
        (f"{START_REQUESTS}\n\n{START}", "scrapy.Spider"),
        ("start_urls = ['http://x']", "scrapy.Spider"),
        (START, "scrapy.Spider"),
        (START_REQUESTS, "WithStart"),
        (START_REQUESTS, "MixinWithStart, scrapy.Spider"),
        (START_REQUESTS, "RedisSpider"),
        (f"{START_REQUESTS}\n\nstart = WithStart.start", "scrapy.Spider"),
    ],
)
def test_start_requests_that_something_calls(body: str, base: str) -> None:
    """A ``start()`` in the class, in a base class or in a library is enough."""
    shared = f"""
import scrapy


class MixinWithStart:
    {START.replace(chr(10), chr(10) + "    ")}


class WithStart(MixinWithStart, scrapy.Spider):
    pass
"""
    top = "from shop.base import MixinWithStart, WithStart\nfrom scrapy_redis.spiders import RedisSpider"
    assert kinds(spider(body, top, base), base=shared) == []


def test_start_requests_is_inherited_with_its_trouble() -> None:
    """The finding stands where the method does, for each spider that inherits it."""
    base = "import scrapy\n\nclass Base(scrapy.Spider):\n    def start_requests(self):\n        return []\n"
    (finding,) = found(spider("x = 1", "from shop.base import Base", "Base"), base=base)
    assert (finding.file, finding.line) == ("shop/base.py", 4)


@pytest.mark.parametrize("base", ["scrapy.spiders.CrawlSpider", "scrapy.spiders.SitemapSpider"])
def test_scrapys_other_spiders_do_not_call_it_either(base: str) -> None:
    """Their ``start()`` takes no notice of ``start_requests()``."""
    assert kinds(spider(START_REQUESTS, "import scrapy.spiders", base)) == ["start-requests"]


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (
            "def process_start_requests(self, start, spider):\n        return map(str, start)",
            ["start-requests"],
        ),
        (
            "def process_start_requests(self, start, spider):\n        for r in start:\n            yield r",
            [],
        ),
        (
            "def process_start_requests(self, start, spider):\n        return map(str, start)\n\n"
            "    async def process_start(self, start):\n        yield 1",
            [],
        ),
    ],
)
def test_a_spider_middleware_of_older_scrapy(methods: str, expected: list[str]) -> None:
    """``process_start_requests`` that does more than Scrapy's own template is reported."""
    said = diagnosis(
        {"spiders.prices": spider("pass"), "middlewares": f"class Old:\n    {methods}\n"},
        'SPIDER_MIDDLEWARES = {"shop.middlewares.Old": 1}',
    )
    assert [each.kind for each in said.findings] == expected


@pytest.mark.parametrize(
    "line",
    [
        "MEMUSAGE_LIMIT_MB = 512",
        "MEMUSAGE_ENABLED = True",
        "TELNETCONSOLE_ENABLED = True",
        "REMOTE_CONTROL_ENABLED = True",
        'TWISTED_REACTOR = "twisted.internet.selectreactor.SelectReactor"',
        'LOG_FILE = "x.log"',
        "DNS_TIMEOUT = 5",
        "REACTOR_THREADPOOL_MAXSIZE = 20",
        "LOG_FILE = f\"{__import__('datetime').datetime.now()}.log\"",
    ],
)
def test_settings_without_effect(line: str) -> None:
    """A setting that the hub does not heed is advice, in settings and in ``custom_settings``."""
    (finding,) = found(spider("pass"), line)
    assert (finding.kind, finding.severity.value) == ("ignored-setting", "advice")
    name, _, value = line.partition(" = ")
    custom = spider(f'custom_settings = {{"{name}": {value}}}')
    assert kinds(custom) == ["ignored-setting"]


@pytest.mark.parametrize(
    "line",
    [
        "MEMUSAGE_ENABLED = False",
        "TELNETCONSOLE_ENABLED = False",
        "REMOTE_CONTROL_ENABLED = False",
        'TWISTED_REACTOR = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"',
        "LOG_FILE = None",
        'LOG_LEVEL = "INFO"',
        "DOWNLOAD_DELAY = 1",
        "CONCURRENT_REQUESTS = 4",
        "IMAGES_STORE = 'images'",
        "FEEDS = {'items.json': {'format': 'json'}}",
        "HTTPCACHE_ENABLED = True",
    ],
)
def test_settings_that_say_what_holds_anyway(line: str) -> None:
    """What the hub does just so, or heeds, needs no word."""
    assert kinds(spider("pass"), line) == []


def test_settings_from_a_star_import_are_read() -> None:
    """``from shop.base import *`` brings its settings along, with their own lines."""
    said = diagnosis(
        {"spiders.prices": spider("pass"), "base": "\nDNS_TIMEOUT = 5\n"}, "from shop.base import *"
    )
    assert [(each.file, each.line) for each in said.findings] == [("shop/base.py", 2)]


def test_a_time_in_a_setting_is_that_of_the_start() -> None:
    """``FEED_URI`` with today's date keeps that date."""
    settings = "from datetime import date\nFEED_URI = f'/x/{date.today()}.json'"
    assert kinds(spider("pass"), settings) == ["import-time"]
