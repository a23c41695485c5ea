"""What classes keep: each run has its own, and no class of the project hears of it."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import weakref
from collections import OrderedDict, defaultdict, deque
from typing import Any, ClassVar

import pytest
import scrapy
from scrapy.pipelines.files import FilesPipeline, S3FilesStore
from scrapy.pipelines.images import ImagesPipeline
from scrapy.settings import Settings
from scrapy.spiders import CrawlSpider

from reactorhub.containment.contexts import RunContext
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.engine.scrapy.class_state import divide, own_class
from reactorhub.engine.scrapy.private.classes import keep_store_settings_apart
from tests.support.shop_project import EngineCase, spider, until


def a_run(run_id: str = "run1") -> RunContext:
    """A run whose code a test plays."""
    return RunContext(run_id, MemoryRunLog())


class Refuses(dict[str, int]):
    """A dictionary that cannot be copied."""

    def __copy__(self) -> Any:
        raise NotImplementedError


def base_class() -> type[scrapy.Spider]:
    """A spider class with a base and a mixin, each with something to share."""

    class Mixin:
        pages: ClassVar[deque[str]] = deque(["a"], maxlen=3)

    class Base(scrapy.Spider):
        seen: ClassVar[set[str]] = set()
        deep: ClassVar[dict[str, Any]] = {"list": [[]], "set": {1}, "text": "x"}
        ordered: ClassVar[Any] = OrderedDict(a=[1])
        counts: ClassVar[Any] = defaultdict(int)
        alias = seen
        frozen = ([],)
        odd = Refuses(a=1)

    class Books(Mixin, Base):
        """The books."""

        name = "books"
        start_urls: ClassVar[list[str]] = []

    return Books


def test_each_run_begins_with_what_the_class_body_made() -> None:
    """Lists, dicts, sets and deques are copied two levels deep, however code comes by them."""
    books: Any = base_class()
    divide(books)
    first, second = a_run(), a_run("run2")

    def change() -> None:
        books.seen.add("by name")
        own = own_class(books, "0190")
        own(name="x").start_urls.append("by self")
        own.deep["list"].append(2)
        own.deep["new"] = 1
        own.ordered["a"].append(2)
        own.counts["a"] += 1
        own.pages.append("b")

    def seen() -> list[Any]:
        own: Any = own_class(books, "0190")
        return [own.start_urls, own.seen, own.deep, own.ordered, own.counts, own.pages, books.seen]

    first.enter(change)
    fresh = [[], set(), {"list": [[]], "set": {1}, "text": "x"}, {"a": [1]}, {}, deque(["a"]), set()]
    assert seen() == second.enter(seen) == fresh
    deep = {"list": [[], 2], "set": {1}, "text": "x", "new": 1}
    changed = [["by self"], {"by name"}, deep, {"a": [1, 2]}, {"a": 1}, deque(["a", "b"]), {"by name"}]
    assert first.enter(seen) == changed
    own: Any = second.enter(own_class, books, "0190")
    assert second.enter(lambda: (type(own.ordered), type(own.counts), own.pages.maxlen)) == (
        OrderedDict,
        defaultdict,
        3,
    )


def test_two_names_of_one_object_are_one_copy() -> None:
    """What was one object under two names still is."""
    books: Any = base_class()
    divide(books)
    assert a_run().enter(lambda: books.seen is books.alias)


def test_other_attributes_are_the_same_for_all() -> None:
    """Tuples are left alone, and so is what cannot be copied."""
    books: Any = base_class()
    divide(books)
    assert a_run().enter(lambda: (books.frozen, books.odd)) == (books.frozen, books.odd)
    assert a_run().enter(lambda: books.frozen[0] is books.frozen[0])
    assert a_run().enter(lambda: books.odd) is books.odd


def test_what_a_run_left_behind_reaches_no_other() -> None:
    """Code of a run that is over still has the copy of its run."""
    books: Any = base_class()
    divide(books)
    run = a_run()
    late = run.enter(lambda: lambda: books.seen.add("late"))
    run.over = True
    run.enter(late)
    assert books.seen == a_run("run2").enter(lambda: books.seen) == set()


def test_an_assignment_to_the_class_of_a_spider_stays_with_its_run() -> None:
    """``type(self).count += 1`` and ``cls.count`` write to the run's own class."""
    books: Any = base_class()
    own: Any = a_run().enter(own_class, books, "0190")
    own.count = 1
    own.seen = {"x"}
    assert not hasattr(books, "count")
    assert books.seen == set()


def test_nobody_hears_of_a_run_s_class() -> None:
    """``__init_subclass__`` and metaclasses that keep a list see the project's classes only."""
    made: list[str] = []

    class Meta(type):
        def __new__(cls, name: str, bases: Any, namespace: Any) -> Any:
            made.append(f"new {name}")
            return super().__new__(cls, name, bases, namespace)

        def __init__(cls, *args: Any) -> None:
            made.append("init")
            super().__init__(*args)

    class Base(scrapy.Spider, metaclass=Meta):
        def __init_subclass__(cls, **kwargs: Any) -> None:
            made.append("subclass")

    class Books(Base):
        name = "books"

    before = list(made)
    own = a_run().enter(own_class, Books, "0190")
    assert made == before
    assert type(own) is Meta


