"""Exceptions are counted where they happen: a spider that switches logging off fails as one that does not."""

from __future__ import annotations

from textwrap import dedent

from reactorhub.model.run import RunState
from reactorhub.policies.outcome import outcome_of
from tests.support.shop_project import EngineCase, spider

MUTE = """
def __init__(self, **kwargs):
    super().__init__(**kwargs)
    if self.mute == "yes":
        logging.disable(logging.CRITICAL)
"""
PLACES = {
    "callback": """
        def parse(self, response):
            raise ValueError("MARK")
        """,
    "generator": """
        def parse(self, response):
            yield from ()
            raise ValueError("MARK")
        """,
    "async callback": """
        async def parse(self, response):
            await asyncio.sleep(0)
            raise ValueError("MARK")
        """,
    "errback": """
        async def start(self):
            yield scrapy.Request(self.shop + "/broken/404", errback=self.failed)

        def failed(self, failure):
            raise ValueError("MARK")
        """,
    "start": """
        async def start(self):
            yield scrapy.Request(self.shop + "/book/1.html")
            raise ValueError("MARK")

        def parse(self, response):
            pass
        """,
    "pipeline": """
        custom_settings = {"ITEM_PIPELINES": {Pipe: 1}}

        def parse(self, response):
            yield {"hurt": "process_item"}
        """,
    "pipeline's close": """
        custom_settings = {"ITEM_PIPELINES": {Closing: 1}}

        def parse(self, response):
            pass
        """,
    "signal": """
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            made = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(made.hurt, scrapy.signals.response_received)
            return made

        def hurt(self):
            raise ValueError("MARK")

        def parse(self, response):
            pass
        """,
    "asynchronous signal": """
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            made = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(made.hurt, scrapy.signals.spider_opened)
            return made

        async def hurt(self):
            await asyncio.sleep(0)
            raise ValueError("MARK")

        def parse(self, response):
            pass
        """,
    "closed": """
        def parse(self, response):
            pass

        def closed(self, reason):
            raise ValueError("MARK")
        """,
    "duplicate filter": """
        custom_settings = {"DUPEFILTER_CLASS": Filter}

        def parse(self, response):
            for n in range(5, 25):
                yield response.follow(f"/book/{n}.html", callback=self.read)

        def read(self, response):
            pass
        """,
    "downloader middleware": """
        custom_settings = {"DOWNLOADER_MIDDLEWARES": {Down: 1}}

        def parse(self, response):
            pass
        """,
    "spider middleware": """
        custom_settings = {"SPIDER_MIDDLEWARES": {Out: 1}}

        def parse(self, response):
            yield {}
        """,
}
CLASSES = """
from scrapy.dupefilters import RFPDupeFilter

class Pipe:
    def process_item(self, item):
        raise ValueError("MARK")

class Closing:
    def close_spider(self):
        raise ValueError("MARK")

class Filter(RFPDupeFilter):
    def request_seen(self, request):
        if request.url.endswith("/book/7.html"):
            raise ValueError("MARK")
        return super().request_seen(request)

class Down:
    def process_response(self, request, response):
        raise ValueError("MARK")

class Out:
    async def process_spider_output(self, response, result):
        async for each in result:
            yield each
            raise ValueError("MARK")
"""


class FaultTests(EngineCase):
    """Each place raises once, in a run that logs and in one that has switched logging off."""

    async def test_each_place(self) -> None:
        """State, errors and exceptions of both runs are the same, and no run hangs."""
        names = {place: f"it{n}" for n, place in enumerate(PLACES)}
        self.load(
            {name: spider(dedent(PLACES[place]) + MUTE, name, CLASSES) for place, name in names.items()}
        )
        seen = {}
        for place, name in names.items():
            ends = [
                await self.launch(f"{name}{mute}", name, args={"mute": mute}).done for mute in ("no", "yes")
            ]
            loud, mute = ends
            assert "MARK" in (loud.error or ""), f"{place}: {self.log(f'{name}no', name)}"
            assert loud.error == mute.error, place
            assert loud.errors == mute.errors, place
            seen[place] = (loud.exceptions, mute.exceptions)
            states = {outcome_of(end, None).state for end in ends}
            assert states == {RunState.FAILED} if not loud.items else {RunState.SUCCEEDED}, place
        assert seen == dict.fromkeys(PLACES, (1, 1))
