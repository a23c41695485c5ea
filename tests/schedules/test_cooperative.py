"""Long work in pieces: all of it, in order, with turns of the reactor in between."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from reactorhub.schedules.cooperative import PIECE, cooperatively

A_TURN = 0.0009765625  # seconds


class SlowTurns(Clock):
    """A clock on which every turn of the reactor takes about a millisecond."""

    def callLater(self, delay: float, *what: Any, **details: Any) -> IDelayedCall:
        """Wait for the next turn at least."""
        return super().callLater(max(delay, A_TURN), *what, **details)


class Work:
    """Makes numbers, each of which takes ``seconds`` of the clock's time."""

    def __init__(self, seconds: float) -> None:
        self.clock = SlowTurns()
        self.seconds = seconds
        self.made: list[int] = []

    def values(self, count: int) -> Iterator[int]:
        """Make them."""
        for number in range(count):
            self.clock.rightNow += self.seconds
            self.made.append(number)
            yield number

    async def all(self, count: int) -> list[int]:
        """Collect them."""
        return [value async for value in cooperatively(self.clock, self.values(count))]


def test_work_that_takes_no_time_is_done_at_once() -> None:
    """As long as nobody had to wait there is no turn in between."""
    results: list[list[int]] = []
    Deferred.fromCoroutine(Work(0).all(10_000)).addCallback(results.append)
    assert results == [list(range(10_000))]


def test_work_that_takes_long_lets_others_have_their_turn() -> None:
    """After each piece the reactor turns once; every value comes, in order, and no timer is left."""
    owed = Work(PIECE / 2)
    results: list[list[int]] = []
    Deferred.fromCoroutine(owed.all(7)).addCallback(results.append)
    seen = [len(owed.made)]
    while owed.clock.getDelayedCalls():
        owed.clock.advance(A_TURN)
        seen.append(len(owed.made))
    assert results == [list(range(7))]
    assert len(seen) > 3 and max(later - earlier for earlier, later in pairwise(seen)) <= 2


def test_who_stops_listening_ends_the_work() -> None:
    """A client that hangs up leaves no timer behind, and no more values are made."""
    owed = Work(PIECE)
    going = Deferred.fromCoroutine(owed.all(100))
    failures: list[BaseException] = []
    going.addErrback(lambda failure: failures.append(failure.value))
    going.cancel()
    assert isinstance(failures[0], CancelledError)
    assert owed.clock.getDelayedCalls() == [] and len(owed.made) == 1
