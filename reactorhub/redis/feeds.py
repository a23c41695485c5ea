"""The feeds in Redis: the inbox, and the queues of spiders that wait for URLs; and their dead letters."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from reactorhub.errors import InvalidRequest, RedisError, UnknownFeed
from reactorhub.model.values import View
from reactorhub.redis import feed_scripts as scripts
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.commands import Script
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable
from reactorhub.spiderkit.feed.queue import GROUP, FeedKeys

T = TypeVar("T")
MAX_FEEDS = 1_000  # the newest ones; spiders leave the keys of their feeds in a sorted set
_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


class Feeds:
    """Looks at the feeds, and handles their dead letters.

    Each method raises :exc:`reactorhub.errors.RedisError` if Redis does not answer, or refuses a command.
    """

    def __init__(
        self,
        client: RedisClient | None,
        prefix: str,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        """
        :param client: None if the hub has no Redis. Then there are no feeds.
        :param trouble: returns why entries of the inbox have to wait; None if they need not.
        """
        self._client = client
        self._prefix = prefix
        self._trouble = trouble

    @property
    def inbox(self) -> str:
        """The key of the inbox, which is always a feed."""
        return f"{self._prefix}inbox"

    async def all(self) -> list[View]:
        """Return each feed: how many entries wait, are in flight and are dead letters.

        The inbox is first, and says why its entries have to wait, if they have to.
        """
        if self._client is None:
            return []
        keys = await self._keys()
        calls = [
            scripts.COUNT_INBOX.call([self.inbox, f"{self.inbox}:hubs"]),
            *(scripts.COUNT_FEED.call([key], [GROUP]) for key in keys),
        ]
        counts = await _answered(self._client.ask(calls))
        inbox, *feeds = counts
        return [
            _feed_view(self.inbox, "inbox", inbox, self._trouble()),
            *(_feed_view(key, "feed", count) for key, count in zip(keys, feeds, strict=True)),
        ]

    async def dead(self, key: str, limit: int, cursor: str | None) -> tuple[list[View], str | None]:
        """Return a page of a feed's dead letters, newest first, and the cursor of the next page.

        :raises UnknownFeed: if there is no feed with this key.
        :raises InvalidRequest: if the cursor is not from this list.
        """
        client = await self._of(key)
        if cursor is not None and not _ID.fullmatch(cursor):
            raise InvalidRequest({"cursor": "is not from this list; send next_cursor of the previous page"})
        begin = "+" if cursor is None else f"({cursor}"
        found = await _answered(client.run(scripts.DEAD_LETTERS, [FeedKeys(key).dead], [begin, limit + 1]))
        views = [_letter_view(*letter) for letter in found]
        return views[:limit], views[limit - 1]["id"] if len(views) > limit else None

    async def requeue(self, key: str, ids: Sequence[str] | None) -> int:
        """Let dead letters be read again: these, or all that there are now. Return how many.

        :raises UnknownFeed: if there is no feed with this key.
        :raises InvalidRequest: if an id is not the id of a dead letter.
        """
        if key == self.inbox:
            return await self._each(key, ids, scripts.REQUEUE_INBOX, self.inbox)
        return await self._each(key, ids, scripts.REQUEUE_FEED, FeedKeys(key).stream)

    async def purge(self, key: str, ids: Sequence[str] | None) -> int:
        """Delete dead letters: these, or all that there are now. Return how many.

        :raises UnknownFeed: if there is no feed with this key.
        :raises InvalidRequest: if an id is not the id of a dead letter.
        """
        return await self._each(key, ids, scripts.PURGE)

    async def _each(self, key: str, ids: Sequence[str] | None, script: Script, *more: str) -> int:
        client, dead, count = await self._of(key), FeedKeys(key).dead, 0
        if ids is not None:
            wrong = [each for each in ids if not _ID.fullmatch(each)]
            if wrong:
                raise InvalidRequest({"ids": f"{wrong[0]!r} is not the id of a dead letter"})
            for start in range(0, len(ids), scripts.AT_ONCE):
                some = ids[start : start + scripts.AT_ONCE]
                count += await _answered(client.run(script, [dead, *more], some))
            return count
        newest = await _answered(client.run(scripts.DEAD_LETTERS, [dead], ["+", 1]))
        while newest:  # those that come meanwhile are not meant
            some = await _answered(client.run(scripts.OLDEST, [dead], [newest[0][0], scripts.AT_ONCE]))
            if not some:
                break
            count += await _answered(client.run(script, [dead, *more], some))
        return count

    async def _keys(self) -> list[str]:
        assert self._client is not None
        found = await _answered(self._client.execute("ZREVRANGE", f"{self._prefix}feeds", 0, MAX_FEEDS - 1))
        return sorted(_text(key) for key in found)

    async def _of(self, key: str) -> RedisClient:
        if self._client is None or (key != self.inbox and key not in await self._keys()):
            raise UnknownFeed(key)
        return self._client


async def _answered(call: Awaitable[T]) -> T:
    try:
        reply = await call
    except (RedisUnavailable, RedisRefused) as error:
        raise RedisError(f"Redis could not be asked: {error}") from error
    if isinstance(reply, list):
        for each in reply:
            if isinstance(each, Exception):
                raise RedisError(f"Redis could not be asked: {each}") from each
    return reply


def _feed_view(key: str, kind: str, count: Sequence[int], trouble: str | None = None) -> View:
    waiting, in_flight, dead = count
    numbers = {"waiting": waiting, "in_flight": in_flight, "dead": dead}
    return {"key": key, "kind": kind, **numbers, "trouble": trouble}


def _letter_view(letter_id: bytes, length: int, flat: Sequence[bytes]) -> View:
    fields: Mapping[str, Any] = dict(zip(map(_text, flat[::2]), map(_text, flat[1::2]), strict=True))
    deliveries = fields.get("deliveries", "")
    return {
        "id": _text(letter_id),
        "entry": fields.get("entry", fields.get("d")),
        "length": length,
        "reason": fields.get("reason"),
        "at": fields.get("at"),
        "deliveries": int(deliveries) if deliveries.isdigit() else None,
        "from": fields.get("from"),
        "spider": fields.get("spider"),
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
