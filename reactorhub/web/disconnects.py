"""Completes orders even if the client has disconnected."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.errors import ReactorHubError

T = TypeVar("T")
_log = Logger()


def shielded(order: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Complete an order; the Deferred fires with its result.

    When a client disconnects, Klein cancels the Deferred of its request. An order that is cancelled halfway
    might be on disk and never be carried out. So only the wait is cancelled, not the order.
    """
    answer: Deferred[T] = Deferred()

    def conclude(result: T | Failure) -> None:
        if not answer.called:
            answer.callback(result)
        elif isinstance(result, Failure) and not result.check(ReactorHubError):
            _log.failure("a request failed after its client had disconnected", result)

    Deferred.fromCoroutine(order).addBoth(conclude)
    return answer
