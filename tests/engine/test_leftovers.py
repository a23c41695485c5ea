"""What a run leaves behind ends with it, or is named where nothing can end it."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.support.shop_project import EngineCase, spider

LEAVING = """
    def note(self, what):
        NOTES.append(what)

    async def parse(self, response):
        yield {"url": response.url}
        loop = asyncio.get_running_loop()

        async def worker():
            while True:
                await asyncio.sleep(0.01)
                self.note("task")

        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    pass
                self.note("stubborn")

        async def requests():
            agent = Agent(reactor, pool=HTTPConnectionPool(reactor))
            while True:
                await agent.request(b"GET", (self.shop + "/book/2.html").encode()).asFuture(loop)
                self.note("download")

        async def server():
            await asyncio.start_server(lambda *args: None, "127.0.0.1", 0)

        def again():
            self.note("call_soon")
            loop.call_soon(again)

        def later():
            self.note("call_later")
            loop.call_later(0.01, later)

        def after():
            self.note("callLater")
            reactor.callLater(0.01, after)

        def read():
            self.note("reader")

        reading, self.writing = os.pipe()
        os.write(self.writing, b"x")
        loop.add_reader(reading, read)
        self.looping = task.LoopingCall(self.note, "LoopingCall")
        self.looping.start(0.01)
        self.tasks = [asyncio.ensure_future(each()) for each in (worker, stubborn, requests)]
        await server()
        self.ports = [reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")]
        again(), later(), after()
        while len(set(NOTES)) < 8:
            await asyncio.sleep(0.01)
"""
IMPORTS = """
import os
from twisted.internet import protocol
from twisted.web.client import Agent, HTTPConnectionPool

NOTES = []
"""


RECONNECTING = """
from twisted.internet import protocol

NOTES = []

class Lasting(protocol.Protocol):
    def connectionMade(self):
        NOTES.append("connection")
"""


class LeftoverTests(EngineCase):
    """Whole crawls."""

    timeout = 20

    async def test_nothing_goes_on(self) -> None:
        """Tasks, timers, readers, ports and calls end with the run; its log names them; it succeeds."""
        before = self.handles()
        self.load({"it": spider(LEAVING, imports=IMPORTS)})
        end = await self.launch().done
        seen = len(self.notes())
        assert seen >= 8
        await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        assert self.notes()[seen:] == []
        assert (end.errors, end.items, end.finish_reason) == (0, 1, "finished"), self.log()
        assert end.stats["left_behind/ended"] >= 10
        for name in ("worker", "stubborn", "later", "after", "LoopingCall", "Port", "Server"):
            assert name in self.log(), (name, self.log())
        assert self.handles() == before
        assert [record.getMessage() for record in self.hub_records if record.levelno >= 40] == []

    async def test_nothing_connects_again(self) -> None:
        """A client that connects again when its connection is lost has no timer and no connection left."""
        before = self.handles()
        self.load(
            {
                "it": spider(
                    """
                    async def parse(self, response):
                        yield {"url": response.url}
                        factory = protocol.ReconnectingClientFactory.forProtocol(Lasting)
                        factory.initialDelay = 0.02
                        port = int(self.shop.rpartition(":")[2])
                        reactor.connectTCP("127.0.0.1", port, factory)
                        while not NOTES:
                            await asyncio.sleep(0.01)
                    """,
                    imports=RECONNECTING,
                )
            }
        )
        await self.launch().done
        await deferLater(reactor, 0.2)  # type: ignore[arg-type]
        assert self.notes() == ["connection"]
        assert self.handles() == before
        assert "Left behind and ended with the run: timer" in self.log()

    def notes(self) -> list[str]:
        """What the spider's module has noted: unlike an attribute of the class, all of its runs share it."""
        spidercls: Any = self.engine._projects["test"].spider_class("it")
        return list(spidercls.parse.__globals__["NOTES"])

    def handles(self) -> int:
        """How many sockets the loop watches."""
        return len(reactor._asyncioEventloop._selector.get_map())  # type: ignore[attr-defined]

    async def test_lost_exceptions_are_told_once(self) -> None:
        """A task that failed and that nobody asked is an error in the run's own log, once."""
        end = await self.crawled("""
            def parse(self, response):
                yield {"n": 1}
                async def fail():
                    raise ValueError("lost")
                self.tasks = [asyncio.ensure_future(fail())]
        """)
        assert (end.errors, end.exceptions) == (1, 1)
        assert self.log().count("never retrieved") == 1

    async def test_a_thread_is_named(self) -> None:
        """A thread and a call in a shared thread cannot be ended: log and stats say so."""
        end = await self.crawled("""
            import threading
            gate = threading.Event()

            async def parse(self, response):
                self.threading.Thread(target=self.gate.wait, name="digger", daemon=True).start()
                threads.deferToThread(self.gate.wait)
                yield {"n": 1}
                await asyncio.sleep(0.05)
        """)
        assert "nothing can end it: thread 'digger', Event.wait in a shared thread" in self.log(), self.log()
        assert end.stats["left_behind/at_work"] == 2
        cls = self.engine._projects["test"].spider_class("it")
        cls.gate.set()  # type: ignore[union-attr, attr-defined]

    async def test_cleaning_up_takes_a_moment(self) -> None:
        """A task that is cancelled may await something for its end, and what it logs is in the run's log."""
        end = await self.crawled("""
            def parse(self, response):
                yield {"n": 1}
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(0.1)
                    self.logger.info("all is put away")
        """)
        assert "all is put away" in self.log()
        assert end.stats["left_behind/ended"] == 1

    async def test_a_plain_run_leaves_nothing(self) -> None:
        """A crawl that leaves nothing behind has no such stats and no such line."""
        end = await self.crawled("""
            def parse(self, response):
                yield {"n": 1}
        """)
        assert not [name for name in end.stats if name.startswith("left_behind")]
        assert "eft behind" not in self.log()

    async def test_records_from_threads(self) -> None:
        """What a thread logs or prints for a run stands in that run's log, and only there."""
        await self.crawled("""
            async def parse(self, response):
                import threading
                thread = threading.Thread(target=self.logger.info, args=("MARK thread",))
                thread.start()
                thread.join()
                await asyncio.to_thread(self.logger.info, "MARK to_thread")
                await threads.deferToThread(logging.getLogger("any").info, "MARK deferToThread").asFuture(
                    asyncio.get_running_loop())
                await asyncio.to_thread(print, "MARK print")
        """)
        for what in ("thread", "to_thread", "deferToThread", "print"):
            assert self.log().count(f"MARK {what}\n") == 1, self.log()
        assert not [record for record in self.hub_records if "MARK" in record.getMessage()]

    async def test_counts_of_records_are_live(self) -> None:
        """While the spider runs its stats say how many records there are, as Scrapy's LogCount does."""
        end = await self.crawled("""
            def parse(self, response):
                before = self.crawler.stats.get_value("log_count/WARNING", 0)
                self.logger.warning("one")
                yield {"value": self.crawler.stats.get_value("log_count/WARNING") - before,
                    "stats": self.crawler.stats.get_stats()["log_count/WARNING"] - before}
        """)
        assert self.items() == '{"value": 1, "stats": 1}\n'
        assert end.stats["log_count/WARNING"] == 1

    async def test_errors_under_another_name(self) -> None:
        """A run that gives the level ERROR another name has errors all the same."""
        end = await self.crawled("""
            def parse(self, response):
                yield {"n": 1}
                logging.addLevelName(logging.ERROR, "OOPS")
                self.logger.error("one")
        """)
        assert (end.errors, end.stats["log_count/OOPS"]) == (1, 1)
