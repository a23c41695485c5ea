"""Real crawls on the real reactor: how they end, whatever the spider does, and how they are told to."""

from __future__ import annotations

import json
import logging

from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from reactorhub.engine.scrapy.crawl import _text
from reactorhub.errors import UnknownSpider
from reactorhub.model.run import CrawlEnd, Run, RunSpec, RunState
from reactorhub.policies.expectations import read, unmet
from reactorhub.policies.outcome import outcome_of
from tests.support.hubs import START
from tests.support.shop_project import EngineCase, spider, until


class CrawlTests(EngineCase):
    """What a crawl leaves behind when nobody disturbs it."""

    async def test_a_good_crawl(self) -> None:
        """Its items, its log and its stats are where they belong, and its end says so."""
        end = await self.crawled(
            """
            def parse(self, response):
                self.logger.info("title is %s", response.css("h1::text").get())
                yield {"url": response.url, "ä": "ö"}
            """
        )
        assert (end.failure, end.finish_reason, end.items, end.errors) == (None, "finished", 1, 0)
        assert json.loads(self.items()) == {"url": f"{self.shop}/book/1.html", "ä": "ö"}
        assert "[it] INFO: title is" in self.log()
        assert "Spider closed (finished)" in self.log()
        assert end.stats["item_scraped_count"] == 1
        assert end.stats["log_count/INFO"] > 5

    async def test_settings_are_layered(self) -> None:
        """The hub's defaults are below the project's, a run's are above, and some are forced."""
        self.load(
            {
                "it": spider(
                    """
                    custom_settings = {"TELNETCONSOLE_ENABLED": True, "REMOTE_CONTROL_ENABLED": True,
                        "MEMUSAGE_ENABLED": True, "MEMUSAGE_LIMIT_MB": 1, "DEPTH_LIMIT": 3}
                    def parse(self, response):
                        names = ["CONCURRENT_ITEMS", "TELNETCONSOLE_ENABLED", "REMOTE_CONTROL_ENABLED",
                            "MEMUSAGE_ENABLED", "DEPTH_LIMIT", "DOWNLOAD_TIMEOUT", "BOT_NAME"]
                        yield {name: self.settings[name] for name in names}
                    """
                )
            },
            "DOWNLOAD_TIMEOUT = 7\nBOT_NAME = 'mine'\n",
        )
        end = await self.launch(settings={"DEPTH_LIMIT": 9, "TELNETCONSOLE_ENABLED": True}).done
        assert end.finish_reason == "finished"
        assert json.loads(self.items()) == {
            "CONCURRENT_ITEMS": 8,
            "TELNETCONSOLE_ENABLED": False,
            "REMOTE_CONTROL_ENABLED": False,
            "MEMUSAGE_ENABLED": False,
            "DEPTH_LIMIT": 9,
            "DOWNLOAD_TIMEOUT": 7,
            "BOT_NAME": "mine",
        }

    async def test_one_run_s_settings_do_not_reach_the_next(self) -> None:
        """Two overlapping runs of one class each have their own settings and arguments."""
        self.load(
            {
                "it": spider(
                    """
                    def parse(self, response):
                        yield {"depth": self.settings["DEPTH_LIMIT"], "who": self.who}
                    """
                )
            }
        )
        first = self.launch("run1", settings={"DEPTH_LIMIT": 1}, args={"who": "one"})
        second = self.launch("run2", args={"who": "two"})
        await first.done
        await second.done
        assert json.loads(self.items("run1")) == {"depth": 1, "who": "one"}
        assert json.loads(self.items("run2")) == {"depth": 0, "who": "two"}

    async def test_a_project_s_own_feeds(self) -> None:
        """A project that sets FEEDS gets them, and the hub writes no items file of its own."""
        feed = self.folder / "own.json"
        body = "def parse(self, response):\n    yield {'n': 1}"
        self.load({"it": spider(body)}, f"FEEDS = {{{str(feed)!r}: {{'format': 'json'}}}}\n")
        await self.launch().done
        assert json.loads(feed.read_text()) == [{"n": 1}]
        assert not self.paths.items("test", "it", "run1").exists()

    async def test_settings_that_cannot_be_pickled(self) -> None:
        """A project may keep a lambda among its settings."""
        self.load(
            {"it": spider("def parse(self, response):\n    yield {'n': self.settings['ODD'](1)}")},
            "ODD = lambda n: n + 1\n",
        )
        end = await self.launch().done
        assert (end.items, end.failure) == (1, None)

    async def test_fields_of_items(self) -> None:
        """The fields that are expected are counted in the crawl's own stats, live and in the end."""
        expect = {"items": ">= 3", "fields": {"price": ">= 95%", "offer.price": ">= 30%", "gone": "== 0"}}
        self.load(
            {
                "it": spider(
                    """
                    def parse(self, response):
                        yield {"price": 0, "offer": {"price": ""}}
                        yield {"price": "", "offer": {"price": 7}, "x": 1}
                        yield Book(price=3)
                        seen = dict(self.crawler.stats.get_stats())
                        yield {"price": seen["item_field_count/price"]}
                        yield Strange(price=1)
                    """,
                    imports="""
from dataclasses import dataclass
@dataclass
class Book:
    price: int
class Strange(dict):
    def __getitem__(self, key):
        if key == "gone":
            raise SystemExit(key)
        return super().__getitem__(key)
""",
                )
            }
        )
        crawl = self.launch(expect=expect)
        end = await crawl.done
        counts = {name: end.stats[f"item_field_count/{name}"] for name in ("price", "offer.price", "gone")}
        assert counts == {"price": 4, "offer.price": 1, "gone": 0}
        assert (end.items, end.errors, end.finish_reason) == (5, 0, "finished"), self.log()
        assert "item_field_count/x" not in end.stats
        run = Run(
            id="run1",
            spec=RunSpec(spider="it", project="test", expect=expect),
            created_at=START,
            state=RunState.SUCCEEDED,
            finish_reason=end.finish_reason,
            stats=end.stats,
        )
        assert unmet(read(expect), run, ()) == [
            "fields.price is 80%, expected >= 95%",
            "fields.offer.price is 20%, expected >= 30%",
        ]

    async def test_nobody_expects_fields(self) -> None:
        """Without expectations there is no such stat, and a project's own of that name is left alone."""
        body = "def parse(self, response):\n    yield {'n': 1}"
        end = await self.crawled(body, expect={"items": 1})
        assert not [name for name in end.stats if name.startswith("item_field_count/")]

    async def test_log_level_of_the_run(self) -> None:
        """LOG_LEVEL keeps records out of the file, and errors are counted all the same."""
        self.load(
            {
                "it": spider(
                    """
                    def parse(self, response):
                        self.logger.info("quiet")
                        self.logger.error("an error without exception")
                        yield {"n": 1}
                    """
                )
            }
        )
        end = await self.launch(settings={"LOG_LEVEL": "CRITICAL"}).done
        assert self.log() == ""
        assert (end.errors, end.exceptions) == (1, 0)

    async def test_no_handler_is_left(self) -> None:
        """A crawl adds nothing to the root logger and leaves no delayed call."""
        before = list(logging.root.handlers)
        await self.crawled("def parse(self, response):\n    yield {'n': 1}")
        assert logging.root.handlers == before


