"""Ordinary habits of Scrapy projects are no finding; plain mistakes are."""

from __future__ import annotations

import pytest

from tests.support.doctor_project import found, kinds, spider

PARSE = "def parse(self, response):\n    "

ORDINARY = {
    "main guard": (
        "pass",
        "import time\n\ndef main():\n    time.sleep(1)\n\nif __name__ == '__main__':\n    main()",
    ),
    "crawl from a main guard": (
        "pass",
        "from scrapy.crawler import CrawlerProcess\n\nif __name__ == '__main__':\n"
        "    process = CrawlerProcess()\n    process.crawl('prices')\n    process.start()",
    ),
    "a helper that no crawl reaches": (
        "pass",
        "import requests\n\ndef fetch(url):\n    return requests.get(url).json()",
    ),
    "constants": (
        f"{PARSE}yield {{k: response.css(v).get() for k, v in FIELDS.items()}}",
        "FIELDS = {'a': 'b'}\nHEADERS = {'Accept': '*/*'}\nALLOWED = {'a', 'b'}\nPAGES = [1, 2, 3]",
    ),
    "compiled pattern": (
        f"{PARSE}yield {{'x': PRICE.search(response.text)}}",
        "import re\nPRICE = re.compile('x')",
    ),
    "module logger": (f"{PARSE}log.info('x')", "import logging\nlog = logging.getLogger(__name__)"),
    "dataclass": (
        f"{PARSE}yield Book(title='x', tags=['y'])",
        "from dataclasses import dataclass, field\n\n@dataclass\nclass Book:\n    title: str\n"
        "    tags: list = field(default_factory=list)",
    ),
    "item": (
        f"{PARSE}item = Book()\n    item['t'] = 1\n    yield item",
        "class Book(scrapy.Item):\n    t = scrapy.Field()",
    ),
    "asyncio.sleep": (
        "async def parse(self, response):\n    await asyncio.sleep(1)\n    yield {}",
        "import asyncio",
    ),
    "deferToThread": (
        "async def parse(self, response):\n"
        "    page = await deferToThread(requests.get, 'http://x')\n    yield {}",
        "import requests\nfrom twisted.internet.threads import deferToThread",
    ),
    "a lambda in a thread": (
        "async def parse(self, response):\n"
        "    await deferToThread(lambda: requests.get('http://x'))\n    yield {}",
        "import requests\nfrom twisted.internet.threads import deferToThread",
    ),
    "run_in_executor": (
        "async def parse(self, response):\n    loop = asyncio.get_running_loop()\n"
        "    await loop.run_in_executor(None, self.fetch)\n    yield {}\n\n"
        "def fetch(self):\n    return subprocess.run(['ls'])",
        "import asyncio, subprocess",
    ),
    "state in __init__": (
        "def __init__(self, *args, **kwargs):\n"
        "    super().__init__(*args, **kwargs)\n    self.seen = set()\n\n"
        f"{PARSE}self.seen.add(response.url)",
        "",
    ),
    "state in start": (
        f"async def start(self):\n    self.seen = []\n    yield scrapy.Request('http://x')\n\n"
        f"{PARSE}self.seen.append(response.url)",
        "",
    ),
    "start_urls set in __init__": (
        "def __init__(self, category=None, **kwargs):\n    super().__init__(**kwargs)\n"
        "    self.start_urls = [f'http://x/{category}']",
        "",
    ),
    "a list of its own is sorted": (f"{PARSE}rows = list(self.columns)\n    rows.sort()", ""),
    "time for an item": (
        f"{PARSE}yield {{'at': datetime.now(), 't': time.time()}}",
        "import time\nfrom datetime import datetime",
    ),
    "a file beside the module": (
        "async def start(self):\n    text = (HERE / 'urls.txt').read_text()\n    yield scrapy.Request(text)",
        "from pathlib import Path\nHERE = Path(__file__).parent",
    ),
    "close the spider": (f"{PARSE}raise CloseSpider('enough')", "from scrapy.exceptions import CloseSpider"),
    "meta and cb_kwargs": (
        f"{PARSE}response.meta['n'] = 1\n    yield response.follow('x', self.parse, cb_kwargs={{'n': 2}})",
        "",
    ),
    "stats": (f"{PARSE}self.crawler.stats.inc_value('x')\n    self.state['n'] = 1", ""),
    "rules of a CrawlSpider": (
        "rules = [Rule(LinkExtractor(), callback='parse_item')]\n\n"
        "def parse_item(self, response):\n    yield {}",
        "from scrapy.spiders import CrawlSpider, Rule\nfrom scrapy.linkextractors import LinkExtractor",
    ),
    "loader": (
        f"{PARSE}loader = ItemLoader(item={{}}, response=response)\n"
        "    loader.add_css('a', 'b')\n    yield loader.load_item()",
        "from scrapy.loader import ItemLoader",
    ),
    "json and urllib.parse": (
        f"{PARSE}yield {{'x': json.loads(response.text), 'u': urljoin(response.url, 'y'), 'q': quote('z')}}",
        "import json\nfrom urllib.parse import quote, urljoin",
    ),
    "a read of the environment": (
        f"{PARSE}yield {{'k': os.environ.get('KEY'), 'j': os.getenv('J')}}",
        "import os",
    ),
    "a method that is called like one that blocks": (
        f"{PARSE}self.sleep(1)\n    self.get('x')\n    self.run()\n\n"
        "def sleep(self, n):\n    return n\n\ndef get(self, x):\n    return x\n\ndef run(self):\n    pass",
        "",
    ),
    "types only": (
        f"{PARSE}yield {{}}",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    import requests\n    from redis import Redis",
    ),
    "exceptions of requests": (
        f"{PARSE}try:\n        yield {{}}\n    except requests.RequestException:\n        pass",
        "import requests",
    ),
    "a default that is never changed": (f"{PARSE}for each in self.pages:\n        yield {{'n': each}}", ""),
    "custom_settings": (
        "custom_settings = {'DOWNLOAD_DELAY': 1, 'FEEDS': {'/x/y.json': {'format': 'json'}}}",
        "",
    ),
    "enum and namedtuple": (
        f"{PARSE}yield {{'kind': Kind.A.value, 'p': Place(1)}}",
        "from enum import Enum\nfrom collections import namedtuple\nPlace = namedtuple('Place', 'x')\n"
        "class Kind(Enum):\n    A = 'a'",
    ),
    "a cache of a pure function": (
        f"{PARSE}yield {{'x': parsed('y')}}",
        "from functools import lru_cache\n\n@lru_cache\ndef parsed(text):\n    return text.split()",
    ),
    "local names that shadow": (
        f"{PARSE}time = response.css('time')\n    time.sleep = 1\n    requests = []\n    requests.append(1)",
        "",
    ),
    "dates in arguments": (
        "def __init__(self, day=None, **kwargs):\n    super().__init__(**kwargs)\n"
        "    self.day = day or date.today().isoformat()",
        "from datetime import date",
    ),
    "logging of the spider": (f"{PARSE}self.logger.warning('x')\n    self.log('y')", ""),
    "from_crawler": (
        "@classmethod\ndef from_crawler(cls, crawler, *args, **kwargs):\n"
        "    spider = super().from_crawler(crawler, *args, **kwargs)\n"
        "    crawler.signals.connect(spider.ended, scrapy.signals.spider_closed)\n    return spider\n\n"
        "def ended(self, spider, reason):\n    pass",
        "import scrapy.signals",
    ),
}


