"""Waits until a feed has new entries. Takes none: it only says when it is time to look.

A blocking command needs a connection of its own. ``BLMOVE`` from the left of a list to its left waits for an
entry and leaves it where it is, ``XREAD`` waits for one of a stream. No command waits for a set or a sorted
set, so these are asked again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater

from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.commands import Argument
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable
from reactorhub.spiderkit.feed.queue import FeedKeys

BLOCK = 5  # seconds of one blocking command
PATIENCE = 2  # seconds more, until a connection that does not answer is aborted
POLL = 0.03  # seconds between two questions about a set or a sorted set
REFUSED = 1.0  # seconds until a refused command is tried again
UNAVAILABLE = 0.2  # seconds until a client that was connected a moment ago is asked again

Words = tuple[Argument, ...]


class BlockingBell:
    """Waits with one blocking command on a connection of its own, whenever it is armed."""

    def __init__(self, client: RedisClient, clock: Any, ring: Callable[[], None]) -> None:
        """:param ring: called when the command has found something, or was refused."""
        self._client = client
        self._clock = clock
        self._ring = ring
        self._command: Words | None = None
        self._waiting: Deferred[None] | None = None
        self._started = False

    def arm(self, command: Words) -> None:
        """Wait with this command, instead of an earlier one as soon as that has ended."""
        self._command = command
        if not self._started:
            self._started = True
            self._client.start()
        if self._waiting is None:
            self._waiting = Deferred.fromCoroutine(self._wait())

    async def stop(self) -> None:
        """Abort the command and close the connection."""
        self._command = None
        if self._waiting is not None:
            self._waiting.cancel()
        if self._started:
            await self._client.stop()

    async def _wait(self) -> None:
        try:
            while self._command is not None:
                await self._try(self._command)
        except CancelledError:
            pass
        finally:
            self._waiting = None

    async def _try(self, command: Words) -> None:
        try:
            await self._client.when_connected()
            if await self._client.execute(*command, within=BLOCK + PATIENCE) is None:
                return
        except RedisUnavailable:
            await deferLater(self._clock, UNAVAILABLE)
            return
        except RedisRefused:  # the key may have become another kind
            await deferLater(self._clock, REFUSED)
        self._command = None
        self._ring()


class PollingBell:
    """Asks again and again whether a key exists, whenever it is armed."""

    def __init__(self, client: Any, clock: Any, ring: Callable[[], None]) -> None:
        self._client = client
        self._clock = clock
        self._ring = ring
        self._key: str | None = None
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[None] = succeed(None)

    def arm(self, key: str) -> None:
        """Ring as soon as this key exists."""
        self._key = key
        if self._timer is None and self._asking.called:
            self._timer = self._clock.callLater(POLL, self._ask)

    def stop(self) -> None:
        """Ask no more."""
        self._key = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._asking.cancel()

    def _ask(self) -> None:
        self._timer = None
        self._asking = Deferred.fromCoroutine(self._look())
        self._asking.addCallbacks(self._looked, lambda _: None)

    async def _look(self) -> None:
        if self._key is None:
            return
        try:
            exists = await self._client.execute("EXISTS", self._key)
        except (RedisRefused, RedisUnavailable):
            return  # whoever takes entries notices it, too, and arms the bell again
        if exists:
            self._key = None
            self._ring()

    def _looked(self, _: None) -> None:
        if self._key is not None and self._timer is None:
            self._timer = self._clock.callLater(POLL, self._ask)


class Bells:
    """Rings when a feed may have new entries, whatever kind of key its source is."""

    def __init__(
        self,
        keys: FeedKeys,
        client: Any,
        new_client: Callable[[], RedisClient],
        clock: Any,
        ring: Callable[[], None],
    ) -> None:
        """
        :param client: the client for questions that do not block.
        :param new_client: returns a client for the connection of a blocking command.
        """
        self._keys = keys
        self._list = BlockingBell(new_client(), clock, ring)
        self._stream = BlockingBell(new_client(), clock, ring)
        self._poll = PollingBell(client, clock, ring)

    def arm(self, kind: str, last_id: str) -> None:
        """Ring once when something is new. A source of no kind that has entries is not watched.

        :param kind: the kind of the source.
        :param last_id: the last entry of the feed's stream that was delivered.
        """
        source, streams = self._keys.source, [self._keys.stream]
        ids = [last_id]
        if kind == "list":
            self._list.arm(("BLMOVE", source, source, "LEFT", "LEFT", BLOCK))
        elif kind == "stream":
            streams, ids = [source, *streams], ["0-0", *ids]
        elif kind in ("set", "zset"):
            self._poll.arm(source)
        self._stream.arm(_read(streams, ids))

    async def stop(self) -> None:
        """Close all connections."""
        self._poll.stop()
        await self._list.stop()
        await self._stream.stop()


def _read(streams: Sequence[str], ids: Sequence[str]) -> Words:
    return ("XREAD", "COUNT", 1, "BLOCK", BLOCK * 1000, "STREAMS", *streams, *ids)
