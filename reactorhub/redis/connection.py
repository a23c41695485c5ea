"""One connection to Redis or Valkey. Every call has a deadline. The only importer of txredisapi.

txredisapi's connection pools are not used: they queue calls without bound while disconnected, and one
login that stalls or fails stops them for ever. Here a connection is used until something fails, and is then
discarded. Its owner decides when to connect again.
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
from reactorhub.redis.commands import Command

T = TypeVar("T")


class LinkError(Exception):
    """The connection can no longer be used. The message says why."""


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
    """One connection to Redis, logged in. Discard it after the first LinkError."""

    def __init__(self, protocol: Any, clock: IReactorTime, deadline: float) -> None:
        self.lost = False
        self.gone: Deferred[None] = protocol.whenDisconnected().addCallback(self._gone)
        self._protocol = protocol
        self._clock = clock
        self._deadline = deadline

    def _gone(self, _: object) -> None:
        self.lost = True

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send all commands at once. Return the reply to each, or the error with which Redis answered.

        :raises LinkError: if the connection is lost before all replies arrive, or the deadline passes.
        """
        if self.lost:
            raise LinkError("the connection was closed")
        replies = [self._protocol.execute_command(*command) for command in commands]
        results = await _bounded(DeferredList(replies, consumeErrors=True), self._deadline, self._clock)
        if self.lost:
            raise LinkError("the connection was closed")
        return [value if ok else value.value for ok, value in results]

    async def close(self) -> None:
        """Abort the connection and all calls under way."""
        if not self.lost:
            self._protocol.transport.abortConnection()
            await self.gone


async def open_link(
    address: RedisAddress, reactor: Any, deadline: float, commands: Sequence[Command] = ()
) -> Link:
    """Connect, log in, choose the database and send ``commands``. All of them must succeed.

    Login and database are sent here, because txredisapi never tries again after they fail.

    :raises Exception: any error of the endpoint while connecting; :exc:`LinkError` after that.
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
