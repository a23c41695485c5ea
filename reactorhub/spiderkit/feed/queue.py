"""The keys of a feed in Redis: takes entries, and acknowledges, buries or gives back each one that was taken.

A taken entry is in the stream ``<redis_key>:stream``, pending with one consumer of a group. It leaves the
stream when it is acknowledged. If its consumer falls silent, another consumer takes it over.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Protocol

from reactorhub.spiderkit.connection.commands import Argument, Command, Script, ScriptCall
from reactorhub.spiderkit.feed.entries import STREAM, Entry, stream_data
from reactorhub.spiderkit.feed.scripts import (
    ACKNOWLEDGE,
    BURY,
    GIVE_BACK,
    KEEP,
    LEAVE,
    MINE,
    PUSH,
    TAKE,
    TAKE_OVER,
)

GROUP = "reactorhub"
GIVEN_BACK = "given-back"
"""The consumer of entries that nobody has, but that were delivered before."""

TASK_TTL = 7 * 24 * 3600  # seconds; a week
MAX_TAKE = 1_000  # entries of one script; Lua's unpack takes about 8,000 values
MAX_DEAD = 100_000  # dead letters; the oldest are dropped beyond it
SILENT = 0.75  # of the lease: so long an entry's consumer says nothing before another takes the entry over


@dataclass(frozen=True, slots=True)
class FeedKeys:
    """The names of a feed's keys."""

    source: str

    @property
    def stream(self) -> str:
        """Entries that were taken, and entries that producers add with ``XADD``."""
        return f"{self.source}:stream"

    @property
    def dead(self) -> str:
        """Entries that gave no request, with the reason."""
        return f"{self.source}:dead"

    def task(self, task_id: str) -> str:
        """The counts of a task."""
        return f"{self.source}:tasks:{task_id}"


@dataclass(slots=True, kw_only=True)
class Handled:
    """An entry that was handled, and what came of it.

    ``requests`` are those that the scheduler took, redirects and retries too. ``responses`` are those that
    reached the spider.
    """

    entry: Entry
    task_id: str | None = None
    requests: int = 0
    responses: int = 0
    items: int = 0
    failed: int = 0
    errors: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """What is added to the fields of the task's hash, in the order that the script has."""
        return 1, self.requests, self.responses, self.items, self.failed, self.errors


@dataclass(frozen=True, slots=True)
class Taken:
    """Entries that were taken, the kind of the source, and the id of the stream's last delivered entry."""

    entries: list[Entry]
    kind: str
    last_id: str


class Client(Protocol):
    """What a queue needs of a :class:`~reactorhub.spiderkit.connection.client.RedisClient`."""

    async def run(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[Argument] = (),
        within: float | None = None,
    ) -> Any:
        """Run a script and return the reply."""

    async def ask(self, commands: Sequence[Command], within: float | None = None) -> list[Any]:
        """Send all commands at once and return the replies; an error is a reply."""


def new_consumer() -> str:
    """Return a name that no other consumer has ever had."""
    return f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"