class FailureTests(EngineCase):
    """Whatever a spider raises is the end of nothing but its own run."""

    async def failed(self, body: str, **spec: object) -> CrawlEnd:
        """Return the end of a crawl that the outcome rule calls failed."""
        end = await self.crawled(body, **spec)
        assert outcome_of(end, None).state is RunState.FAILED, end
        return end

    async def test_init_raises(self) -> None:
        """The exception is the failure, and the log has its traceback."""
        end = await self.failed("def __init__(self, **kw):\n    raise ValueError('no luck')")
        assert end.failure == "ValueError: no luck"
        assert "Traceback" in self.log()
        assert "no luck" in self.log()

    async def test_init_exits(self) -> None:
        """sys.exit() in __init__ ends nothing but the run."""
        end = await self.failed("def __init__(self, **kw):\n    sys.exit(3)")
        assert end.failure == "SystemExit: 3"

    async def test_start_raises(self) -> None:
        """Scrapy calls it start_error; the exception's text is kept."""
        end = await self.failed("async def start(self):\n    raise KeyError('x')\n    yield")
        assert (end.finish_reason, end.error) == ("start_error", "KeyError: 'x'")

    async def test_start_exits(self) -> None:
        """sys.exit() in start() is an exception like any other."""
        end = await self.failed("async def start(self):\n    sys.exit('bye')\n    yield")
        assert end.finish_reason == "start_error"
        assert "SystemExit(bye)" in (end.error or "")

    async def test_callback_raises(self) -> None:
        """With no item beside it, an exception in a callback fails the run."""
        end = await self.failed("def parse(self, response):\n    raise RuntimeError('oh')")
        assert (end.finish_reason, end.exceptions, end.error) == ("finished", 1, "RuntimeError: oh")

    async def test_callback_exits(self) -> None:
        """sys.exit() in a callback, in a generator and in an async generator is contained."""
        self.load(
            {
                "plain": spider("def parse(self, response):\n    sys.exit(1)", "plain"),
                "generator": spider("def parse(self, response):\n    yield {}\n    sys.exit(1)", "generator"),
                "agen": spider("async def parse(self, response):\n    yield {}\n    sys.exit(1)", "agen"),
                "coro": spider("async def parse(self, response):\n    raise KeyboardInterrupt", "coro"),
                "closing": spider("def parse(self, response):\n    raise GeneratorExit", "closing"),
            }
        )
        for name in ("plain", "generator", "agen", "coro", "closing"):
            end = await self.launch(name, name).done
            assert (end.finish_reason, end.exceptions) == ("finished", 1), name
            assert "the hub goes on" in (end.error or "")

    async def test_callback_cancels_itself(self) -> None:
        """CancelledError out of a callback does not hang the crawl."""
        end = await self.crawled("def parse(self, response):\n    raise asyncio.CancelledError")
        assert end.finish_reason == "finished"
        assert end.exceptions == 1

    async def test_pipeline_exits(self) -> None:
        """sys.exit() in an item pipeline loses the item, not the hub."""
        self.load(
            {
                "it": spider("def parse(self, response):\n    yield {'n': 1}"),
                "pipes": "import sys\nclass Pipe:\n    def process_item(self, item):\n        sys.exit(1)\n",
            },
            'ITEM_PIPELINES = {"enginetest.spiders.pipes.Pipe": 1}\n',
        )
        end = await self.launch().done
        assert (end.finish_reason, end.items, end.exceptions) == ("finished", 0, 1)

    async def test_unhandled_error(self) -> None:
        """An error in a Deferred that nobody looks at is found in the run's log."""
        end = await self.crawled(
            """
            def parse(self, response):
                import gc
                defer.fail(ValueError("nobody looks"))
                gc.collect()
                yield {"n": 1}
            """
        )
        assert "nobody looks" in self.log()
        assert end.errors >= 1
        self.flushLoggedErrors(ValueError)

    async def test_finish_reasons_that_are_none(self) -> None:
        """A reason to close that is no text is made one, and one that is a book is cut."""
        imports = """
from enum import Enum
class Why(Enum):
    ENOUGH = 1
"""
        reasons = {
            "5": "5",
            "None": "cancelled",
            "Why.ENOUGH": "Why.ENOUGH",
            "ValueError('oh')": "oh",
            "'x' * 10**6": "x" * 200,
        }
        bodies = [
            f"def parse(self, response):\n    raise scrapy.exceptions.CloseSpider({each})" for each in reasons
        ]
        self.load({f"it{n}": spider(body, f"it{n}", imports) for n, body in enumerate(bodies)})
        for n, reason in enumerate(reasons.values()):
            end = await self.launch(f"run{n}", f"it{n}").done
            assert end.finish_reason == reason
            assert outcome_of(end, None).state is RunState.FAILED

    def test_a_reason_that_cannot_be_shown(self) -> None:
        """What raises when it is asked for its text is called by the name of its kind."""

        class Mute:
            def __str__(self) -> str:
                raise SystemExit

        assert _text(Mute()) == "Mute"

    async def test_counts_that_are_none(self) -> None:
        """A spider may make anything of Scrapy's own stats; its crawl ends all the same."""
        body = """
            def parse(self, response):
                self.crawler.stats.set_value("item_scraped_count", {0})
                self.crawler.stats.set_value("spider_exceptions/count", {0})
        """
        counts = {
            "'many'": 0,
            "float('nan')": 0,
            "float('inf')": 0,
            "[1]": 0,
            "None": 0,
            "-1": 0,
            "10**5000": 10**15,
        }
        self.load({f"it{n}": spider(body.format(made), f"it{n}") for n, made in enumerate(counts)})
        for n, count in enumerate(counts.values()):
            end = await self.launch(f"run{n}", f"it{n}").done
            assert (end.finish_reason, end.items, end.exceptions) == ("finished", count, count)
            assert outcome_of(end, None).reason

    async def test_a_collector_that_gives_no_stats(self) -> None:
        """A project's own collector of stats may fail; then there are none, and the crawl ends."""
        self.load(
            {
                "it": spider("def parse(self, response):\n    pass"),
                "odd": "from scrapy.statscollectors import StatsCollector\n"
                "class Odd(StatsCollector):\n    def get_stats(self):\n        raise RuntimeError\n",
            },
            'STATS_CLASS = "enginetest.spiders.odd.Odd"\nSTATS_DUMP = False\n',
        )
        end = await self.launch().done
        assert (end.failure, end.finish_reason, end.items) == (None, "finished", 0)

    async def test_an_exception_that_is_a_book(self) -> None:
        """Of what an exception says as much is kept as a person may read; all of it stands in the log."""
        end = await self.failed("def parse(self, response):\n    raise ValueError('<p>' * 10**5)")
        assert len(end.error or "") == 2000
        assert (end.error or "").endswith("<p><…")
        assert "<p>" * 10**5 in self.log()

    async def test_unknown_spider(self) -> None:
        """A run whose spider is gone fails with a sentence that says so."""
        self.load({"it": spider("pass")})
        end = await self.launch(spider="gone").done
        assert end.failure is not None
        assert "project 'test' has no spider 'gone'" in end.failure

    async def test_a_log_that_cannot_be_opened(self) -> None:
        """A disk that takes no log file fails the run and nothing else."""
        self.load({"it": spider("pass")})
        self.paths.data_dir.mkdir(exist_ok=True)
        (self.paths.data_dir / "logs").write_text("in the way")
        end = await self.launch().done
        assert "log file cannot be opened" in (end.failure or "")

    async def test_bad_setting(self) -> None:
        """A setting value that Scrapy cannot use fails the run with Scrapy's own words."""
        end = await self.failed("pass", settings={"CONCURRENT_REQUESTS": "many"})
        assert "ValueError" in (end.failure or "")


