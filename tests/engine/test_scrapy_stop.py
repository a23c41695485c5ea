"""Real crawls that are told to stop, from the gentle way to the last."""

from __future__ import annotations

from tests.support.shop_project import EngineCase, spider, until
from tests.support.stopwatch import Stopwatch

HANGING = """
async def start(self):
    yield scrapy.Request(self.shop + "/slow/600")
"""

MANY = """
async def start(self):
    for n in range(50):
        yield scrapy.Request(self.shop + f"/book/{n + 1}.html")
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
        self.load({"it": spider("custom_settings = {'DOWNLOAD_DELAY': 0.2}\n" + MANY)})
        crawl = self.launch()
        crawl.stop()
        end = await crawl.done
        assert end.finish_reason == "shutdown"
        assert end.stats["response_received_count"] < 50

    async def test_abort_before_it_has_opened(self) -> None:
        """Downloads that are cut off before the stop is heard do not let the crawl look finished."""
        settings = "custom_settings = {'DOWNLOAD_SLOTS': {'127.0.0.1': {'delay': 30}}}\n"
        self.load({"it": spider(HANGING), "two": spider(settings + MANY, "two")})
        for name in ("it", "two"):
            crawl = self.launch(name, name)
            crawl.abort()
            end = await crawl.done
            assert end.finish_reason == "shutdown"
            assert self.paths.log("test", name, name).exists()

    async def test_abort_cuts_hung_downloads(self) -> None:
        """Downloads under way and waiting are cut; those of the neighbour are not."""
        self.load({"it": spider(HANGING), "two": spider(HANGING.replace("600", "1"), "two")})
        crawl, neighbour = self.launch(), self.launch("run2", "two")
        for each in (crawl, neighbour):
            await until(lambda each=each: each.stats().get("downloader/request_count"))  # type: ignore[misc]
        watch = Stopwatch()
        crawl.abort()
        end = await crawl.done
        assert watch.seconds < 1
        assert end.finish_reason == "shutdown"
        assert (await neighbour.done).stats["downloader/response_count"] == 1

    async def test_abort_drops_what_waits_for_its_turn(self) -> None:
        """Fifty requests behind a long delay do not hold the end up."""
        self.load({"it": spider("custom_settings = {'DOWNLOAD_DELAY': 30}\n" + MANY)})
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
