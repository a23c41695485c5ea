"""State that runs would share, and values that an import computes: what is found, and what is not."""

from __future__ import annotations

import pytest

from tests.support.doctor_project import found, kinds, spider


def changed(attribute: str, line: str, top: str = "") -> str:
    """A spider with an attribute in its class body, and a callback of one line."""
    return spider(f"{attribute}\n\ndef parse(self, response):\n    {line}", top)


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        ("seen = set()", "self.seen.add(1)"),
        ("seen = []", "self.seen.append(1)"),
        ("seen = {}", "self.seen[response.url] = 1"),
        ("seen = {}", "del self.seen[response.url]"),
        ("seen = list()", "self.seen += [1]"),
        ("seen = {'a': []}", "self.seen['a'].append(1)"),
        ("start_urls = ['http://x']", "self.start_urls.pop()"),
        ("start_urls = []", "urls = self.start_urls; urls.append('http://x')"),
        ("custom_settings = {}", "self.custom_settings['X'] = 1"),
        ("custom_settings = {}", "self.custom_settings.update(X=1)"),
        ("seen = [x for x in 'ab']", "self.seen.clear()"),
        ("seen: set = set()", "self.seen.add(1)"),
        ("seen = deque()", "self.seen.append(1)"),
        ("seen = set()", "Prices.seen.add(1)"),
        ("count = 0", "type(self).count += 1"),
        ("count = 0", "self.__class__.count = 1"),
    ],
)
def test_a_collection_of_the_class_that_a_run_changes(attribute: str, line: str) -> None:
    """Here each run has its own copy, which is worth knowing, and is not a reason to isolate."""
    (finding,) = found(changed(attribute, line, "from collections import deque"))
    assert (finding.kind, finding.severity.value) == ("spider-state", "advice")


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        ("count = 0", "Prices.count += 1"),
        ("last = None", "Prices.last = response.url"),
    ],
)
def test_a_class_that_a_run_changes(attribute: str, line: str) -> None:
    """A run may change the class itself, by its name: that is the class of all runs."""
    (finding,) = found(changed(attribute, line, "from collections import deque"))
    assert (finding.kind, finding.severity.value) == ("class-state", "isolate")


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        ("count = 0", "self.count += 1"),
        ("seen = set()", "len(self.seen)"),
        ("seen = set()", "self.seen.copy().add(1)"),
        ("seen = set()", "seen = set(self.seen); seen.add(1)"),
        ("seen = set()", "self.seen = {1}"),
        ("headers = {'a': 'b'}", "headers = {**self.headers}; headers['c'] = 'd'"),
        ("headers = {'a': 'b'}", "headers = self.headers.copy(); headers['c'] = 'd'"),
        ("headers = {'a': 'b'}", "headers = dict(self.headers); headers.update(c='d')"),
        ("start_urls = ['http://x']", "yield from self.start_urls"),
        ("seen = ()", "self.seen += (1,)"),
        ("seen = frozenset()", "self.seen |= {1}"),
        ("rules = []", "rules = []; rules.append(1)"),
        ("item = {}", "item = {}; item['a'] = 1"),
        ("x = 1", "self.crawler.stats.inc_value('x')"),
        ("x = 1", "response.meta['x'] = 1"),
    ],
)
def test_what_a_run_keeps_to_itself(attribute: str, line: str) -> None:
    """Reading, copying, and giving the object another value change nothing of the class."""
    assert kinds(changed(attribute, line)) == []


@pytest.mark.parametrize("place", ["__init__(self)", "spider_opened(self)"])
def test_a_collection_that_is_made_for_each_run(place: str) -> None:
    """A class attribute that a method replaces on the object is only a default."""
    text = spider(f"""
        seen = set()

        def {place}:
            self.seen = set()

        def parse(self, response):
            self.seen.add(response.url)
    """)
    assert kinds(text) == []


