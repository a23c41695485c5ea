"""No crawl keeps the reactor to itself."""

from __future__ import annotations

from twisted.internet.task import LoopingCall

from reactorhub.engine.scrapy.guards import MAX_SCHEDULED
from tests.support.shop_project import EngineCase, spider, until
from tests.support.stopwatch import Stopwatch


class FairnessTests(EngineCase):
    """No crawl keeps the reactor to itself by what Scrapy does for it."""

    timeout = 120

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
        watches = [Stopwatch()]

        def beat() -> None:
            lags.append(watches.pop().seconds)
            watches.append(Stopwatch())

        loop = LoopingCall(beat)
        loop.start(0.05)
        crawl = self.launch()

        def waiting() -> int:
            stats = crawl.stats()
            return int(stats.get("scheduler/enqueued", 0)) - int(stats.get("scheduler/dequeued", 0))

        await until(lambda: waiting() >= MAX_SCHEDULED, 50)
        beats = len(lags)
        await until(lambda: len(lags) > beats + 10, 30)
        assert waiting() < MAX_SCHEDULED + 100
        loop.stop()
        crawl.abort()
        await crawl.done
        assert max(lags) < 1.0