@pytest.mark.parametrize("habit", ORDINARY)
def test_ordinary_habits(habit: str) -> None:
    """What people write every day, and what shares a reactor well, is not a finding."""
    body, top = ORDINARY[habit]
    base = "CrawlSpider" if "CrawlSpider" in top else "scrapy.Spider"
    if "self.pages" in body or "self.columns" in body:
        body = f"pages = [1, 2]\ncolumns = ['a']\n\n{body}"
    assert [str(each) for each in found(spider(body, top, base))] == []


PIPELINES = {
    "a pipeline with a file": (
        "import json\n\nclass Pipe:\n    def open_spider(self, spider):\n"
        "        self.file = open('/data/items.jsonl', 'w')\n\n"
        "    def process_item(self, item, spider):\n"
        "        self.file.write(json.dumps(item))\n        return item\n\n"
        "    def close_spider(self, spider):\n        self.file.close()"
    ),
    "a program in a thread": (
        "import subprocess\nfrom twisted.internet.threads import deferToThread\n\nclass Pipe:\n"
        "    def process_item(self, item, spider):\n        return deferToThread(self._convert, item)\n\n"
        "    def _convert(self, item):\n        subprocess.run(['convert'], check=True)\n        return item"
    ),
    "adbapi": (
        "from twisted.enterprise import adbapi\n\nclass Pipe:\n    def open_spider(self, spider):\n"
        "        self.pool = adbapi.ConnectionPool('psycopg2', 'x')\n\n"
        "    async def process_item(self, item, spider):\n"
        "        await self.pool.runInteraction(self._insert, item)\n        return item\n\n"
        "    def _insert(self, cursor, item):\n        cursor.execute('insert', (item['x'],))"
    ),
    "duplicates": (
        "from scrapy.exceptions import DropItem\n\nclass Pipe:\n"
        "    def __init__(self):\n        self.ids = set()\n\n"
        "    def process_item(self, item, spider):\n"
        "        if item['id'] in self.ids:\n            raise DropItem('x')\n"
        "        self.ids.add(item['id'])\n        return item"
    ),
    "asyncpg": (
        "import asyncpg\n\nclass Pipe:\n    async def open_spider(self, spider):\n"
        "        self.pool = await asyncpg.create_pool('x')\n\n"
        "    async def process_item(self, item, spider):\n"
        "        await self.pool.execute('insert')\n        return item"
    ),
    "httpx.AsyncClient": (
        "import httpx\n\nclass Pipe:\n    async def process_item(self, item, spider):\n"
        "        async with httpx.AsyncClient() as client:\n"
        "            await client.post('http://x', json=item)\n"
        "        return item"
    ),
    "an asyncio Redis": (
        "import redis.asyncio as redis\n\nclass Pipe:\n    def open_spider(self, spider):\n"
        "        self.redis = redis.Redis()\n\n"
        "    async def process_item(self, item, spider):\n"
        "        await self.redis.lpush('x', 'y')\n        return item"
    ),
}


