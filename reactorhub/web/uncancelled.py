"""Orders that do not depend on whether the client still listens."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.errors import ReactorHubError

T = TypeVar("T")
_log = Logger()


def to_its_end(order: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Carry an order out whole; the Deferred fires with its result.

    A client that goes away cancels what it was waiting for. An order cancelled halfway might be on disk and
    never be acted upon, so only the waiting ends, not the order.
    """
    answer: Deferred[T] = Deferred()

    def conclude(result: T | Failure) -> None:
        if not answer.called:
            answer.callback(result)
        elif isinstance(result, Failure) and not result.check(ReactorHubError):
            _log.failure("a request failed after its client had disconnected", result)

    Deferred.fromCoroutine(order).addBoth(conclude)
    return answer
