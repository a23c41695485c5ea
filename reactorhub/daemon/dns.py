"""Resolves names for the whole process, and keeps each answer for a limited time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cachetools import TTLCache
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from zope.interface import implementer

Key = tuple[str, int, tuple[type[IAddress], ...] | None, str]


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