HANGING = """
async def start(self):
    yield scrapy.Request(self.shop + "/slow/600")
"""


class StopTests(EngineCase):
    """Told to stop, a crawl ends at one of the rungs, in whatever state it is."""

    async def test_stop_while_it_crawls(self) -> None:
        """A graceful stop lets what is in flight finish."""
        self.load(
            {
                "it": spider(
                    """
                    def parse(self, response):
                        yield {"n": 1}
                        yield response.follow("/book/1.html", dont_filter=True)
                    """
                )
            }
        )
        crawl = self.launch()
        await until(lambda: crawl.stats().get("item_scraped_count"))
        crawl.stop()
        crawl.stop()
        end = await crawl.done
        assert end.finish_reason == "shutdown"
        assert end.items >= 1

    async def test_code_that_begins_after_a_cut(self) -> None:
        """An errback that awaits something after the downloads were cut off is cut off too."""
        body = """
            async def start(self):
                yield scrapy.Request(self.shop + "/slow/600", errback=self.failed)

            async def failed(self, failure):
                await asyncio.sleep(0.01)
                self.logger.info("MARK a short wait ends")
                await asyncio.sleep(600)
            """
        self.load({"it": spider(body)})
        crawl = self.launch()
        await until(lambda: crawl.stats().get("downloader/request_count"))
        crawl.abort()
        end = await crawl.done
        assert end.finish_reason == "shutdown"
        assert "MARK a short wait ends" in self.log()
        assert "EscapedError: it was cut off" in self.log()

    async def test_stop_before_it_has_opened(self) -> None:
        """A stop that comes while the spider opens is kept and carried out."""
        self.load({"it": spider(HANGING)})
        crawl = self.launch()
        crawl.stop()
        crawl.abort()
        end = await crawl.done
        assert end.finish_reason in ("shutdown", "finished")
        assert self.paths.log("test", "it", "run1").exists()

    async def test_abort_cuts_hung_downloads(self) -> None:
        """Downloads under way and waiting are cut; those of the neighbour are not."""
        self.load({"it": spider(HANGING), "two": spider(HANGING.replace("600", "1"), "two")})
        crawl, neighbour = self.launch(), self.launch("run2", "two")
        for each in (crawl, neighbour):
            await until(lambda each=each: each.stats().get("downloader/request_count"))  # type: ignore[misc]
        began = reactor.seconds()  # type: ignore[attr-defined]
        crawl.abort()
        end = await crawl.done
        assert reactor.seconds() - began < 1  # type: ignore[attr-defined]
        assert end.finish_reason == "shutdown"
        assert (await neighbour.done).stats["downloader/response_count"] == 1

    async def test_abort_drops_what_waits_for_its_turn(self) -> None:
        """Fifty requests behind a long delay do not hold the end up."""
        self.load(
            {
                "it": spider(
                    """
                    custom_settings = {"DOWNLOAD_DELAY": 30}
                    async def start(self):
                        for n in range(50):
                            yield scrapy.Request(self.shop + f"/book/{n + 1}.html")
                    """
                )
            }
        )
        crawl = self.launch()
        await until(lambda: crawl.stats().get("response_received_count"))
        crawl.abort()
        assert (await crawl.done).finish_reason == "shutdown"

    async def test_cancel_tasks_ends_what_never_would(self) -> None:
        """A callback and a pipeline that wait for ever are ended by the third rung."""
        self.load(
            {
                "it": spider("async def parse(self, response):\n    await asyncio.sleep(600)\n    yield {}"),
                "two": spider("def parse(self, response):\n    yield {'n': 1}", "two"),
                "pipes": """
                    from twisted.internet import defer
                    class Pipe:
                        async def process_item(self, item):
                            await defer.Deferred().asFuture(__import__("asyncio").get_event_loop())
                    """,
            },
            'ITEM_PIPELINES = {"enginetest.spiders.pipes.Pipe": 1}\n',
        )
        for name in ("it", "two"):
            crawl = self.launch(name, name)
            await until(lambda: crawl.stats().get("response_received_count"))  # noqa: B023
            crawl.stop()
            crawl.cancel_tasks()
            await crawl.done

    async def test_abandon_waits_for_nobody(self) -> None:
        """The last rung ends the crawl for the hub, whatever is left of it."""
        self.load({"it": spider(HANGING)})
        crawl = self.launch()
        await crawl.opened
        crawl.abandon()
        assert self.successResultOf(crawl.done).failure is not None
        crawl.cancel_tasks()
        await until(lambda: all(task.done() for task in crawl._context.tasks))  # type: ignore[attr-defined]

    async def test_a_stop_after_the_end(self) -> None:
        """Every rung may be called when there is nothing left to stop."""
        self.load({"it": spider("def parse(self, response):\n    yield {'n': 1}")})
        crawl = self.launch()
        await crawl.done
        for rung in (crawl.stop, crawl.abort, crawl.cancel_tasks, crawl.abandon):
            rung()
        assert crawl.stats() == {}


