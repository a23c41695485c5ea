"""Uploads with connectors of every kind, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from reactorhub.spiderkit.stats.outbox import MAX_CLOSE, MAX_UPLOAD, Outbox


class Connector:
    """Does what the test says, and notes what it was asked to do."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.do: dict[str, Callable[[], Any]] = {}

    def _called(self, name: str, *args: Any) -> Any:
        self.calls.append((name, *args) if args else name)
        return self.do.get(name, lambda: None)()

    def connect(self) -> Any:
        """See the class."""
        return self._called("connect")

    def upload(self, spider_id: str, stats: dict[str, Any]) -> Any:
        """See the class."""
        return self._called("upload", spider_id, stats["n"])

    def close(self) -> Any:
        """See the class."""
        return self._called("close")


def failing() -> None:
    """Fail as a connector may."""
    raise KeyError("down")


def finish(outbox: Outbox) -> Deferred[None]:
    """Begin the end of an outbox."""
    return Deferred.fromCoroutine(outbox.finish())


class OutboxTests(SynchronousTestCase):
    """One outbox, whose stats are the number of times that they were read."""

    def setUp(self) -> None:
        """Make an outbox with a connector of the test's."""
        self.clock, self.connector, self.read = Clock(), Connector(), 0
        self.outbox = self.make()

    def make(self) -> Outbox:
        """Return an outbox for the connector as it is now."""

        def read() -> tuple[str, dict[str, Any]]:
            self.read += 1
            return "me", {"n": self.read}

        return Outbox(self.connector, self.clock, read)

    def said(self, run: Callable[[], Any]) -> list[str]:
        """Return the messages that ``run`` logs."""
        with self.assertLogs("reactorhub.spiderkit.stats", "INFO") as logs:
            run()
        return [record.getMessage() for record in logs.records]

    def test_uploads_one_after_the_other(self) -> None:
        """During an upload only the newest wish stays, and its stats are read when its turn comes."""
        first: Deferred[None] = Deferred()
        self.connector.do["upload"] = lambda: first
        for _ in range(5):
            self.outbox.send()
        self.assertEqual(self.connector.calls, ["connect", ("upload", "me", 1)])
        del self.connector.do["upload"]
        first.callback(None)
        self.assertEqual(self.connector.calls[2:], [("upload", "me", 2)])
        self.successResultOf(finish(self.outbox))
        self.assertEqual(self.connector.calls[3:], [("upload", "me", 3), "close"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_connector_that_only_uploads(self) -> None:
        """Neither connect nor close is needed."""

        class Bare:
            def __init__(self) -> None:
                self.seen: list[Any] = []

            def upload(self, spider_id: str, stats: dict[str, Any]) -> str:
                self.seen.append(spider_id)
                return "ignored"

        bare = Bare()
        outbox = Outbox(bare, self.clock, lambda: ("me", {}))
        outbox.connect()
        self.successResultOf(finish(outbox))
        self.assertEqual(bare.seen, ["me"])

    def test_failures_are_said_once(self) -> None:
        """Of an outage there is one warning, and one line when it is over."""
        self.connector.do["upload"] = failing
        said = self.said(lambda: [self.outbox.send() for _ in range(5)])
        self.assertEqual(said, ["The stats cannot be uploaded now: 'down'"])
        del self.connector.do["upload"]
        self.assertEqual(self.said(self.outbox.send), ["The stats are uploaded again"])
        with self.assertNoLogs("reactorhub.spiderkit.stats"):
            self.outbox.send()

    def test_connecting_is_tried_again(self) -> None:
        """A connector that could not connect is asked again before the next upload, and then no more."""
        self.connector.do["connect"] = failing
        self.said(self.outbox.connect)
        del self.connector.do["connect"]
        self.said(self.outbox.send)
        self.outbox.send()
        wanted = ["connect", "connect", ("upload", "me", 1), ("upload", "me", 2)]
        self.assertEqual(self.connector.calls, wanted)

    def test_a_connector_that_exits(self) -> None:
        """Not even ``sys.exit()`` gets out, and the next upload is tried."""
        self.connector.do["upload"] = sys.exit
        self.assertEqual(self.said(self.outbox.send), ["The stats cannot be uploaded now: SystemExit"])
        del self.connector.do["upload"]
        self.said(self.outbox.send)
        self.successResultOf(finish(self.outbox))

    def test_an_upload_that_hangs(self) -> None:
        """It is cancelled after its time, which counts as a failure, and the next one begins."""
        hanging: Deferred[None] = Deferred()
        self.connector.do["upload"] = lambda: hanging
        self.outbox.send()
        said = self.said(lambda: self.clock.advance(MAX_UPLOAD))
        self.assertEqual(said, ["The stats cannot be uploaded now: no end within 5 s"])
        self.assertTrue(hanging.called)
        del self.connector.do["upload"]
        self.said(self.outbox.send)
        self.assertEqual(self.read, 2)

    def test_the_end_is_bounded(self) -> None:
        """With a connector that hangs in everything, the end comes in seconds."""
        for name in ("upload", "close"):
            self.connector.do[name] = Deferred
        self.outbox.send()
        self.clock.advance(1)
        finished = finish(self.outbox)
        self.clock.advance(MAX_UPLOAD)
        self.assertNoResult(finished)
        self.clock.advance(MAX_CLOSE)
        self.successResultOf(finished)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_given_up(self) -> None:
        """An upload under way is cut off without a word, none follows, and the connector is closed."""
        self.connector.do["upload"] = Deferred
        self.outbox.send()
        self.outbox.send()
        with self.assertNoLogs("reactorhub.spiderkit.stats"):
            self.successResultOf(Deferred.fromCoroutine(self.outbox.give_up()))
        self.assertEqual(self.connector.calls, ["connect", ("upload", "me", 1), "close"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_connection_that_hangs(self) -> None:
        """At the end a connector that never connected is given up as well."""
        self.connector.do["connect"] = Deferred
        self.outbox.connect()
        finished = finish(self.outbox)
        self.said(lambda: self.clock.pump([MAX_UPLOAD, MAX_CLOSE]))
        self.successResultOf(finished)
        self.assertNotIn("close", self.connector.calls[:1])

    def test_nobody_waits_for_a_connector_that_outlives_the_crawl(self) -> None:
        """Its last upload goes on after the end, no timer is left, and it is not closed."""
        self.connector.outlives_crawl = True  # type: ignore[attr-defined]
        outbox, last = self.make(), Deferred[None]()
        self.connector.do["upload"] = lambda: last
        self.successResultOf(finish(outbox))
        self.assertEqual((self.connector.calls[-1], self.clock.getDelayedCalls()), (("upload", "me", 1), []))
        last.callback(None)
        self.assertNotIn("close", self.connector.calls)


class AsyncioTests(TestCase):
    """Coroutines that use asyncio, on the real reactor."""

    async def test_coroutines(self) -> None:
        """Each method may be a coroutine, which asyncio runs; a failure in it is one of the upload."""
        connector, seen = Connector(), []

        async def slowly() -> None:
            await asyncio.sleep(0.001)
            seen.append(len(connector.calls))

        async def cancelled() -> None:
            await asyncio.sleep(0.001)
            raise asyncio.CancelledError

        connector.do = {"connect": slowly, "upload": slowly, "close": slowly}
        clock: Any = reactor
        outbox = Outbox(connector, clock, lambda: ("me", {"n": 0}))
        await outbox.finish()
        self.assertEqual(seen, [1, 2, 3])
        connector.do["upload"] = cancelled
        with self.assertLogs("reactorhub.spiderkit.stats", "WARNING"):
            await Outbox(connector, clock, lambda: ("me", {"n": 0})).finish()
        await deferLater(clock, 0)
