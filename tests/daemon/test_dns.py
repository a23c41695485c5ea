"""Names are looked up once in a while, IP literals never."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from reactorhub.daemon.dns import CachingResolver, IHostnameResolver


class Names:
    """A resolver that knows one name, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, *rest: Any) -> Any:
        self.asked.append(name)
        receiver.resolutionBegan(self)
        if name == "shop.example":
            receiver.addressResolved(IPv4Address("TCP", "192.0.2.7", port))
        receiver.resolutionComplete()
        return self


class Receiver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def resolutionBegan(self, resolution: Any) -> None:
        self.told.append("began")
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self.told.append(address)

    def resolutionComplete(self) -> None:
        self.told.append("complete")


def made() -> tuple[Names, Clock, CachingResolver]:
    """Return a caching resolver over names and a clock."""
    names, clock = Names(), Clock()
    return names, clock, CachingResolver(names, clock, ttl=60)  # type: ignore[arg-type]


def asked(resolver: CachingResolver, name: str, *rest: Any) -> list[Any]:
    """Return what a receiver is told about a name."""
    receiver = Receiver()
    resolver.resolveHostName(receiver, name, 80, *rest)  # type: ignore[arg-type]
    return receiver.told


def test_it_is_a_resolver() -> None:
    """It provides the interface that the reactor asks for."""
    assert verifyObject(IHostnameResolver, made()[2])


def test_an_answer_is_used_again_for_a_while() -> None:
    """Within the ttl a name is asked for once; after it, again."""
    names, clock, resolver = made()
    wanted = ["began", IPv4Address("TCP", "192.0.2.7", 80), "complete"]
    assert asked(resolver, "shop.example") == asked(resolver, "shop.example") == wanted
    clock.advance(59)
    asked(resolver, "shop.example")
    assert names.asked == ["shop.example"]
    clock.advance(2)
    assert asked(resolver, "shop.example") == wanted
    assert names.asked == ["shop.example"] * 2


def test_failures_are_not_kept() -> None:
    """A name that was not found is asked for each time."""
    names, _, resolver = made()
    assert asked(resolver, "gone.example") == asked(resolver, "gone.example") == ["began", "complete"]
    assert len(names.asked) == 2


def test_literals_are_their_own_answer() -> None:
    """No thread is asked about an IP address, unless it is of a kind that is not wanted."""
    names, _, resolver = made()
    assert asked(resolver, "127.0.0.1")[1] == IPv4Address("TCP", "127.0.0.1", 80)
    assert asked(resolver, "::1")[1] == IPv6Address("TCP", "::1", 80)
    assert names.asked == []
    assert asked(resolver, "::1", [IPv4Address]) == ["began", "complete"]
    assert names.asked == ["::1"]
