"""Tells Redis what became of entries: handled, or a dead letter. Keeps it until Redis has heard it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from reactorhub.spiderkit.feed.entries import Entry
from reactorhub.spiderkit.feed.queue import FeedQueue, Handled

T = TypeVar("T")
GATHER = 0.05  # seconds in which acknowledgements wait for each other; together they cost a fraction
AGAIN = 1.0  # seconds until a refused or unanswered acknowledgement is sent again


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that gives no request, with the reason."""

    entry: Entry
    reason: str
    task_id: str | None = None


class Outcomes:
    """Sends outcomes to a queue, several at once, and again if Redis did not take them."""

    def __init__(
        self,
        queue: FeedQueue,
        spider: str,
        clock: Any,
        told: Callable[[int, int], None],
        trouble: Callable[[Exception], None],
    ) -> None:
        """
        :param spider: the name of the spider, for dead letters.
        :param told: called with how many entries were acknowledged, and how many became dead letters.
        :param trouble: called with the reason why Redis did not take an outcome.
        """
        self._queue = queue
        self._spider = spider
        self._clock = clock
        self._told = told
        self._trouble = trouble
        self._handled: list[Handled] = []
        self._dead: list[DeadLetter] = []
        self._sending: set[str] = set()
        self._timer: IDelayedCall | None = None

    @property
    def ids(self) -> list[str]:
        """The entries whose outcome Redis has not heard."""
        letters = [letter.entry.id for letter in self._dead]
        return [*self._sending, *(each.entry.id for each in self._handled), *letters]

    def handled(self, handled: Handled) -> None:
        """Acknowledge an entry soon."""
        self._handled.append(handled)
        self._soon(GATHER)

    def bury(self, letter: DeadLetter) -> None:
        """Make an entry a dead letter soon."""
        self._dead.append(letter)
        self._soon(GATHER)

    async def along_with(self, send: Callable[[Sequence[Handled]], Awaitable[T]]) -> T:
        """Send what was handled together with a call, and return its result.

        :param send: sends both. If it fails, what was handled is sent again later.
        """
        handled, self._handled = self._handled, []
        ids = {each.entry.id for each in handled}
        self._sending |= ids
        try:
            result = await send(handled)
        except BaseException:
            self._handled = handled + self._handled
            self._soon(AGAIN)
            raise
        finally:
            self._sending -= ids
        if handled:
            self._told(len(handled), 0)
        if not self._handled and not self._dead:
            self.stop()
        return result

    async def flush(self) -> None:
        """Send what waits now. What is being sent already comes first, over the same connection.

        :raises RedisUnavailable: or :exc:`RedisRefused`, after all of it was put back.
        """
        self.stop()
        handled, self._handled = self._handled, []
        dead, self._dead = self._dead, []
        ids = {each.entry.id for each in handled} | {letter.entry.id for letter in dead}
        self._sending |= ids
        try:
            if handled:
                await self._queue.acknowledge(handled)
                self._told(len(handled), 0)
                handled = []
            while dead:
                await self._queue.bury(dead[0].entry, dead[0].reason, dead[0].task_id, spider=self._spider)
                self._told(0, 1)
                del dead[0]
        finally:
            self._handled, self._dead = handled + self._handled, dead + self._dead
            self._sending -= ids

    def stop(self) -> None:
        """Wait for no timer any more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _soon(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._clock.callLater(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        Deferred.fromCoroutine(self._flush_or_wait())

    async def _flush_or_wait(self) -> None:
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001 - whatever it was, Redis must hear the outcome
            self._trouble(error)
            self._soon(AGAIN)
