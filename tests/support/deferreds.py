"""Reads Deferreds and coroutines that have ended, and turns the reactor until one has."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def done(work: Coroutine[Deferred[Any], Any, T] | Deferred[T]) -> T:
    """Return the result of a coroutine or a Deferred that need not wait for anything.

    :raises AssertionError: the result is not there yet.
    :raises Exception: what the work failed with.
    """
    results: list[Any] = []
    (work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)).addBoth(results.append)
    assert results, "it still waits for something"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]  # type: ignore[no-any-return]


def held_back(ledger: Any, method: str) -> Deferred[None]:
    """Hold back the calls of one of the ledger's methods until the Deferred returned is fired."""
    go_on: Deferred[None] = Deferred()
    call = getattr(ledger, method)
    setattr(ledger, method, lambda *args, **named: go_on.addCallback(lambda _: call(*args, **named)))
    return go_on
