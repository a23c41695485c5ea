"""Real crawls on the real reactor: what a crawl leaves behind, and the settings it runs with."""

from __future__ import annotations

import json
import logging

from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.policies.expectations import read, unmet
from tests.support.hubs import START
from tests.support.shop_project import EngineCase, spider


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
