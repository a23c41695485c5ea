"""Which code a crawl reaches: from Scrapy's own calls through the project, and no further."""

from __future__ import annotations

import pytest

from tests.support.doctor_project import diagnosis, found, kinds, spider

SLEEP = "import time"


@pytest.mark.parametrize(
    "body",
    [
        "async def start(self):\n    time.sleep(1)",
        "def __init__(self):\n    time.sleep(1)",
        "@classmethod\ndef from_crawler(cls, crawler):\n    time.sleep(1)",
        "def closed(self, reason):\n    time.sleep(1)",
        "def parse(self, response):\n    self.helper()\n\ndef helper(self):\n    time.sleep(1)",
        "def parse(self, response):\n    yield response.follow('x', self.more)\n\n"
        "def more(self, r):\n    time.sleep(1)",
        "def parse(self, response):\n    yield scrapy.Request('x', errback=self.more)\n\n"
        "def more(self, r):\n    time.sleep(1)",
        "def parse(self, response):\n    getattr(self, f'parse_{1}')(response)\n\n"
        "def parse_1(self, r):\n    time.sleep(1)",
        "rules = [Rule(None, callback='parse_item')]\n\ndef parse_item(self, r):\n    time.sleep(1)",
        "def parse(self, response):\n    def inner():\n        time.sleep(1)\n    inner()",
        "def parse(self, response):\n    (lambda: time.sleep(1))()",
        "def parse(self, response):\n    return [time.sleep(1) for _ in response]",
        "def parse(self, response):\n    return super().parse(response)",
        "def parse(self, response):\n    wait()",
        "def parse(self, response):\n    Client().fetch()",
        "def __init__(self):\n    self.client = Client()\n\n"
        "def parse(self, response):\n    self.client.fetch()",
        "def parse(self, response):\n    try:\n        pass\n    except ValueError:\n        time.sleep(1)",
        "def parse(self, response):\n    match response:\n        case 1:\n            time.sleep(1)",
        "@property\ndef slow(self):\n    time.sleep(1)\n\ndef parse(self, response):\n    return self.slow",
    ],
)
def test_code_that_a_crawl_reaches(body: str) -> None:
    """Methods that Scrapy calls, what they call, and what they hand on to be called."""
    base = """
        import scrapy, time

        def wait():
            time.sleep(1)

        class Client:
            def fetch(self):
                time.sleep(1)

        class Base(scrapy.Spider):
            def parse(self, response):
                time.sleep(1)
    """
    text = spider(body, "import time\nfrom scrapy.spiders import Rule\nfrom shop.base import *", "Base")
    if "def parse(" not in body:
        text += "\n    def parse(self, response):\n        pass\n"
    assert kinds(text, base=base) == ["blocks"]


@pytest.mark.parametrize(
    "body",
    [
        "def unused(self):\n    time.sleep(1)",
        "def parse(self, response):\n    pass\n\nclass Other:\n    def parse(self):\n        time.sleep(1)",
        "def parse(self, response):\n    asyncio.to_thread(self.work)\n\ndef work(self):\n    time.sleep(1)",
        "def parse(self, response):\n    deferToThread(partial(self.work, 1))\n\n"
        "def work(self, x):\n    time.sleep(x)",
        "def parse(self, response):\n    def work():\n        time.sleep(1)\n    return deferToThread(work)",
        "def parse(self, response):\n    threading.Thread(target=self.work).start()\n\n"
        "def work(self):\n    time.sleep(1)",
        "def parse(self, response):\n    reactor.callInThread(self.work)\n\n"
        "def work(self):\n    self.deeper()\n\n"
        "def deeper(self):\n    time.sleep(1)",
        "def parse(self, response):\n    self.work()\n\n@run_in_thread\ndef work(self):\n    time.sleep(1)",
    ],
)
def test_code_that_a_crawl_does_not_reach(body: str) -> None:
    """What nobody calls, and what a thread runs."""
    top = (
        "import asyncio, threading, time\nfrom functools import partial\n"
        "from twisted.internet import reactor\n"
        "from twisted.internet.threads import deferToThread\nfrom elsewhere import run_in_thread"
    )
    assert kinds(spider(body, top)) == []


def test_a_library_may_call_any_method() -> None:
    """A base class from elsewhere may call any public method, but not those that go to a thread."""
    body = """
        def make_request_from_data(self, data):
            time.sleep(1)

        def parse(self, response):
            asyncio.to_thread(self.work)

        def work(self):
            requests.get("x")
    """
    text = spider(
        body, "import asyncio, requests, time\nfrom scrapy_redis.spiders import RedisSpider", "RedisSpider"
    )
    assert [(each.kind, each.line) for each in found(text)] == [("blocks", 8)]


PIPELINE = """
    import time

    class Store:
        def process_item(self, item):
            time.sleep(1)
            return item
"""


