"""Resolves names for the whole process, fairly among runs, and keeps each answer for a limited time."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from threading import Thread
from typing import Any
from weakref import WeakKeyDictionary

from cachetools import TTLCache
from twisted.internet._resolver import GAIResolver
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from reactorhub.containment.contexts import RUN, RunContext

AT_ONCE = 4
"""How many names are looked up at once for one run. More wait in the run's own line."""

_SPARE = 8  # threads for the look-ups of the hub itself
_RUNS = (16, 64)  # the pool has threads for at least and at most so many runs

Key = tuple[str, int, tuple[type[IAddress], ...] | None, str]


def lookup_threads(runs: int) -> ThreadPool:
    """Return a pool for look-ups that has a place for each look-up of so many runs.

    A look-up that gets no answer keeps its thread for half a minute. The threads do not delay the end of the
    process.
    """
    pool = ThreadPool(0, AT_ONCE * min(max(runs, _RUNS[0]), _RUNS[1]) + _SPARE, "reactorhub-names")
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    pool.start()
    return pool


def resolver(reactor: Any, threads: ThreadPool) -> CachingResolver:
    """Return the resolver of the hub: cached, fair among runs, with threads of its own."""
    return CachingResolver(FairResolver(GAIResolver(reactor, lambda: threads, _addresses)), reactor)


def _addresses(*args: Any, **options: Any) -> Any:
    """Look a name up. A name that no server can have is one that is not found."""
    try:
        return socket.getaddrinfo(*args, **options)
    except UnicodeError as error:  # with this Twisted would never say that the look-up is over
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error


@implementer(IHostnameResolver)
class FairResolver:
    """Lets each run look up only so many names at once, so that no run waits for the names of another."""

    def __init__(self, resolver: IHostnameResolver, at_once: int = AT_ONCE) -> None:
        self._resolver = resolver
        self._at_once = at_once
        self._lines: WeakKeyDictionary[RunContext, _Line] = WeakKeyDictionary()

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`twisted.internet.interfaces.IHostnameResolver`."""
        ask = partial(
            self._resolver.resolveHostName,
            hostName=hostName,
            portNumber=portNumber,
            addressTypes=addressTypes,
            transportSemantics=transportSemantics,
        )
        run = RUN.get()
        if run is None:
            return ask(resolutionReceiver)
        line = self._lines.get(run)
        if line is None:
            line = self._lines[run] = _Line(self._at_once)
        return line.take(_Turn(resolutionReceiver, hostName, line, copy_context(), ask))


class _Line:
    """The look-ups of one run: those under way, and those that wait."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: deque[_Turn] = deque()

    def take(self, turn: _Turn) -> _Turn:
        """Begin a look-up, or let it wait."""
        turn.receiver.resolutionBegan(turn)
        self._waiting.append(turn)
        self._begin()
        return turn

    def ended(self) -> None:
        """Begin the next look-up."""
        self._free += 1
        self._begin()

    def forget(self, turn: _Turn) -> None:
        """Take a look-up out of the line."""
        if turn in self._waiting:
            self._waiting.remove(turn)

    def _begin(self) -> None:
        while self._free and self._waiting:
            turn = self._waiting.popleft()
            if turn.wanted:
                self._free -= 1
                turn.begin()


@implementer(IHostResolution, IResolutionReceiver)
class _Turn:
    """One look-up, from its place in the line to its answer."""

    def __init__(
        self,
        receiver: IResolutionReceiver,
        name: str,
        line: _Line,
        context: Context,
        ask: Callable[[IResolutionReceiver], object],
    ) -> None:
        self.receiver = receiver
        self.name = name
        self._line, self._context, self._ask = line, context, ask

    @property
    def wanted(self) -> bool:
        """Whether the run is not over."""
        run = self._context.get(RUN)
        return run is not None and not run.over

    def begin(self) -> None:
        """Ask, in the context of whoever wants to know."""
        self._context.run(self._ask, self)

    def cancel(self) -> None:
        """Leave the line. A look-up that is under way goes on."""
        self._line.forget(self)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Do nothing: the receiver was told when it came into the line."""

    def addressResolved(self, address: IAddress) -> None:
        self.receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        try:
            self.receiver.resolutionComplete()
        finally:
            self._line.ended()


@implementer(IHostnameResolver)
class CachingResolver:
    """Asks ``resolver`` for each name once in ``ttl`` seconds. An IP address is its own answer.

    Without this class, each new connection, even to an IP address, would call getaddrinfo in the thread pool.
    Scrapy's caching resolver never forgets an answer, which is wrong in a process that runs for weeks.
    """

    def __init__(
        self, resolver: IHostnameResolver, clock: IReactorTime, ttl: float = 60.0, size: int = 10_000
    ):
        """
        :param ttl: how many seconds an answer is used. Failures are not kept.
        :param size: how many answers are kept.
        """
        self._resolver = resolver
        self._cache: TTLCache[Key, tuple[IAddress, ...]] = TTLCache(size, ttl, timer=clock.seconds)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`twisted.internet.interfaces.IHostnameResolver`."""
        kinds = None if addressTypes is None else tuple(addressTypes)
        key = (hostName, portNumber, kinds, transportSemantics)
        known = _literal(hostName, portNumber, kinds, transportSemantics) or self._cache.get(key)
        if known:
            return _answer(resolutionReceiver, hostName, known)
        keeper = _Keeper(resolutionReceiver, self._cache, key)
        return self._resolver.resolveHostName(keeper, hostName, portNumber, addressTypes, transportSemantics)


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing: an answer from the cache is complete at once."""


@implementer(IResolutionReceiver)
class _Keeper:
    def __init__(self, receiver: IResolutionReceiver, cache: TTLCache[Key, Any], key: Key) -> None:
        self._receiver, self._cache, self._key = receiver, cache, key
        self._found: list[IAddress] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: IAddress) -> None:
        self._found.append(address)
        self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        if self._found:
            self._cache[self._key] = tuple(self._found)
        self._receiver.resolutionComplete()


def _literal(
    host: str, port: int, kinds: tuple[type[IAddress], ...] | None, semantics: str
) -> tuple[IAddress, ...]:
    kind = IPv4Address if isIPAddress(host) else IPv6Address if isIPv6Address(host) else None
    if kind is None or (kinds is not None and kind not in kinds):
        return ()
    return (kind("UDP" if semantics == "UDP" else "TCP", host, port),)


def _answer(receiver: IResolutionReceiver, host: str, addresses: Sequence[IAddress]) -> IHostResolution:
    resolution = _Resolution(host)
    receiver.resolutionBegan(resolution)
    for address in addresses:
        receiver.addressResolved(address)
    receiver.resolutionComplete()
    return resolution
