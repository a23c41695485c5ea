"""Hands stats to a connector: one upload at a time, and always the newest stats.

Nothing that a connector does reaches the crawl: what it raises is logged, once for each outage, and what does
not end is cancelled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from reactorhub.spiderkit.connection.answer import answer_of
from reactorhub.spiderkit.stats.plain import Plain

MAX_UPLOAD = 5.0  # seconds of one upload; and of all that is left when the crawl is over
MAX_CLOSE = 1.0  # seconds in which a connector closes
_LOG = logging.getLogger(__name__)


class TooLong(Exception):
    """An upload did not end in time."""


def result_of(result: Any) -> Any:
    """Return what a coroutine of Twisted can await, for whatever a connector has returned."""
    if isinstance(result, Deferred):
        return result
    return deferred_from_coro(result) if isawaitable(result) else succeed(result)


class Outbox:
    """The uploads of one crawl.

    ``read`` returns the spider id and the stats of now. ``connect()`` of the connector comes before the first
    upload, and again after it failed. A connector whose attribute ``outlives_crawl`` is true ends every
    upload by itself, and nobody waits for it when the crawl is over.
    """

    def __init__(self, connector: Any, clock: IReactorTime, read: Callable[[], tuple[str, Plain]]) -> None:
        self._connector = connector
        self._clock = clock
        self._read = read
        self._outlives = bool(getattr(connector, "outlives_crawl", False))
        self._wanted = self._connected = self._failing = self._working = False
        self._attempt: Deferred[None] = succeed(None)
        self._waiting: list[Deferred[None]] = []

    def connect(self) -> None:
        """Connect in the background."""
        self._work()

    def send(self) -> None:
        """Upload the stats in the background. During an upload, the next one begins after it."""
        self._wanted = True
        self._work()

    async def finish(self) -> None:
        """Upload the stats for the last time, and close the connector. Takes seconds at most; never fails."""
        self.send()
        if not self._outlives:
            await answer_of(Deferred.fromCoroutine(self._finish()))

    def _work(self) -> None:
        if not self._working:
            self._working = True
            Deferred.fromCoroutine(self._serve())

    async def _serve(self) -> None:
        again = True
        while again:
            self._attempt = Deferred.fromCoroutine(self._upload())
            await self._ended(self._attempt, MAX_UPLOAD)
            again = self._wanted
        self._working = False
        self._waiting, waiting = [], self._waiting
        for each in waiting:
            each.callback(None)

    async def _upload(self) -> None:
        wanted, self._wanted = self._wanted, False
        if not self._connected and hasattr(self._connector, "connect"):
            await result_of(self._connector.connect())
        self._connected = True
        if wanted:
            spider_id, stats = self._read()
            await result_of(self._connector.upload(spider_id, stats))
            self._note_success()

    async def give_up(self) -> None:
        """Close the connector without another upload. Takes a second at most; never fails."""
        self._wanted = False
        if self._working:
            self._failing = True  # it is not an outage that the upload under way is cut off
            self._attempt.cancel()
        if not self._outlives:
            closing = self._ended(Deferred.fromCoroutine(self._close()), MAX_CLOSE)
            await answer_of(Deferred.fromCoroutine(closing))

    async def _finish(self) -> None:
        await self._ended(self._all_sent(), MAX_UPLOAD)
        await self.give_up()

    async def _close(self) -> None:
        if hasattr(self._connector, "close"):
            await result_of(self._connector.close())

    def _all_sent(self) -> Deferred[None]:
        sent: Deferred[None] = Deferred()
        if self._working:
            self._waiting.append(sent)
        else:
            sent.callback(None)
        return sent

    async def _ended(self, step: Deferred[Any], seconds: float) -> None:
        """Wait for the end of a step, and note how it failed if it did."""

        def too_late(_result: object, _timeout: float) -> None:
            raise TooLong(f"no end within {seconds:g} s")

        try:
            await (step if self._outlives else step.addTimeout(seconds, self._clock, too_late))
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - a connector may even call sys.exit()
            self._note_failure(error)

    def _note_failure(self, error: BaseException) -> None:
        if not self._failing:
            self._failing = True
            reason = str(error) or type(error).__name__
            _LOG.warning("The stats cannot be uploaded now: %s", reason)

    def _note_success(self) -> None:
        if self._failing:
            self._failing = False
            _LOG.info("The stats are uploaded again")
