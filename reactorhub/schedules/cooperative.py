"""Long work in pieces, with turns of the reactor in between, so that nobody waits for the whole of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

PIECE = 0.005
"""Seconds after which others have their turn."""

T = TypeVar("T")


async def cooperatively(clock: IReactorTime, values: Iterable[T]) -> AsyncIterator[T]:
    """Yield the values; whenever making and using them has taken long enough, let the reactor turn first.

    What the values are made from must not change meanwhile.
    """
    until = clock.seconds() + PIECE
    for value in values:
        yield value
        if clock.seconds() >= until:
            await deferLater(clock, 0)
            until = clock.seconds() + PIECE
