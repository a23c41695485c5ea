"""What a client needs of its connection, and how it gets one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.commands import Argument


class Connection(Protocol):
    """What the client needs of a :class:`~reactorhub.spiderkit.connection.link.Link`."""

    lost: bool
    gone: Deferred[str]

    async def ask(self, commands: Sequence[tuple[Argument, ...]], within: float) -> list[Any]:
        """Send commands; return replies, and errors as values."""

    def abort(self, why: str) -> None:
        """Abort the connection."""


Connect = Callable[[RedisAddress, IReactorTime, float, Sequence[tuple[Argument, ...]]], Awaitable[Connection]]


async def connect(
    address: RedisAddress, clock: Any, deadline: float, setup: Sequence[tuple[Argument, ...]]
) -> Connection:
    """See :func:`reactorhub.spiderkit.connection.link.open_link`."""
    from reactorhub.spiderkit.connection.link import open_link  # noqa: PLC0415 - it installs a reactor

    return await open_link(address, clock, deadline, setup)