class FairnessTests(EngineCase):
    """No crawl keeps the reactor to itself by what Scrapy does for it."""

    async def test_a_start_without_end(self) -> None:
        """A start() that yields for ever neither starves the reactor nor fills the memory."""
        self.load(
            {
                "it": spider(
                    """
                    async def start(self):
                        n = 0
                        while True:
                            n += 1
                            yield scrapy.Request(self.shop + f"/slow/2?{n}")
                    """
                )
            }
        )
        lags: list[float] = []
        last = [reactor.seconds()]  # type: ignore[attr-defined]

        def beat() -> None:
            now = reactor.seconds()  # type: ignore[attr-defined]
            lags.append(now - last[0])
            last[0] = now

        loop = LoopingCall(beat)
        loop.start(0.05)
        crawl = self.launch()
        await until(lambda: crawl.stats().get("scheduler/enqueued", 0) >= 10_000, 30)
        at_the_limit = crawl.stats()["scheduler/enqueued"]
        beats = len(lags)
        await until(lambda: len(lags) > beats + 10)
        assert crawl.stats()["scheduler/enqueued"] < at_the_limit + 100
        loop.stop()
        crawl.abort()
        await crawl.done
        assert max(lags) < 1.0


class ProjectTests(EngineCase):
    """What is loaded, what is broken, and what cannot live side by side."""

    def test_broken_modules_cost_nobody_but_themselves(self) -> None:
        """Whatever a module raises at import, its neighbours' spiders are there and it is listed."""
        self.load(
            {
                "a": spider("pass", "a"),
                "b_import": "import no_such_module_anywhere",
                "c_syntax": "def (",
                "d_name": "undefined",
                "e_exit": "import sys; sys.exit(4)",
                "z": spider("'''Walks.'''\ndef __init__(self, day, page=1, **kw):\n    pass", "z"),
            }
        )
        catalog = self.engine.catalog()
        assert [each.name for each in catalog.spiders] == ["a", "z"]
        assert catalog.spiders[1].docstring is None or "Walks" in catalog.spiders[1].docstring
        assert catalog.spiders[1].arguments == ("day", "page")
        broken = {each.module.rsplit(".", 1)[1]: each for each in catalog.broken}
        assert list(broken) == ["b_import", "c_syntax", "d_name", "e_exit"]
        assert broken["b_import"].error == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
        assert broken["e_exit"].error == "SystemExit: 4"
        assert "undefined" in broken["d_name"].traceback
        assert {each.project for each in catalog.broken} == {"test"}

    def test_broken_settings(self) -> None:
        """A settings module that raises leaves its project without spiders, and the hub up."""
        self.load({"a": spider("pass", "a")}, "raise SystemExit('no settings')")
        assert self.engine.catalog().spiders == ()
        assert self.engine.catalog().broken[0].error == "SystemExit: no settings"

    def test_two_spiders_of_one_name(self) -> None:
        """The one that wins is said aloud."""
        self.load({"a": spider("pass", "same"), "b": spider("pass", "same")})
        assert "spider 'same' is defined 2 times" in self.engine.catalog().warnings[0]

    def test_resolve(self) -> None:
        """A spider's project is found, or the refusal says what there is."""
        self.load({"a": spider("pass", "a")})
        assert self.engine.resolve("a", None) == self.engine.resolve("a", "test") == "test"
        with self.assertRaisesRegex(UnknownSpider, "there is no spider 'b'"):
            self.engine.resolve("b", None)
        with self.assertRaisesRegex(UnknownSpider, "there is no project 'x'; there are: test"):
            self.engine.resolve("a", "x")
