"""One connection to Redis or Valkey, every call on it with a deadline. The only importer of txredisapi.

txredisapi's connection pools are not used: they queue calls without bound while disconnected, and a login
that stalls or fails once stops them for ever. Here a connection is made, used until something goes wrong, and
thrown away; its owner decides when to try again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import txredisapi
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS

from reactorhub.redis.address import RedisAddress
from reactorhub.redis.scripts import Command

T = TypeVar("T")


class LinkError(Exception):
    """The connection cannot be used any more; the message says why."""


def _bounded(deferred: Deferred[T], seconds: float, clock: IReactorTime) -> Deferred[T]:
    def too_late(_result: object, _timeout: float) -> T:
        raise LinkError(f"no answer within {seconds:g} s")

    return deferred.addTimeout(seconds, clock, onTimeoutCancel=too_late)


def redis_endpoint(address: RedisAddress, reactor: Any, timeout: float) -> IStreamClientEndpoint:
    """Return the endpoint that reaches this server. TLS verifies the server's certificate and name."""
    if address.path is not None:
        return UNIXClientEndpoint(reactor, address.path, timeout=timeout)
    endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout=timeout)
    return wrapClientTLS(optionsForClientTLS(address.host), endpoint) if address.tls else endpoint


class _Factory(Factory):
    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._protocol


class Link:
    """One connection to Redis, logged in. It is used until something goes wrong, then thrown away."""

    def __init__(self, protocol: Any, clock: IReactorTime, deadline: float) -> None:
        self.lost = False
        self.gone: Deferred[None] = protocol.whenDisconnected().addCallback(self._gone)
        self._protocol = protocol
        self._clock = clock
        self._deadline = deadline

    def _gone(self, _: object) -> None:
        self.lost = True

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go; return each one's reply, or the error that Redis answered with.

        :raises LinkError: if the connection ended before all had answered, or the deadline passed.
        """
        if self.lost:
            raise LinkError("the connection was closed")
        replies = [self._protocol.execute_command(*command) for command in commands]
        results = await _bounded(DeferredList(replies, consumeErrors=True), self._deadline, self._clock)
        if self.lost:
            raise LinkError("the connection was closed")
        return [value if ok else value.value for ok, value in results]

    async def close(self) -> None:
        """Cut the connection, whatever is under way on it."""
        if not self.lost:
            self._protocol.transport.abortConnection()
            await self.gone


async def open_link(
    address: RedisAddress, reactor: Any, deadline: float, commands: Sequence[Command] = ()
) -> Link:
    """Connect, log in, choose the database and send ``commands``; none of them may fail.

    Login and database are sent here and not by txredisapi, which never tries again after it fails at them.

    :raises Exception: whatever connecting fails with; :exc:`LinkError` once connected.
    """
    protocol = txredisapi.RedisProtocol(charset=None, convertNumbers=False)
    endpoint = redis_endpoint(address, reactor, deadline)
    link = Link(protocol, reactor, deadline)
    await _bounded(endpoint.connect(_Factory(protocol)), deadline, reactor)
    try:
        _raise_first(await link.ask([*_greeting(address), *commands]))
    except BaseException:
        await link.close()
        raise
    return link


def _greeting(address: RedisAddress) -> list[Command]:
    user = (address.username,) if address.username else ()
    login: list[Command] = [("AUTH", *user, address.password)] if address.password else []
    return [*login, ("SELECT", address.db)]


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise LinkError(str(reply))