class FeedQueue:
    """One consumer of a feed.

    Each method raises :exc:`RedisUnavailable` or :exc:`RedisRefused` as the client does. ``lease`` is in
    seconds: an entry of a consumer that died is taken over within it.
    """

    def __init__(self, client: Client, keys: FeedKeys, consumer: str, lease: float) -> None:
        self.keys = keys
        self._client = client
        self._consumer = consumer
        self._silence = max(1, int(lease * SILENT * 1000))

    async def take(self, count: int, handled: Sequence[Handled] = ()) -> Taken:
        """Take at most ``count`` entries: first from the stream, then from the source.

        :param handled: entries to acknowledge before that, in the same round trip.
        """
        keys = (self.keys.source, self.keys.stream)
        take = TAKE.call(keys, (GROUP, self._consumer, min(count, MAX_TAKE), GIVEN_BACK))
        calls = [self._acknowledgement(handled), take] if handled else [take]
        replies = await self._client.ask(calls)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        rows, kind, last_id = replies[-1]
        return Taken(_entries(rows), kind.decode(), last_id.decode())

    async def take_over(self, count: int) -> list[Entry]:
        """Take at most ``count`` entries whose consumers are silent; forget consumers that are gone."""
        args = (GROUP, self._consumer, self._silence, min(count, MAX_TAKE), GIVEN_BACK)
        return _entries(await self._client.run(TAKE_OVER, (self.keys.stream,), args))

    async def keep(self, ids: Sequence[str]) -> set[str]:
        """Say that these entries are worked on. Return those that another consumer has."""
        lost = await self._client.run(KEEP, (self.keys.stream,), (GROUP, self._consumer, *ids))
        return {each.decode() for each in lost}

    async def acknowledge(self, handled: Sequence[Handled]) -> int:
        """Remove handled entries for good, and count them for their tasks. Return how many were there."""
        [reply] = await self._client.ask([self._acknowledgement(handled)])
        if isinstance(reply, Exception):
            raise reply
        return int(reply)

    def _acknowledgement(self, handled: Sequence[Handled]) -> ScriptCall:
        tasks = list(dict.fromkeys(each.task_id for each in handled if each.task_id is not None))
        numbers = {task: number for number, task in enumerate(tasks, 1)}
        keys = (self.keys.stream, *map(self.keys.task, tasks))
        without = [each.entry.id for each in handled if each.task_id is None]
        args: list[Argument] = [GROUP, TASK_TTL, _now(), len(without), *without]
        for each in handled:
            if each.task_id is not None:
                args += (each.entry.id, numbers[each.task_id], *each.counts)
        return ACKNOWLEDGE.call(keys, args)

    async def bury(self, entry: Entry, reason: str, task_id: str | None = None, **more: str) -> None:
        """Move an entry to the dead letters. Does nothing if it is not pending any more."""
        keys = [self.keys.stream, self.keys.dead]
        if task_id is not None:
            keys.append(self.keys.task(task_id))
        at = _now()
        about = {"reason": reason, "at": at, "deliveries": str(entry.deliveries), **more}
        letter: dict[str, str | bytes] = {"d": entry.data, "from": entry.kind, **about}
        if entry.score is not None:
            letter["score"] = entry.score
        await self._client.run(BURY, keys, (GROUP, entry.id, TASK_TTL, at, MAX_DEAD, *_flat(letter)))

    async def give_back(self, ids: Iterable[str]) -> int:
        """Put entries back to where they came from. Return how many were still this consumer's."""
        newest_first = sorted(ids, key=_age, reverse=True)
        keys = (self.keys.source, self.keys.stream)
        return int(
            await self._client.run(GIVE_BACK, keys, (GROUP, self._consumer, GIVEN_BACK, *newest_first))
        )

    async def mine(self) -> list[str]:
        """Return the ids of entries that are pending with this consumer, at most 1,000."""
        rows = await self._client.run(MINE, (self.keys.stream,), (GROUP, self._consumer, MAX_TAKE))
        return [row.decode() for row in rows]

    async def leave(self) -> None:
        """Forget this consumer, unless entries are pending with it."""
        await self._client.run(LEAVE, (self.keys.stream,), (GROUP, self._consumer))

    async def push(self, entry: str | bytes | Mapping[str, Any], kind: str, score: float = 0) -> None:
        """Add an entry: a mapping to the stream, text and bytes to the source.

        :param kind: the kind of key that the source becomes if it does not exist.
        """
        if isinstance(entry, Mapping):
            source, kind, data = self.keys.stream, STREAM, json.dumps(dict(entry)).encode()
        else:
            source, data = self.keys.source, entry.encode() if isinstance(entry, str) else entry
        await self._client.run(PUSH, (source,), (kind, data, repr(float(score))))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _flat(fields: Mapping[str, str | bytes]) -> list[str | bytes]:
    return [word for pair in fields.items() for word in pair]


def _age(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def _entries(rows: Iterable[Any]) -> list[Entry]:
    return [_entry(*row) for row in rows]


def _entry(entry_id: bytes, flat: Sequence[bytes], deliveries: int) -> Entry:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    kind = fields.get(b"from", b"").decode(errors="replace")
    moved = b"d" in fields and kind in ("list", "set", "zset", STREAM)
    score = fields.get(b"score")
    return Entry(
        id=entry_id.decode(),
        data=fields[b"d"] if moved else stream_data(flat),
        kind=kind if moved else STREAM,
        deliveries=deliveries,
        score=score.decode() if moved and score is not None else None,
    )
