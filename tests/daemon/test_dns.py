"""Names are looked up once in a while, IP literals never."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from reactorhub.containment.contexts import RunContext
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.daemon.dns import (
    AT_ONCE,
    CachingResolver,
    FairResolver,
    IHostnameResolver,
    lookup_threads,
    resolver,
)


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


class Slow:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def resolveHostName(self, receiver: Any, hostName: str, *rest: Any, **options: Any) -> Any:
        self.asked.append((hostName, receiver))
        receiver.resolutionBegan(self)
        return self

    def answer(self, name: str) -> None:
        """Say that nothing more is found for a name."""
        next(receiver for asked, receiver in self.asked if asked == name).resolutionComplete()

    @property
    def names(self) -> list[str]:
        """The names that were asked for, in this order."""
        return [name for name, _ in self.asked]


def ask(fair: FairResolver, run: RunContext | None, *names: str) -> list[Receiver]:
    """Look names up for a run, or for the hub; return who waits for them."""
    receivers = [Receiver() for _ in names]
    for name, receiver in zip(names, receivers, strict=True):
        arguments: Any = (receiver, name, 80)
        if run is None:
            fair.resolveHostName(*arguments)
        else:
            run.enter(fair.resolveHostName, *arguments)
    return receivers


def test_a_run_waits_for_its_own_names_only() -> None:
    """Some names at once for a run, in order; another run and the hub are asked for at once."""
    slow = Slow()
    fair = FairResolver(slow)  # type: ignore[arg-type]
    one, other = (RunContext(name, MemoryRunLog()) for name in ("one", "other"))
    names = [f"{n}.example" for n in range(200)]
    waiting = ask(fair, one, *names)
    assert slow.names == names[:AT_ONCE]
    ask(fair, other, "other.example")
    ask(fair, None, "hub.example")
    assert slow.names[AT_ONCE:] == ["other.example", "hub.example"]
    slow.answer("1.example")
    assert waiting[1].told == ["began", "complete"]
    assert slow.names[-1] == names[AT_ONCE]


def test_nobody_looks_up_for_a_run_that_is_over() -> None:
    """Names that wait are forgotten with their run; a name that nobody wants any more is left out."""
    slow = Slow()
    fair = FairResolver(slow, 1)  # type: ignore[arg-type]
    run = RunContext("one", MemoryRunLog())
    waiting = ask(fair, run, "a", "b", "c", "d")
    waiting[1].resolution.cancel()
    slow.answer("a")
    assert slow.names == ["a", "c"]
    run.over = True
    slow.answer("c")
    assert slow.names == ["a", "c"]


def test_the_pool_has_a_place_for_each_look_up_of_all_runs() -> None:
    """Its threads end with the process, even if no answer ever comes."""
    for runs, size in ((1, 72), (16, 72), (40, 168), (1000, 264)):
        pool = lookup_threads(runs)
        assert pool.max == size
        assert pool.threadFactory(target=time.sleep).daemon is True  # type: ignore[call-arg]
        pool.stop()


def test_an_impossible_name_is_over_at_once() -> None:
    """A name that cannot even be written down is one that is not found, and nobody waits for it."""
    from twisted.internet import reactor

    class Threads:
        def callInThreadWithCallback(self, told: Any, call: Any, *args: Any) -> None:
            try:
                call(*args)
            except OSError as error:
                raised.append(error)

    raised: list[OSError] = []
    asked(resolver(reactor, Threads()), "x" * 70 + ".example")  # type: ignore[arg-type]
    assert len(raised) == 1
