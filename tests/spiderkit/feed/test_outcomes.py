"""How Redis hears what became of entries, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reactorhub.spiderkit.connection.errors import RedisUnavailable
from reactorhub.spiderkit.feed.entries import Entry
from reactorhub.spiderkit.feed.outcomes import AGAIN, GATHER, DeadLetter, Outcomes
from reactorhub.spiderkit.feed.queue import Handled


def entry(entry_id: str) -> Entry:
    """An entry with this id."""
    return Entry(id=entry_id, data=b"", kind="list")


class HeldQueue:
    """A queue whose replies the test gives."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.replies: list[Deferred[Any]] = []

    async def acknowledge(self, handled: Sequence[Handled]) -> int:
        """Note the ids, and wait for the test."""
        self.sent.append([each.entry.id for each in handled])
        return await self._reply()

    async def bury(self, entry: Entry, reason: str, task_id: str | None, **more: str) -> None:
        """Note the id, and wait for the test."""
        self.sent.append([f"{entry.id} dead"])
        await self._reply()

    async def _reply(self) -> Any:
        reply: Deferred[Any] = Deferred()
        self.replies.append(reply)
        return await reply


class OutcomeTests(SynchronousTestCase):
    """Outcomes of some entries."""

    def setUp(self) -> None:
        """Make a queue that waits for the test."""
        self.clock, self.queue = Clock(), HeldQueue()
        self.told: list[tuple[int, int]] = []
        self.trouble: list[Exception] = []
        told = lambda *counts: self.told.append(counts)  # noqa: E731
        self.outcomes = Outcomes(self.queue, "shop", self.clock, told, self.trouble.append)  # type: ignore[arg-type]

    def handled(self, *ids: str) -> None:
        """Let entries be handled."""
        for each in ids:
            self.outcomes.handled(Handled(entry=entry(each)))

    def test_several_are_sent_together(self) -> None:
        """They wait a moment for each other, and are known until Redis has heard them."""
        self.handled("1", "2")
        assert not self.queue.sent
        self.clock.advance(GATHER)
        assert self.queue.sent == [["1", "2"]]
        assert sorted(self.outcomes.ids) == ["1", "2"]
        self.queue.replies[0].callback(2)
        assert (self.outcomes.ids, self.told) == ([], [(2, 0)])
        assert not self.clock.getDelayedCalls()

    def test_flush_does_not_wait_for_what_is_being_sent(self) -> None:
        """What came since is sent, too: a spider that closes would give it back otherwise."""
        self.handled("1")
        self.clock.advance(GATHER)
        self.handled("2")
        flushed = Deferred.fromCoroutine(self.outcomes.flush())
        assert self.queue.sent == [["1"], ["2"]]
        self.queue.replies[0].callback(1)
        assert self.outcomes.ids == ["2"]
        self.queue.replies[1].callback(1)
        self.successResultOf(flushed)
        assert self.outcomes.ids == []

    def test_what_redis_did_not_take_is_sent_again(self) -> None:
        """Handled entries and dead letters, until Redis takes them."""
        self.handled("1")
        self.outcomes.bury(DeadLetter(entry("2"), "bad"))
        self.clock.advance(GATHER)
        self.queue.replies[0].callback(1)
        self.queue.replies[1].errback(RedisUnavailable("no answer"))
        assert ([str(each) for each in self.trouble], self.outcomes.ids) == (["no answer"], ["2"])
        self.clock.advance(AGAIN)
        self.queue.replies[2].callback(1)
        assert self.queue.sent == [["1"], ["2 dead"], ["2 dead"]]
        assert (self.outcomes.ids, self.told) == ([], [(1, 0), (0, 1)])

    def test_along_with_a_call(self) -> None:
        """A call takes along what was handled; if it fails, that is sent again."""
        self.handled("1")
        calls: list[list[str]] = []
        reply: Deferred[str] = Deferred()

        async def send(handled: Sequence[Handled]) -> str:
            calls.append([each.entry.id for each in handled])
            return await reply

        sent = Deferred.fromCoroutine(self.outcomes.along_with(send))
        self.clock.advance(GATHER)
        assert (calls, self.outcomes.ids) == ([["1"]], ["1"])
        reply.errback(RedisUnavailable("no answer"))
        self.failureResultOf(sent, RedisUnavailable)
        self.clock.advance(AGAIN)
        assert self.queue.sent == [["1"]]
