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
