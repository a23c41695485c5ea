"""A run may start crawls of its own. They do to the process no more than the run itself may."""

from __future__ import annotations

from tests.support.shop_project import EngineCase

NESTED = """
async def parse(self, response):
    from scrapy.crawler import CrawlerRunner
    from scrapy.utils.defer import maybe_deferred_to_future

    class Inner(scrapy.Spider):
        name = "inner"
        start_urls = [self.shop + "/book/2.html"]
        custom_settings = {"MEMUSAGE_ENABLED": True}

        def parse(inner, response):
            self.told = {
                "url": response.url[-7:],
                "consoles": [inner.settings.getbool(f"{name}_ENABLED") for name in self.consoles],
                "extensions": [type(each).__name__ for each in inner.crawler.extensions.middlewares],
            }

    runner = CrawlerRunner({"TELNETCONSOLE_ENABLED": True, "REMOTE_CONTROL_ENABLED": True})
    await maybe_deferred_to_future(runner.crawl(Inner))
    yield self.told

consoles = ["TELNETCONSOLE", "REMOTE_CONTROL", "MEMUSAGE"]
"""


class NestedCrawlTests(EngineCase):
    """Crawls that code of a run starts by a CrawlerRunner."""

    async def test_a_nested_crawl_opens_no_console(self) -> None:
        """Whatever its settings ask for: no console that executes code, no look at all memory."""
        end = await self.crawled(NESTED)
        assert (end.items, end.errors) == (1, 0), self.log()
        assert '"url": "/2.html"' in self.items()
        assert '"consoles": [false, false, false]' in self.items()
        for name in ("Telnet", "RemoteControl", "MemoryUsage", "LogCount"):
            assert name not in self.items()
