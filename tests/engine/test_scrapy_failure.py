"""Real crawls that fail, whatever the spider does: none harms the hub or a neighbour."""

from __future__ import annotations

from reactorhub.engine.scrapy.crawl import _text
from reactorhub.model.run import CrawlEnd, RunState
from reactorhub.policies.outcome import outcome_of
from tests.support.shop_project import EngineCase, spider


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
        """A finish reason that is not text is turned into text, and a very long one is cut."""
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
