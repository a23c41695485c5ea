"""A client that its owner lends to others: they can use it, and cannot break it for anybody else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.answer import Answer
from reactorhub.spiderkit.connection.client import ClientState, RedisClient
from reactorhub.spiderkit.connection.commands import Argument, Command, Script, words_of
from reactorhub.spiderkit.connection.errors import RedisUnavailable

MAX_LENT = 100  # calls under way of one borrower; they leave the owner and the others room
MAX_SIZE = 8_000_000  # bytes of one command
MAX_WITHIN = 10.0  # seconds; a call that takes longer would hold up everybody else's

_BLOCKING = frozenset(
    {
        *("BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"),
        *("WAIT", "WAITAOF"),
    }
)
_OF_THE_CONNECTION = frozenset(
    {
        *("SELECT", "AUTH", "HELLO", "RESET", "QUIT", "CLIENT", "READONLY", "READWRITE", "ASKING"),
        *("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "MONITOR", "SYNC", "PSYNC", "SHUTDOWN"),
        *("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"),
    }
)
_READS = frozenset(("XREAD", "XREADGROUP"))


class LentClient:
    """Calls of a :class:`RedisClient` that others use at the same time.

    It refuses commands that wait for data, because all calls share one connection and each waits for those
    before it, and commands that change the connection. They need a :class:`RedisClient` of their own.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._outstanding = 0

    @property
    def address(self) -> RedisAddress:
        """The address of the server."""
        return self._client.address

    @property
    def state(self) -> ClientState:
        """See :class:`RedisClient`."""
        return self._client.state

    def when_connected(self) -> Answer[None]:
        """See :meth:`RedisClient.when_connected`."""
        return self._client.when_connected()

    async def execute(self, *command: Argument, within: float | None = None) -> Any:
        """See :meth:`RedisClient.execute`.

        :raises ValueError: if the command waits for data or changes the connection.
        """
        _check(command)
        with self._counted():
            return await self._client.execute(*command, within=self._bounded(within))

    async def run(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[Argument] = (),
        within: float | None = None,
    ) -> Any:
        """See :meth:`RedisClient.run`."""
        with self._counted():
            return await self._client.run(script, keys, args, self._bounded(within))

    async def ask(self, commands: Sequence[Command], within: float | None = None) -> list[Any]:
        """See :meth:`RedisClient.ask`.

        :raises ValueError: if a command waits for data or changes the connection. None is sent.
        """
        for command in commands:
            _check(words_of(command))
        with self._counted():
            return await self._client.ask(commands, self._bounded(within))

    def _bounded(self, within: float | None) -> float | None:
        """A call that gives up early would abort the connection of all."""
        return None if within is None else min(max(within, self._client.deadline), MAX_WITHIN)

    def soon(self, *command: Argument) -> Answer[Any]:
        """See :meth:`RedisClient.soon`.

        :raises ValueError: if the command waits for data or changes the connection.
        """
        _check(command)
        return self._client.soon(*command)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._outstanding >= MAX_LENT:
            raise RedisUnavailable(f"{MAX_LENT} calls of this crawl wait for Redis already")
        self._outstanding += 1
        try:
            yield
        finally:
            self._outstanding -= 1


def _check(command: Sequence[Argument]) -> None:
    if sum(len(word) for word in command if not isinstance(word, int)) > MAX_SIZE:
        raise ValueError(
            f"a command may have {MAX_SIZE:,} bytes; a longer one would hold up every other call"
        )
    name = _word(command[0]) if command else ""
    if name in _BLOCKING or (name in _READS and "BLOCK" in _options(command)):
        raise ValueError(f"{name} waits for data and would hold up every other call: {_OWN}")
    if name in _OF_THE_CONNECTION:
        raise ValueError(f"{name} changes the connection, which others use, too: {_OWN}")


_OWN = "send it through a RedisClient of your own"


def _options(command: Sequence[Argument]) -> list[str]:
    words = list(map(_word, command))
    return words[: words.index("STREAMS")] if "STREAMS" in words else words


def _word(argument: Argument) -> str:
    text = argument.decode("latin-1") if isinstance(argument, bytes) else str(argument)
    return text.upper()
