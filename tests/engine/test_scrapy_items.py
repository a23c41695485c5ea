"""The hub's own items file in the shared process: when it gives way, and when it cannot be written."""

from __future__ import annotations

import json

from tests.support.shop_project import EngineCase, spider

PARSE = "def parse(self, response):\n    yield {'n': 1}\n"
FEED = "FEEDS = {'own.json': {'format': 'json', 'overwrite': True}}"

AT_ANY_TIME = {
    "custom": f"custom_settings = {{'FEEDS': {FEED.partition(' = ')[2]}}}",
    "uri": "custom_settings = {'FEED_URI': 'own.json', 'FEED_FORMAT': 'json'}",
    "update": f"""
@classmethod
def update_settings(cls, settings):
    {FEED}
    settings.set("FEEDS", FEEDS, priority="spider")
""",
    "from_crawler": f"""
@classmethod
def from_crawler(cls, crawler, *args, **kwargs):
    {FEED}
    crawler.settings.set("FEEDS", FEEDS, priority="spider")
    return super().from_crawler(crawler, *args, **kwargs)
""",
    "addon": """
class Feeds:
    def update_settings(self, settings):
        settings.set("FEEDS", {"own.json": {"format": "json", "overwrite": True}}, priority="addon")
custom_settings = {"ADDONS": {Feeds: 1}}
""",
}


class ItemsTests(EngineCase):
    """Crawls of spiders that say where their items go, or do not."""

    async def test_feeds_that_are_set_at_any_time(self) -> None:
        """Feeds of the project's own take the place of the items file, whenever they are set."""
        spiders = {name: spider(PARSE + body, name) for name, body in AT_ANY_TIME.items()}
        uri = f"{self.folder.as_uri()}/%(name)s.json"
        self.load({name: text.replace("own.json", uri) for name, text in spiders.items()})
        for name in spiders:
            crawl = self.launch(name, name)
            end = await crawl.done
            assert (end.items, end.errors, crawl.feeds) == (1, 0, True), (name, self.log(name, name))
            assert json.loads((self.folder / f"{name}.json").read_text()) == [{"n": 1}], name
            assert not self.paths.items("test", name, name).exists(), name

    async def test_settings_of_feeds_without_feeds(self) -> None:
        """Whatever else a project says of feeds, the items file has whole items, one on each line."""
        self.load(
            {
                "it": spider(
                    PARSE + "    yield {'n': 2, 'x': '\\ud83d', 'y': float('nan')}\n"
                    "custom_settings = {'FEED_EXPORT_FIELDS': ['n'], 'FEED_STORAGES': {'file': None}}",
                )
            },
            "FEED_EXPORT_BATCH_ITEM_COUNT = 100\nFEED_EXPORT_INDENT = 2\nFEED_STORE_EMPTY = False\n",
        )
        crawl = self.launch()
        end = await crawl.done
        assert (end.items, end.errors, crawl.feeds) == (2, 0, False), self.log()
        assert self.items() == '{"n": 1}\n{"n": 2, "x": "\\ud83d", "y": null}\n'

    async def test_an_item_that_a_handler_changes(self) -> None:
        """The items file has it as the pipelines left it, as a feed has under ``scrapy crawl``."""
        self.load(
            {
                "it": spider(
                    PARSE + "custom_settings = {'EXTENSIONS': {Marks: 1}}",
                    imports="""
class Marks:
    @classmethod
    def from_crawler(cls, crawler):
        marks = cls()
        crawler.signals.connect(marks.scraped, scrapy.signals.item_scraped)
        return marks
    def scraped(self, item):
        item["_id"] = object()
""",
                )
            }
        )
        end = await self.launch().done
        assert (end.items, end.errors) == (1, 0), self.log()
        assert json.loads(self.items()) == {"n": 1}

    async def test_a_crawl_without_items(self) -> None:
        """It has an items file, which is empty."""
        await self.crawled("def parse(self, response):\n    pass")
        assert self.items() == ""

    async def test_an_items_file_that_cannot_be_made(self) -> None:
        """A crawl whose items nobody could keep does not begin, and says why."""
        (self.folder / "var").mkdir()
        (self.folder / "var" / "items").write_text("not a folder")
        end = await self.crawled(PARSE)
        assert end.items == 0
        assert (end.failure or "").startswith("NotADirectoryError: "), end
