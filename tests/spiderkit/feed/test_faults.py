"""Crawls of fed spiders while Redis is absent, frozen, or lets nobody in."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import deferLater

from reactorhub.spiderkit.connection.errors import RedisUnavailable
from reactorhub.spiderkit.feed import session
from reactorhub.spiderkit.feed.queue import FeedQueue, Handled, Taken
from tests.conftest import LONG
from tests.spiderkit.feed.crawl_cases import CrawlCase
from tests.spiderkit.feed.feed_cases import CLOCK
from tests.support.redis_server import RedisServer, free_port
from tests.support.shop_project import until

FROZEN = 10.0 if LONG else 3.0  # seconds


class FaultTests(CrawlCase):
    """The spider waits and goes on."""

    async def test_absent_at_start(self) -> None:
        """The log says once why the spider waits; it begins when Redis comes, and does not close before."""
        late = RedisServer()
        self.addCleanup(late.close)
        with self.assertLogs("shop", "INFO") as logs:
            _, done = self.begin(settings={"REDIS_URL": late.url}, max_idle_time=0.1)
            await until(lambda: any("cannot be used" in line for line in logs.output))
            await deferLater(CLOCK, 0.8)
            assert not done.called
            late.start()
            late.ask("RPUSH", self.keys.source, f"{self.site}/p/1")
            await until(lambda: self.items)
            await done
        assert sum("cannot be used" in line for line in logs.output) == 1
        assert any("Redis is back" in line for line in logs.output)

    async def test_wrong_password(self) -> None:
        """The log names it."""
        locked = RedisServer(password="secret").start()
        self.addCleanup(locked.close)
        with self.assertLogs("shop", "WARNING") as logs:
            crawler, done = self.begin(settings={"REDIS_URL": locked.url.replace("secret", "wrong")})
            await until(lambda: logs.output)
        assert "WRONGPASS" in logs.output[0]
        await until(lambda: crawler.engine and crawler.engine.running)
        await self.stopped(crawler, done)

    async def test_stop_while_redis_is_absent(self) -> None:
        """The spider ends at once."""
        settings = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
        crawler, done = self.begin(settings=settings)
        await deferLater(CLOCK, 0.5)
        began = CLOCK.seconds()
        await self.stopped(crawler, done)
        assert CLOCK.seconds() - began < 2

    async def test_frozen_for_longer_than_the_lease(self) -> None:
        """What was under way is handled once; what was handled meanwhile is acknowledged afterwards."""
        self.push("/hold/1", "/p/2")
        crawler, _ = self.begin(settings={"REDIS_LEASE": 1})
        await until(lambda: self.pages.held and self.left() == (0, 1, 0))
        self.push("/hold/3")
        await until(lambda: len(self.pages.held) == 2)
        self.server.freeze()
        await deferLater(CLOCK, FROZEN / 2)
        self.pages.release()
        await until(lambda: len(self.items) == 3)
        await deferLater(CLOCK, FROZEN / 2)
        self.server.thaw()
        await until(lambda: crawler.stats.get_value("feed/acknowledged") == 3, 20)
        assert set(self.pages.hits.values()) == {1}
        assert self.left() == (0, 0, 0)

    async def test_frozen_while_a_request_is_under_way(self) -> None:
        """It is not requested again by the spider that has it."""
        self.push("/hold/1")
        self.begin(settings={"REDIS_LEASE": 1})
        await until(lambda: self.pages.held)
        self.server.freeze()
        await deferLater(CLOCK, FROZEN)
        self.server.thaw()
        self.push("/p/2")
        await until(lambda: self.items, 20)
        await deferLater(CLOCK, 1.5)
        assert self.pages.hits["/hold/1"] == 1
        self.pages.release()
        await until(lambda: self.left() == (0, 0, 0))

    async def test_reply_that_is_lost(self) -> None:
        """What was taken without a reply goes back at once, and is requested once."""
        lost: list[Taken] = []

        class LosesOneReply(FeedQueue):
            async def take(self, count: int, handled: Sequence[Handled] = ()) -> Taken:
                taken = await super().take(count, handled)
                if taken.entries and not lost:
                    lost.append(taken)
                    raise RedisUnavailable("the connection was lost")
                return taken

        self.patch(session, "FeedQueue", LosesOneReply)
        self.push("/p/1", "/p/2")
        self.begin(settings={"REDIS_LEASE": 600})
        await until(lambda: len(self.items) == 2 and self.left() == (0, 0, 0))
        assert len(lost[0].entries) == 2
        assert self.pages.hits == {"/p/1": 1, "/p/2": 1}

    async def test_all_data_are_lost(self) -> None:
        """The requests under way go on, and the spider reads what comes then."""
        self.push("/hold/1")
        self.begin(settings={"REDIS_LEASE": 0.4})
        await until(lambda: self.pages.held)
        self.server.ask("FLUSHALL")
        with self.assertLogs("shop", "WARNING") as logs:
            await until(lambda: logs.output)
        assert "are not this spider's any more" in logs.output[0]
        self.push("/p/2")
        await until(lambda: self.items)
        self.pages.release()
        await until(lambda: len(self.items) == 2 and self.left() == (0, 0, 0))