def test_a_collection_of_a_base_class_is_shared_all_the_more() -> None:
    """The line is where the run changes it, in whatever class that stands."""
    base = """
        import scrapy

        class Base(scrapy.Spider):
            seen = set()

            def is_new(self, url):
                self.seen.add(url)
    """
    text = spider("def parse(self, response):\n    self.is_new(1)", "from shop.base import Base", "Base")
    (finding,) = found(text, base=base)
    assert (finding.file, finding.line) == ("shop/base.py", 8)
    own = (
        "seen = set()\n\ndef __init__(self):\n    self.seen = set()\n\n"
        "def parse(self, response):\n    self.is_new(1)"
    )
    assert kinds(spider(own, "from shop.base import Base", "Base"), base=base) == []


@pytest.mark.parametrize(
    ("top", "line", "kind"),
    [
        ("SEEN = set()", "SEEN.add(1)", "module-state"),
        ("SEEN = {}", "SEEN[response.url] = True", "module-state"),
        ("SEEN = {}", "if response.url in SEEN: return\n    SEEN[response.url] = True", "module-state"),
        ("COUNT = 0", "global COUNT; COUNT += 1", "module-state"),
        ("COUNT = 0", "global COUNT; COUNT = 1", "module-state"),
        ("import shop.state", "shop.state.SEEN.add(1)", "module-state"),
        ("from shop import state", "state.COUNT = 1", "module-state"),
        ("from shop.state import SEEN as s", "s.add(1)", "module-state"),
        ("from shop.state import *", "SEEN.add(1)", "module-state"),
        ("CACHE = {}", "if response.url not in CACHE: CACHE[response.url] = self.work()", "kept-value"),
        ("_page_cache = {}", "_page_cache[response.url] = self.work()", "kept-value"),
        ("CLIENT = None", "global CLIENT\n    if CLIENT is None: CLIENT = object()", "kept-value"),
    ],
)
def test_variables_of_modules_that_a_run_changes(top: str, line: str, kind: str) -> None:
    """A module is there once for all runs; a value that is kept for later is only worth a word."""
    text = spider(f"def parse(self, response):\n    {line}\n\ndef work(self):\n    pass", top)
    assert kinds(text, state="SEEN = set()\nCOUNT = 0\n") == [kind]


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("SEEN = set()", "SEEN = set(); SEEN.add(1)"),
        ("SEEN = {1, 2}", "2 in SEEN"),
        ("NAMES = {'a': 1}", "NAMES.get('a')"),
        ("SEEN = set()\nSEEN.add(1)", "2 in SEEN"),
        ("NAMES = []\nfor x in 'ab': NAMES.append(x)", "yield from NAMES"),
        ("from itertools import chain", "chain.from_iterable([])"),
        ("SEEN = set()\ndef unused(): SEEN.add(1)", "pass"),
        ("SEEN = set()", "for SEEN in ([], []): SEEN.append(1)"),
        ("SEEN = set()", "with self.x as SEEN: SEEN.add(1)"),
        ("SEEN = set()", "[SEEN.add(1) for SEEN in [set()]]"),
        ("SEEN = set()\ndef keep(SEEN): SEEN.add(1)", "keep(set())"),
    ],
)
def test_variables_of_modules_that_stay_as_they_are(top: str, line: str) -> None:
    """Filled by the import, read by the run, or only a namesake."""
    assert kinds(spider(f"def parse(self, response):\n    {line}", top)) == []


def test_a_change_is_reported_once() -> None:
    """However often a run changes a collection, its first line is enough."""
    text = spider("""
        seen = set()

        def parse(self, response):
            self.seen.add(1)
            self.seen.add(2)
    """)
    assert [each.line for each in found(text)] == [9]


# -- imports