@pytest.mark.parametrize("habit", PIPELINES)
def test_ordinary_pipelines(habit: str) -> None:
    """A pipeline that waits in a thread, or for asyncio, or has state of its own, shares a reactor well."""
    said = found(spider("pass"), "ITEM_PIPELINES = {'shop.pipes.Pipe': 300}", pipes=PIPELINES[habit])
    assert [str(each) for each in said] == []


@pytest.mark.parametrize(
    ("body", "top", "kind"),
    [
        (f"{PARSE}time.sleep(1)", "import time", "blocks"),
        (f"{PARSE}sleep(1)", "from time import sleep", "blocks"),
        (f"{PARSE}wait(1)", "import time\nwait = time.sleep", "blocks"),
        (f"{PARSE}self.pause()\n\ndef pause(self):\n    t.sleep(1)", "import time as t", "blocks"),
        (
            f"{PARSE}yield scrapy.Request('x', callback=self.more)\n\ndef more(self, r):\n    time.sleep(1)",
            "import time",
            "blocks",
        ),
        (
            f"{PARSE}yield scrapy.Request('x', errback=self.bad)\n\ndef bad(self, f):\n    time.sleep(1)",
            "import time",
            "blocks",
        ),
        ("def closed(self, reason):\n    requests.post('http://x')", "import requests", "blocks"),
        (f"{PARSE}with requests.Session() as s:\n        s.get('http://x')", "import requests", "blocks"),
        (
            "def __init__(self, **kw):\n    super().__init__(**kw)\n    self.s = requests.Session()\n\n"
            f"{PARSE}self.s.get('http://x')",
            "import requests",
            "blocks",
        ),
        (f"{PARSE}SESSION.get('http://x')", "import requests\nSESSION = requests.Session()", "blocks"),
        (f"{PARSE}urlopen('http://x').read()", "from urllib.request import urlopen", "blocks"),
        (f"{PARSE}os.system('ls')", "import os", "blocks"),
        (f"{PARSE}subprocess.check_output(['ls'])", "import subprocess", "blocks"),
        (f"{PARSE}asyncio.run(self.x())\n\nasync def x(self):\n    pass", "import asyncio", "event-loop"),
        (
            "@staticmethod\ndef wait():\n    time.sleep(1)\n\n" + f"{PARSE}self.wait()",
            "import time",
            "blocks",
        ),
        (
            "@classmethod\ndef wait(cls):\n    time.sleep(1)\n\n" + f"{PARSE}Prices.wait()",
            "import time",
            "blocks",
        ),
        (
            f"{PARSE}for x in map(slow, [1]):\n        yield x",
            "import time\ndef slow(x):\n    time.sleep(1)",
            "blocks",
        ),
        (
            f"{PARSE}yield from (slow(x) for x in [1])",
            "import time\ndef slow(x):\n    time.sleep(1)",
            "blocks",
        ),
        ("seen = set()\n\n" + f"{PARSE}self.seen |= {{response.url}}", "", "spider-state"),
        ("urls = []\n\n" + f"{PARSE}self.urls += [response.url]", "", "spider-state"),
        ("seen = {}\n\n" + f"{PARSE}self.seen[response.url] = 1", "", "spider-state"),
        ("seen = {}\n\n" + f"{PARSE}del self.seen[response.url]", "", "spider-state"),
        (
            "start_urls = []\n\ndef __init__(self, **kw):\n"
            "    super().__init__(**kw)\n    self.start_urls.append('http://x')",
            "",
            "spider-state",
        ),
        (f"{PARSE}SEEN.add(response.url)", "SEEN = set()", "module-state"),
        (f"{PARSE}global COUNT\n    COUNT += 1", "COUNT = 0", "module-state"),
        ("count = 0\n\n" + f"{PARSE}Prices.count += 1", "", "class-state"),
        (f"{PARSE}type(self).count = 1", "", "spider-state"),
        (f"{PARSE}self.__class__.count = 1", "", "spider-state"),
        ("start_urls = [f'http://x/{date.today()}']", "from datetime import date", "import-time"),
        (
            f"{PARSE}yield {{'day': TODAY}}",
            "from datetime import datetime\nTODAY = datetime.now().date()",
            "import-time",
        ),
        (
            "async def start(self):\n    for url in open('urls.txt'):\n        yield scrapy.Request(url)",
            "",
            "relative-path",
        ),
        (f"{PARSE}pd.read_csv('x.csv')", "import pandas as pd", "relative-path"),
        ("pass", "import logging\nlogging.basicConfig(level=logging.INFO)", "logging"),
        ("pass", "from scrapy.utils.log import configure_logging\nconfigure_logging()", "logging"),
        ("pass", "import os\nos.chdir('/tmp')", "working-folder"),
        (f"{PARSE}os._exit(1)", "import os", "process-exit"),
    ],
)
def test_plain_mistakes(body: str, top: str, kind: str) -> None:
    """What plainly harms others is found in the ways in which people write it."""
    assert kind in kinds(spider(body, top))