def test_a_pipeline_counts_where_settings_enable_it() -> None:
    """A class in ITEM_PIPELINES concerns all spiders; one that nobody enables concerns none."""
    files = {"spiders.prices": spider("pass"), "pipelines": PIPELINE}
    enabled = diagnosis(files, 'ITEM_PIPELINES = {"shop.pipelines.Store": 300}')
    assert [each.kind for each in enabled.findings] == ["blocks"]
    assert enabled.spiders[0].verdict == "isolate" and enabled.spiders[0].findings == ()
    assert diagnosis(files).findings == ()
    assert diagnosis(files, 'ITEM_PIPELINES = {"shop.pipelines.Store": None}').findings == ()


def test_a_pipeline_may_be_named_by_its_class() -> None:
    """Settings may hold the class itself."""
    files = {"spiders.prices": spider("pass"), "pipelines": PIPELINE}
    said = diagnosis(files, "from shop.pipelines import Store\nITEM_PIPELINES = {Store: 300}")
    assert [each.setting for each in said.findings] == ["ITEM_PIPELINES"]


def test_a_spider_may_have_pipelines_of_its_own() -> None:
    """``custom_settings`` enables them for one spider, and takes the place of what the project enables."""
    own = spider('custom_settings = {"ITEM_PIPELINES": {"shop.pipelines.Store": 300}}')
    none = (
        spider('custom_settings = {"ITEM_PIPELINES": {}}').replace("prices", "without").replace("Prices", "W")
    )
    files = {"spiders.prices": own, "spiders.without": none, "pipelines": PIPELINE}
    assert {each.name: each.verdict for each in diagnosis(files).spiders} == {
        "prices": "isolate",
        "without": "shared",
    }
    third = spider("pass").replace("prices", "third").replace("Prices", "Third")
    files["spiders.third"] = third
    said = diagnosis(files, 'ITEM_PIPELINES = {"shop.pipelines.Store": 300}')
    assert {each.name: each.verdict for each in said.spiders} == {
        "prices": "isolate",
        "third": "isolate",
        "without": "shared",
    }


def test_an_extension_is_followed_through_its_signals() -> None:
    """A handler that ``from_crawler`` connects is reached."""
    extension = """
        import time

        class Slow:
            @classmethod
            def from_crawler(cls, crawler):
                made = cls()
                crawler.signals.connect(made.opened, signal=1)
                return made

            def opened(self, spider):
                time.sleep(1)
    """
    said = diagnosis(
        {"spiders.prices": spider("pass"), "extensions": extension},
        'EXTENSIONS = {"shop.extensions.Slow": 0}',
    )
    assert [each.kind for each in said.findings] == ["blocks"]


def test_processors_of_an_item_loader_are_reached() -> None:
    """Functions in the class body of a loader run when items are loaded."""
    loader = """
        import requests
        from itemloaders.processors import MapCompose
        from scrapy.loader import ItemLoader

        def look_up(value):
            return requests.get(value)

        class Loader(ItemLoader):
            place_in = MapCompose(look_up)
    """
    text = spider("def parse(self, response):\n    Loader()", "from shop.loader import Loader")
    assert kinds(text, loader=loader) == ["blocks"]


def test_processors_of_an_item_class_are_reached() -> None:
    """A loader names the class of its items, whose fields name functions that run when items are loaded."""
    loader = """
        import scrapy
        from itemloaders.processors import MapCompose
        from scrapy.loader import ItemLoader

        seen = []

        def keep(value):
            seen.append(value)
            return value

        class Item(scrapy.Item):
            place = scrapy.Field(input_processor=MapCompose(keep))

        class Loader(ItemLoader):
            default_item_class = Item

        Item.loader_class = Loader
    """
    text = spider("def parse(self, response):\n    Loader()", "from shop.loader import Loader")
    assert kinds(text, loader=loader) == ["module-state"]


def test_the_method_of_a_stats_class_that_keeps_them_is_reached() -> None:
    """Scrapy calls it by its name at the end of each crawl."""
    stats = """
        from scrapy.statscollectors import StatsCollector

        class Kept(StatsCollector):
            def _persist_stats(self, stats):
                open("stats.json", "w")
    """
    said = diagnosis({"spiders.prices": spider("pass"), "stats": stats}, 'STATS_CLASS = "shop.stats.Kept"')
    assert [each.kind for each in said.findings] == ["relative-path"]


def test_functions_in_a_table_are_reached() -> None:
    """A callback that looks its helper up in a dict of the module reaches all of them."""
    top = "import time\ndef slow():\n    time.sleep(1)\nTABLE = {'slow': slow}"
    assert kinds(spider("def parse(self, response):\n    TABLE['slow']()", top)) == ["blocks"]