@pytest.mark.parametrize(
    ("top", "attribute", "line"),
    [
        ("from datetime import date", "start_urls = [f'http://x/{date.today()}']", "pass"),
        ("import datetime as dt", "day = dt.datetime.now().strftime('%Y')", "yield {'day': self.day}"),
        ("from datetime import datetime\nNOW = datetime.utcnow()", "x = 1", "yield {'now': NOW}"),
        ("from datetime import date\nTODAY = date.today()", "start_urls = [f'http://x/{TODAY}']", "pass"),
        ("import time\nSTART = time.time()", "x = 1", "print(time.time() - START)"),
        ("import time", "custom_settings = {'FEEDS': {f'/x/{time.time()}.json': {}}}", "pass"),
        ("import uuid", "job = str(uuid.uuid4())", "yield {'job': self.job}"),
        ("from datetime import date", "def helper(self, day=date.today()): pass", "self.helper()"),
        ("import shop.state", "x = 1", "yield {'now': shop.state.NOW}"),
        ("from shop.state import NOW", "x = 1", "yield {'now': NOW}"),
    ],
)
def test_a_time_that_an_import_has_taken(top: str, attribute: str, line: str) -> None:
    """A date at the top of a module or class stays that of the hub's start."""
    state = "import datetime\nNOW = datetime.datetime.now()\n"
    text = spider(f"{attribute}\n\ndef parse(self, response):\n    {line}", top)
    (finding,) = found(text, state=state)
    assert (finding.kind, finding.severity.value) == ("import-time", "isolate")


@pytest.mark.parametrize(
    ("top", "attribute", "line"),
    [
        ("from datetime import date", "x = 1", "yield {'day': date.today()}"),
        ("from datetime import date", "x = date(2026, 1, 1)", "yield {'day': self.x}"),
        ("from datetime import date\nTODAY = date.today()", "x = 1", "pass"),
        ("from datetime import datetime", "day = datetime.now()", "pass"),
        ("from datetime import datetime", "today = staticmethod(datetime.now)", "self.today()"),
        ("from datetime import datetime", "day = lambda self: datetime.now()", "self.day()"),
        ("from datetime import date", "@property\ndef day(self): return date.today()", "self.day"),
        ("from datetime import datetime\nEPOCH = datetime.fromtimestamp(0)", "x = 1", "print(EPOCH)"),
        ("import os", "key = os.environ.get('KEY')", "yield {'key': self.key}"),
        ("import time\ntime.strftime", "x = 1", "pass"),
    ],
)
def test_times_that_are_taken_when_they_are_wanted(top: str, attribute: str, line: str) -> None:
    """Computed by the run, always the same, or used by nobody."""
    assert kinds(spider(f"{attribute}\n\ndef parse(self, response):\n    {line}", top)) == []


def test_a_choice_that_an_import_has_made_is_worth_a_word() -> None:
    """``random.choice`` in a class body chooses once, which harms nobody."""
    text = spider("user_agent = random.choice('ab')", "import random")
    (finding,) = found(text)
    assert (finding.kind, finding.severity.value) == ("import-random", "advice")


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("import sqlite3\ndb = sqlite3.connect(':memory:')", "db.close()"),
        ("import psycopg2\ndb = psycopg2.connect('')", "db.close()"),
        ("out = open('/tmp/x', 'w')", "out.write('x')"),
    ],
)
def test_a_connection_that_an_import_has_opened(top: str, line: str) -> None:
    """One that is opened at the top of a module is closed by the first run that ends."""
    assert "import-connection" in kinds(spider(f"def parse(self, response):\n    {line}", top))


def test_a_connection_that_nobody_uses_is_left_alone() -> None:
    """A connection that no crawl touches harms none."""
    assert kinds(spider("pass", "import sqlite3\ndb = sqlite3.connect(':memory:')")) == []


def test_what_from_crawler_gives_the_new_spider_is_its_own() -> None:
    """``spider = super().from_crawler(...)`` is the object that the run works with."""
    text = spider("""
        seen = set()

        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            spider = super().from_crawler(crawler, *args, **kwargs)
            spider.seen = set()
            crawler.signals.connect(spider.opened, signal=1)
            return spider

        def opened(self):
            self.seen.add(1)
    """)
    assert kinds(text) == []
    assert kinds(text.replace("spider.seen = set()", "pass")) == ["spider-state"]
    assert kinds(text.replace("spider.seen = set()", "cls.seen = set()")) == ["spider-state"]
