"""Crawls of fed spiders: what they request, and which habits of scrapy-redis they keep."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from typing import Any
from unittest.mock import patch

from scrapy import FormRequest, Request, Spider
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import Rule
from twisted.internet.task import deferLater

from reactorhub.spiderkit.feed.queue import GROUP
from reactorhub.spiderkit.feed.spiders import RedisCrawlSpider, RedisMixin
from tests.spiderkit.feed.crawl_cases import CrawlCase, ShopSpider, requests_to
from tests.spiderkit.feed.feed_cases import CLOCK
from tests.support.shop_project import until


class FeedTests(CrawlCase):
    """A spider that waits for URLs."""

    async def test_urls_become_items_and_leave_redis(self) -> None:
        """What was pushed before and after the start is requested; nothing stays, the consumer included."""
        self.push("/p/1", "/p/2")
        crawler, done = self.begin()
        await until(lambda: len(self.items) == 2)
        self.push(*(f"/p/{n}" for n in range(3, 50)))
        await until(lambda: len(self.items) == 49)
        await self.stopped(crawler, done)
        assert self.urls() == sorted(f"/p/{n}" for n in range(1, 50))
        assert self.left() == (0, 0, 0)
        assert self.server.ask("XINFO", "CONSUMERS", self.keys.stream, GROUP) == []
        assert crawler.stats.get_value("finish_reason") == "shutdown"
        assert crawler.stats.get_value("feed/acknowledged") == 49

    async def test_every_kind_of_source(self) -> None:
        """The source may be a list, a set, a sorted set or a stream, whatever the settings say."""
        pushes = [("RPUSH",), ("SADD",), ("ZADD", 1), ("XADD", "*", "url")]
        for number, (command, *more) in enumerate(pushes):
            key = f"source{number}"
            self.begin(settings={"REDIS_START_URLS_AS_SET": number == 2}, redis_key=key)
            await deferLater(CLOCK, 0.05)
            self.server.ask(command, key, *more, f"{self.site}/p/{number}")
        await until(lambda: len(self.items) == 4)
        assert self.urls() == ["/p/0", "/p/1", "/p/2", "/p/3"]

    async def test_entry_of_the_stream_has_all_of_a_request(self) -> None:
        """Method, body, headers, cookies, callback, cb_kwargs and priority are as the entry says."""

        class It(ShopSpider):
            def parse_it(self, response: Any, shelf: str) -> Any:
                yield {"url": response.url, "shelf": shelf, "priority": response.request.priority}

        entry = {
            "url": f"{self.site}/p/1",
            "method": "PUT",
            "body": "text",
            "headers": {"X-A": "1"},
            "cookies": {"c": "2"},
            "callback": "parse_it",
            "cb_kwargs": {"shelf": "top"},
            "priority": 5,
        }
        self.begin(It)
        self.server.ask("XADD", self.keys.stream, "*", "d", json.dumps(entry))
        await until(lambda: self.items)
        assert self.items == [{"url": f"{self.site}/p/1", "shelf": "top", "priority": 5}]
        (line, body, headers) = self.pages.forms[0]
        assert (line, body, headers["X-A"], headers["Cookie"]) == ("PUT /p/1", b"text", "1", "c=2")

    async def test_json_of_scrapy_redis(self) -> None:
        """Other keys are fields of a form: the body of a POST, added to the query of a GET."""
        for method in ("GET", "POST"):
            entry = {"url": f"{self.site}/p?a=1", "method": method, "q": "b c", "n": [1, 2]}
            self.server.ask("RPUSH", self.keys.source, json.dumps(entry))
        self.begin()
        await until(lambda: len(self.items) == 2)
        found = {(line, body) for line, body, _ in self.pages.forms}
        assert found == {("GET /p?a=1&q=b+c&n=1&n=2", b""), ("POST /p?a=1", b"q=b+c&n=1&n=2")}

    async def test_bad_entries_are_dead_letters(self) -> None:
        """Each goes to the dead letters with its reason, and the spider lives on."""
        bad = ["", "ftp://x", "[1]", '{"a": 1}', "{broken", '{"url": 3}']
        self.server.ask("RPUSH", self.keys.source, *bad, f"{self.site}/p/1")
        self.server.ask("XADD", self.keys.stream, "*", "url", f"{self.site}/p", "callback", "none")
        self.begin()
        await until(lambda: self.left() == (0, 0, 7))
        await until(lambda: self.items)
        reasons = [letter["reason"] for letter in self.server.events(self.keys.dead)]
        for part in (
            "empty",
            "neither a URL",
            "not an object",
            "no url",
            "not valid JSON",
            "url must be text",
        ):
            assert any(part in reason for reason in reasons), part
        assert "the spider has no method 'none'" in reasons
        assert {letter["spider"] for letter in self.server.events(self.keys.dead)} == {"shop"}

    async def test_what_overrides_of_make_request_from_data_return(self) -> None:
        """One request, several, none, and what is wrong."""

        class It(ShopSpider):
            def make_request_from_data(self, data: Any) -> Any:
                text = data.decode()
                made = {
                    "one": lambda: Request(f"{self.site}/p/one"),
                    "two": lambda: (Request(f"{self.site}/p/{n}") for n in "ab"),
                    "none": lambda: None,
                    "empty": lambda: [],
                    "text": lambda: "http://x",
                    "list": lambda: [3],
                    "raise": lambda: 1 / 0,
                }
                return made[text]() if text in made else super().make_request_from_data(text)

        words = ("one", "two", "none", "empty", "text", "list", "raise", f"{self.site}/p/super")
        self.server.ask("RPUSH", self.keys.source, *words)
        self.begin(It, site=self.site)
        await until(lambda: self.left() == (0, 0, 3) and len(self.items) == 4)
        assert self.urls() == ["/p/a", "/p/b", "/p/one", "/p/super"]
        reasons = {letter["d"]: letter["reason"] for letter in self.server.events(self.keys.dead)}
        assert reasons == {
            "text": "make_request_from_data returned str, not a request",
            "list": "make_request_from_data returned int among its requests",
            "raise": "make_request_from_data raised ZeroDivisionError: division by zero",
        }

    async def test_decoded_responses(self) -> None:
        """With REDIS_DECODE_RESPONSES the method gets text; what cannot be decoded is a dead letter."""
        seen: list[Any] = []

        class It(ShopSpider):
            def make_request_from_data(self, data: Any) -> Any:
                seen.append(data)

        self.server.ask("RPUSH", self.keys.source, "ä")
        self.begin(It, settings={"REDIS_DECODE_RESPONSES": True, "REDIS_ENCODING": "ascii"})
        await until(lambda: self.left() == (0, 0, 1))
        self.begin(It, settings={"REDIS_DECODE_RESPONSES": True}, redis_key="other")
        self.server.ask("RPUSH", "other", "ä")
        await until(lambda: seen)
        assert seen == ["ä"]

    async def test_crawl_spider_follows_its_rules(self) -> None:
        """RedisCrawlSpider gets its first pages from Redis and the others by its rules."""

        class Crawl(RedisCrawlSpider):
            name = "shop"
            rules = (Rule(LinkExtractor(allow="/p/"), callback="parse_page"),)

            def parse_page(self, response: Any) -> Any:
                yield {"url": response.url}

        link = b'<html><a href="/p/linked">next</a></html>'
        with patch.object(type(self.pages), "render", lambda _, request: link):
            self.push("/start")
            self.begin(Crawl)
            await until(lambda: self.items)
        assert self.urls() == ["/p/linked"]

    async def test_requests_of_every_batch_pass_the_spider_middlewares(self) -> None:
        """A middleware may change, drop and add requests and items of start, for every entry."""

        class Middleware:
            async def process_start(self, start: Any) -> Any:
                async for each in start:
                    if "drop" not in each.url:
                        yield each.replace(url=each.url + "?seen")
                        yield {"url": f"{each.url}#item"}
                    if "fail" in each.url:
                        raise ValueError("no")

        settings = {"SPIDER_MIDDLEWARES": {Middleware: 10}}
        self.push("/p/1", "/p/drop", "/p/fail")
        self.begin(settings=settings)
        await until(lambda: self.left() == (0, 0, 1))
        self.push("/p/2")
        await until(lambda: len(self.items) == 6 and self.left() == (0, 0, 1))
        assert {"/p/1?seen", "/p/1#item", "/p/2?seen", "/p/2#item"} < set(self.urls())
        (letter,) = self.server.events(self.keys.dead)
        assert letter["reason"] == "a spider middleware raised ValueError: no"

    async def test_start_of_the_spider_itself(self) -> None:
        """It may send requests before the feed; start_urls alone are not requested."""

        class It(ShopSpider):
            start_urls = ["http://127.0.0.1:1/never"]

            async def start(self) -> Any:
                async for each in super().start():
                    yield each
                for each in requests_to(f"{self.site}/p/login"):
                    yield each

        self.push("/p/1")
        crawler, _ = self.begin(It, site=self.site)
        await until(lambda: len(self.items) == 2)
        assert self.urls() == ["/p/1", "/p/login"]
        assert crawler.stats.get_value("downloader/request_count") == 2

    async def test_entries_of_a_task_are_counted(self) -> None:
        """Entries with a task_id count what came of them, and the spider sees the id."""
        tasks: list[Any] = []

        class It(ShopSpider):
            def parse(self, response: Any) -> Any:
                tasks.append(response.meta["task_id"])
                yield {"url": response.url}
                if "bad" in response.url:
                    raise ValueError("no")

        for path in ("/p/1", "/p/bad", "/broken"):
            entry = {"url": self.site + path, "task_id": "t1"}
            self.server.ask("RPUSH", self.keys.source, json.dumps(entry))
        self.begin(It)
        await until(lambda: self.left() == (0, 0, 0) and len(self.items) == 2)
        counts = self.server.hash(self.keys.task("t1"))
        assert tasks == ["t1", "t1"]
        del counts["updated_at"]
        assert counts == {
            "handled": "3",
            "requests": "3",
            "responses": "2",
            "items": "2",
            "failed": "1",
            "errors": "1",
        }

    async def test_counts_of_a_task_include_what_followed(self) -> None:
        """A task counts redirects; with REDIS_ACK = tree also the requests and items of what followed."""

        class It(ShopSpider):
            def parse(self, response: Any) -> Any:
                yield {"url": response.url}
                if "/p/parent" in response.url:
                    yield Request(response.urljoin("/p/child"))

        for ack, requests, items in (("tree", "3", "2"), ("response", "2", "1")):
            entry = {"url": f"{self.site}/moved/parent", "task_id": ack}
            self.server.ask("RPUSH", f"feed-{ack}", json.dumps(entry))
            crawler, done = self.begin(It, settings={"REDIS_ACK": ack}, redis_key=f"feed-{ack}")
            await until(lambda crawler=crawler: crawler.stats.get_value("item_scraped_count") == 2)
            await until(lambda crawler=crawler: crawler.stats.get_value("feed/acknowledged") == 1)
            await self.stopped(crawler, done)
            counts = self.server.hash(f"feed-{ack}:tasks:{ack}")
            assert (counts["requests"], counts["responses"], counts["items"]) == (requests, items, items)

    async def test_spider_pushes_without_blocking(self) -> None:
        """Text goes to the source, a mapping to the stream, from a coroutine of the spider."""

        class It(ShopSpider):
            async def parse(self, response: Any) -> Any:
                yield {"url": response.url}
                if response.url.endswith("1"):
                    await self.push(response.url.replace("1", "2"))
                    await self.push({"url": response.url.replace("1", "3"), "priority": 1})

        self.pages.hits.clear()
        self.server.ask("RPUSH", self.keys.source, f"{self.site.replace('127.0.0.1', 'localhost')}/p/x1")
        settings = {"DNSCACHE_ENABLED": True}
        self.begin(It, settings=settings)
        await until(lambda: self.items)
        await until(lambda: self.left() == (0, 0, 0))


class IdiomTests(CrawlCase):
    """What spiders of scrapy-redis override."""

    async def test_next_requests_that_calls_super(self) -> None:
        """It may change and drop requests; entries are acknowledged all the same."""

        class It(ShopSpider):
            def next_requests(self) -> Any:
                for request in super().next_requests():
                    if "drop" not in request.url:
                        yield request.replace(url=request.url + "?mine")

        self.push("/p/1", "/p/drop")
        self.begin(It)
        await until(lambda: self.items)
        await until(lambda: self.left() == (0, 0, 0))
        assert self.urls() == ["/p/1?mine"]

    async def test_next_requests_that_reads_redis_itself(self) -> None:
        """Then its own reading counts, when the spider is idle; nothing that the feed took is lost."""
        ask = self.server.ask
        key = self.keys.source

        class It(ShopSpider):
            def next_requests(self) -> Any:
                while data := ask("LPOP", key):
                    yield self.make_request_from_data(data)

        self.push(*(f"/p/{n}" for n in range(40)))
        self.begin(It, settings={"CONCURRENT_REQUESTS": 4})
        await until(lambda: len(self.items) == 40 and self.left() == (0, 0, 0))
        assert len(set(self.urls())) == 40

    async def test_spider_idle_that_decides_itself(self) -> None:
        """An override of spider_idle that does not raise ends the spider."""

        class It(ShopSpider):
            def spider_idle(self) -> None:
                self.schedule_next_requests()

        crawler, done = self.begin(It)
        await done
        assert crawler.stats.get_value("finish_reason") == "finished"

    async def test_feeds_of_scrapy(self) -> None:
        """They read every attribute of the spider, and must not make a blocking client by that."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        file = f"{folder}/items.csv"
        self.push("/p/1")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            _, done = self.begin(settings={"FEEDS": {file: {"format": "csv"}}}, max_idle_time=0.2)
            await done
        with open(file) as lines:  # noqa: ASYNC230, PTH123 - a few bytes
            assert lines.read().split() == ["url", f"{self.site}/p/1"]

    async def test_server(self) -> None:
        """It is a blocking client of the server that the settings name, made when it is first used."""
        found: list[Any] = []

        class It(ShopSpider):
            def parse(self, response: Any) -> Any:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    self.server.set("seen", "yes")
                    self.server.set("seen", "again")
                found.append((type(self.server).__name__, [str(each.message) for each in caught]))

        self.push("/p/1")
        self.begin(It, settings={"REDIS_PARAMS": {"redis_cls": "valkey.Valkey"}})
        await until(lambda: found)
        assert self.server.ask("GET", "seen") == "again"
        [(name, [warning])] = found
        assert name == "Valkey"
        assert "blocks the reactor" in warning

    async def test_server_without_the_package(self) -> None:
        """The spider says what to use instead, and code that looks for the attribute finds none."""
        self.push("/p/1")
        crawler, _ = self.begin()
        await until(lambda: self.items)
        spider: Any = crawler.spider
        with patch.dict(sys.modules, {"redis": None}):
            assert not hasattr(spider, "server")
            with self.assertRaises(AttributeError) as caught:
                _ = spider.server
        assert "await self.push(entry)" in str(caught.exception)
        spider.server = 3
        assert spider.server == 3

    async def test_setup_by_hand(self) -> None:
        """A class of one's own may call setup_redis itself, as older spiders do."""

        class It(RedisMixin, Spider):
            name = "shop"

            def _set_crawler(self, crawler: Any) -> None:
                super()._set_crawler(crawler)
                self.setup_redis()
                self.setup_redis(crawler)

            def parse(self, response: Any) -> Any:
                yield {"url": response.url}

        self.push("/p/1")
        self.begin(It)
        await until(lambda: self.items)

    async def test_source_of_a_wrong_kind(self) -> None:
        """The log names the kind; the spider waits until the key is another one."""
        self.server.ask("SET", self.keys.source, "text")
        with self.assertLogs("shop", "WARNING") as logs:
            self.begin()
            await until(lambda: logs.records)
        assert "the key is a string, and must be a list" in logs.output[0]
        self.server.ask("DEL", self.keys.source)
        self.push("/p/1")
        await until(lambda: self.items)

    async def test_domain_argument_of_the_example(self) -> None:
        """The example's __init__ turns an argument into allowed_domains, and form requests stay such."""
        kinds: list[type] = []

        class It(ShopSpider):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                domain = kwargs.pop("domain", "")
                self.allowed_domains = filter(None, domain.split(","))
                super().__init__(*args, **kwargs)

            def parse(self, response: Any) -> Any:
                kinds.append(type(response.request))
                yield {"url": response.url}

        self.push("/p/1")
        self.server.ask("RPUSH", self.keys.source, "http://elsewhere.example/")
        crawler, _ = self.begin(It, domain="127.0.0.1")
        await until(lambda: crawler.stats.get_value("feed/acknowledged") == 2)
        assert (self.urls(), kinds) == (["/p/1"], [FormRequest])
