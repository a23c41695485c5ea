"""A Deferred that both kinds of coroutines can await: those that Twisted runs, and tasks of asyncio.

Scrapy runs the coroutines of a spider as tasks of asyncio, which cannot await a Deferred. A coroutine cannot
tell who runs it: a task may have called ``Deferred.fromCoroutine``. So the Deferred itself answers both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class _Done:
    """What a task is woken with. It reads the real result when it goes on."""

    def result(self) -> None:
        """Return nothing."""


_DONE = _Done()


class Answer(Deferred[T]):
    """A Deferred that a task of asyncio takes for a Future when it is awaited.

    ``_asyncio_future_blocking`` and three methods are what a task uses of an awaited object that is not a
    Future of asyncio itself. The test of this module fails if a new Python uses others.
    """

    _asyncio_future_blocking: bool  # of the object alone: asyncio takes a class that has it for a Future
    _task_waits = False

    def __await__(self) -> Generator[Deferred[T], None, T]:
        while not self.called or self.paused:
            self._asyncio_future_blocking = True
            yield self
        return (yield from super().__await__())

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task that waits."""
        return asyncio.get_running_loop()

    def add_done_callback(self, call: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Let the loop call ``call`` when there is a result."""
        self._task_waits = True
        loop = self.get_loop()

        def fired(result: Any) -> Any:
            loop.call_soon(call, _DONE, context=context)
            return result

        self.addBoth(fired)

    def cancel(self, msg: object = None) -> bool:  # type: ignore[override]
        """Cancel as a Deferred does. A task that waits is told to raise its own CancelledError."""
        if self._task_waits:
            self.addErrback(lambda _: None)  # the task will not read it any more
        super().cancel()
        return False


def answer_of(deferred: Deferred[T]) -> Answer[T]:
    """Return the result of a Deferred as an :class:`Answer`. Cancelling it cancels the Deferred."""
    answer: Answer[T] = Answer(lambda _: deferred.cancel())
    deferred.chainDeferred(answer)
    return answer