def test_a_run_s_class_looks_like_the_project_s() -> None:
    """Its name, source, documentation and methods are those of the spider; super() works."""

    class Books(CrawlSpider):
        """The books."""

        name = "books"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.__own = 1

        def own(self) -> int:
            return self.__own

    own = a_run().enter(own_class, Books, "0190")
    assert (own.__name__, own.__qualname__, own.__module__) == (
        Books.__name__,
        Books.__qualname__,
        Books.__module__,
    )
    assert own.__doc__ == "The books."
    assert inspect.getsource(own) == inspect.getsource(Books)
    assert issubclass(own, Books)
    assert own().own() == copy.deepcopy(own()).own() == 1


def test_a_class_with_slots_runs_as_it_is() -> None:
    """It can have no subclass of this kind, and its attributes are kept apart all the same."""

    class Books(scrapy.Spider):
        __slots__ = ("x",)
        name = "books"
        seen: ClassVar[set[str]] = set()

    run = a_run()
    assert run.enter(own_class, Books, "0190") is Books
    run.enter(lambda: Books.seen.add("x"))
    assert Books.seen == set()


def test_nothing_stays_of_a_run_s_class() -> None:
    """The class and the copies of a run are collected with it."""
    books: Any = base_class()
    run = a_run()
    kept = weakref.ref(run.enter(own_class, books, "0190")), weakref.ref(run.enter(lambda: books.seen))
    del run
    gc.collect()
    assert [each() for each in kept] == [None, None]


@pytest.mark.parametrize(("pipeline", "prefix"), [(FilesPipeline, "FILES"), (ImagesPipeline, "IMAGES")])
def test_store_settings_are_each_run_s_own(pipeline: Any, prefix: str) -> None:
    """Keys and rights that Scrapy writes onto its store classes are those of the run that asks."""
    undo = keep_store_settings_apart()
    try:
        runs = {name: a_run(name) for name in ("one", "two")}
        for name, run in runs.items():
            settings = Settings({"AWS_ACCESS_KEY_ID": name, f"{prefix}_STORE_S3_ACL": f"acl-{name}"})
            run.enter(pipeline._update_stores, settings)

        def now() -> tuple[object, ...]:
            return S3FilesStore.AWS_ACCESS_KEY_ID, S3FilesStore.POLICY, S3FilesStore.AWS_USE_SSL

        assert [run.enter(now) for run in runs.values()] == [
            ("one", "acl-one", None),
            ("two", "acl-two", None),
        ]
        assert now() == a_run("three").enter(now) == (None, "private", None)
    finally:
        undo()


def test_a_store_and_a_pipeline_of_the_project_s_own() -> None:
    """A project may derive both; what Scrapy writes there is per run as well."""

    class Store(S3FilesStore):
        """A store of the project's own."""

    class Pipeline(FilesPipeline):
        STORE_SCHEMES: ClassVar[Any] = {**FilesPipeline.STORE_SCHEMES, "s3": Store}

        @classmethod
        def _update_stores(cls, settings: Any) -> None:
            super()._update_stores(settings)
            cls.STORE_SCHEMES["s3"].EXTRA = settings["EXTRA"]

    undo = keep_store_settings_apart()
    try:
        run = a_run()
        run.enter(Pipeline._update_stores, Settings({"AWS_ACCESS_KEY_ID": "key"}))
        assert run.enter(lambda: Store.AWS_ACCESS_KEY_ID) == "key"
        assert (Store.AWS_ACCESS_KEY_ID, S3FilesStore.AWS_ACCESS_KEY_ID) == (None, None)
    finally:
        undo()


MEMORY = """
seen = set()
start_urls = []
def __init__(self, shop, page="1", **kwargs):
    super().__init__(shop=shop, **kwargs)
    self.start_urls.append(page)
async def start(self):
    yield scrapy.Request(self.shop + "/book/1.html")
def parse(self, response):
    if response.url not in It.seen:
        It.seen.add(response.url)
        yield {"pages": list(self.start_urls)}
"""
PIPELINE = """
class OnlyNew:
    seen = set()
    def process_item(self, item):
        if str(item) in self.seen:
            raise scrapy.exceptions.DropItem("seen")
        OnlyNew.seen.add(str(item))
        return item
"""


class StateTests(EngineCase):
    """Runs of one spider, one after another and at once."""

    async def test_every_run_is_like_the_first(self) -> None:
        """Neither the spider's nor a pipeline's class keeps anything for the next run."""
        body = MEMORY + "custom_settings = {'ITEM_PIPELINES': {OnlyNew: 1}}"
        self.load({"it": spider(body, imports="import scrapy.exceptions\n" + PIPELINE)})
        for page in "123":
            await self.launch(page, args={"page": page}).done
            assert json.loads(self.items(page)) == {"pages": [page]}, self.log(page)

    async def test_runs_at_once(self) -> None:
        """Two runs that are under way at once do not see each other's state."""
        self.load(
            {
                "it": spider(
                    """
                    pages = []
                    async def parse(self, response):
                        self.pages.append(self.me)
                        type(self).last = self.me
                        while len(getattr(self.crawler, "both", ())) < 2:
                            await asyncio.sleep(0.01)
                        yield {"pages": self.pages, "last": self.last}
                    """
                )
            }
        )
        crawls: list[Any] = [self.launch(name, args={"me": name}) for name in ("one", "two")]
        await until(lambda: all(crawl.opened.called for crawl in crawls))
        for crawl in crawls:
            crawl._crawler.both = crawls
        for name, crawl in zip(("one", "two"), crawls, strict=True):
            await crawl.done
            assert json.loads(self.items(name)) == {"pages": [name], "last": name}
