"""One connection to Redis or Valkey. Every call has a deadline. The only importer of txredisapi.

txredisapi's connection pools are not used: they queue calls without bound while disconnected, and one
login that stalls or fails stops them for ever. Here a connection is used until something fails, and is then
discarded. Its owner decides when to connect again.

The import of txredisapi installs a reactor: import this module only when a connection is made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import txredisapi
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.commands import Argument, encoded
from reactorhub.spiderkit.connection.errors import LoginRefused, RedisUnavailable, code_of

T = TypeVar("T")
Words = tuple[Argument, ...]
MAX_SOCKET_PATH = 107  # bytes, on Linux; Twisted does not notice a longer one
_PEM_END = b"-----END CERTIFICATE-----"


def _bounded(deferred: Deferred[T], seconds: float, clock: IReactorTime) -> Deferred[T]:
    def too_late(_result: object, _timeout: float) -> T:
        raise RedisUnavailable(f"no answer within {seconds:g} s")

    return deferred.addTimeout(seconds, clock, onTimeoutCancel=too_late)


def redis_endpoint(address: RedisAddress, reactor: Any, timeout: float) -> IStreamClientEndpoint:
    """Return the endpoint that reaches this server. TLS verifies the server's certificate and name.

    :raises RedisUnavailable: if there cannot be one: a path is too long, a file with authorities unreadable.
    """
    if address.path is not None:
        if len(os.fsencode(address.path)) > MAX_SOCKET_PATH:
            raise RedisUnavailable(f"the path of a unix socket has at most {MAX_SOCKET_PATH} bytes")
        return UNIXClientEndpoint(reactor, address.path, timeout=timeout)
    _check_host(address.host)
    if address.tls:
        endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout=timeout)
        return wrapClientTLS(_tls_options(address), endpoint)
    # Twisted takes no underscore in the name of a host, which is usual for containers.
    kind = TCP4ClientEndpoint if "_" in address.host else HostnameEndpoint
    return kind(reactor, address.host, address.port, timeout=timeout)


def _check_host(host: str) -> None:
    """Refuse what no resolver takes: it would raise in a thread, where nobody hears of it."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise RedisUnavailable(f"{host!r} cannot be the name of a host: {error}") from error


def _tls_options(address: RedisAddress) -> Any:
    trusted = _trusted(address.ca_file)
    try:
        return optionsForClientTLS(address.host, trusted)
    except ValueError as error:
        raise RedisUnavailable(f"no certificate can be for the name {address.host!r}: {error}") from error


def _trusted(ca_file: str | None) -> Any:
    if ca_file is None:
        return None
    try:
        texts = Path(ca_file).read_bytes().split(_PEM_END)[:-1]
        certificates = [Certificate.loadPEM(text + _PEM_END) for text in texts]
    except Exception as error:
        raise RedisUnavailable(f"the certificates in {ca_file} cannot be read: {error}") from error
    if not certificates:
        raise RedisUnavailable(f"there is no certificate in {ca_file}")
    return trustRootFromCertificates(certificates)


class _Factory(Factory):
    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._protocol


class _Protocol(txredisapi.RedisProtocol):  # type: ignore[misc]  # txredisapi has no types
    """Remembers why the connection was lost, which txredisapi does not tell."""

    why = "the connection was closed"

    def __init__(self) -> None:
        super().__init__(charset=None, convertNumbers=False)

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        try:
            super().dataReceived(data, unpause)
        except txredisapi.InvalidData as error:
            self.why = f"what answers is not a Redis server: {error}"
            self.transport.abortConnection()

    def connectionLost(self, why: Failure) -> None:
        if self.why is _Protocol.why:
            self.why = f"the connection was closed: {why.getErrorMessage()}"
        super().connectionLost(why)


class Link:
    """One connection to Redis, logged in. Discard it after the first RedisUnavailable."""

    def __init__(self, protocol: Any, clock: IReactorTime) -> None:
        self.lost = self._ended = False
        self.gone: Deferred[str] = protocol.whenDisconnected().addCallback(self._gone)
        self._protocol = protocol
        self._clock = clock

    def _gone(self, _: object) -> str:
        self.lost = self._ended = True
        return str(self._protocol.why)

    async def ask(self, commands: Sequence[Words], within: float) -> list[Any]:
        """Send all commands at once. Return the reply to each, or the error with which Redis answered.

        A connection that does not answer within ``within`` seconds is aborted.

        :raises RedisUnavailable: if the connection is lost before all replies arrive, or the time is over.
        :raises UnicodeEncodeError: if a word cannot be written as UTF-8. Nothing is sent.
        """
        if self.lost:
            raise RedisUnavailable(self._protocol.why)
        lines = [encoded(command) for command in commands]
        replies = [self._protocol.execute_command(*words) for words in lines]
        try:
            results = await _bounded(DeferredList(replies, consumeErrors=True), within, self._clock)
        except RedisUnavailable as error:
            self.abort(str(error))
            raise
        if self._ended:
            raise RedisUnavailable(self._protocol.why)
        return [value if ok else _error_of(value) for ok, value in results]

    def abort(self, why: str) -> None:
        """Abort the connection and all calls under way, which fail for this reason."""
        if not self.lost:
            self.lost = True
            self._protocol.why = why
            self._protocol.transport.abortConnection()

    async def close(self, why: str = "the connection was closed") -> None:
        """Abort the connection. Returns when it is gone."""
        self.abort(why)
        if not self._ended:
            await self._protocol.whenDisconnected()


async def open_link(
    address: RedisAddress, reactor: Any, deadline: float, setup: Sequence[Words] = ()
) -> Link:
    """Connect, log in, choose the database and send ``setup``. All of it must succeed.

    Login and database are sent here, because txredisapi never tries again after they fail.

    :raises Exception: any error of the endpoint while connecting.
    :raises LoginRefused: if Redis refuses the user or the password.
    :raises RedisUnavailable: if anything else fails after connecting.
    """
    protocol = _Protocol()
    endpoint = redis_endpoint(address, reactor, deadline)
    link = Link(protocol, reactor)
    try:
        await _bounded(endpoint.connect(_Factory(protocol)), deadline, reactor)
    except ValueError as error:  # of the host's name
        raise RedisUnavailable(str(error)) from error
    try:
        commands = [*_login(address), ("SELECT", address.db), *setup]
        _raise_first(commands, await link.ask(commands, deadline))
    except BaseException:
        await link.close()
        raise
    return link


def _login(address: RedisAddress) -> list[Words]:
    if not (address.username or address.password):
        return []
    user = (address.username,) if address.username else ()
    return [("AUTH", *user, address.password or "")]


def _error_of(failure: Failure) -> Any:
    failure.trap(txredisapi.RedisError)  # anything else means that the caller cancelled its call
    return failure.value


def _raise_first(commands: Sequence[Words], replies: Sequence[Any]) -> None:
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, Exception):
            if command == ("SELECT", 0) and code_of(reply) == "NOPERM":
                continue  # a user who may not choose a database is in the first one, and logged in
            refused = command[0] == "AUTH" or code_of(reply) in ("NOAUTH", "NOPERM")
            raise LoginRefused(str(reply)) if refused else RedisUnavailable(str(reply))
