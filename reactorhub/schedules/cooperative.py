"""Splits long work into pieces, so that the reactor can do other work in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

PIECE = 0.005
"""Seconds of work before the reactor may do other work; short enough not to delay an API call."""

T = TypeVar("T")


async def cooperatively(clock: IReactorTime, values: Iterable[T]) -> AsyncIterator[T]:
    """Yield the values, and let the reactor do other work after each :data:`PIECE` seconds.

    The source of the values must not change meanwhile.
    """
    until = clock.seconds() + PIECE
    for value in values:
        yield value
        if clock.seconds() >= until:
            await deferLater(clock, 0)
            until = clock.seconds() + PIECE
