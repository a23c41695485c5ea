"""Carries context variables through Twisted's timers, thread calls and reports of unhandled errors.

asyncio gives every task and handle a context of its own. Twisted on asyncio does not: one timer handle runs
all delayed calls, in the context of the code that set that timer last. Calls into threads have no context.
These functions change one reactor instance. Call them before anything is scheduled on it.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any, NoReturn

from twisted.internet import defer
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from reactorhub.containment.contexts import ESCAPES, RUN, as_owner, contain
from reactorhub.containment.threads import outside
from reactorhub.errors import EscapedError

Call = Callable[..., Any]


def carry_contexts(reactor: AsyncioSelectorReactor) -> None:
    """Run this reactor's timers, cross-thread calls and error reports in the context that caused them."""
    reactor.callLater = _scheduling(reactor.callLater)  # type: ignore[method-assign]
    reactor.callFromThread = _sending(reactor.callFromThread)  # type: ignore[method-assign]
    defer.DebugInfo = _ContextDebugInfo  # type: ignore[misc]


def carry_contexts_into_threads(pool: ThreadPool, loop: asyncio.AbstractEventLoop, size: int) -> None:
    """Run the work of this pool, and of the loop's default executor, in its caller's context."""
    pool.callInThreadWithCallback = _handing_over(pool.callInThreadWithCallback)  # type: ignore[method-assign]
    loop.set_default_executor(_ContextExecutor(max_workers=size, thread_name_prefix="asyncio"))


def record_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Record each asyncio task with the run it works for, so that all tasks of a run can be cancelled.

    The tasks of a run also cannot end the loop: a ``SystemExit`` in a task would do that.
    """

    def factory(
        loop: asyncio.AbstractEventLoop, coro: Any, context: Context | None = None
    ) -> asyncio.Task[Any]:
        run = RUN.get() if context is None else context.get(RUN)
        if run is None:
            return asyncio.Task(coro, loop=loop, context=context)
        task = asyncio.Task(_Contained(coro), loop=loop, context=context)
        run.tasks.add(task)
        return task

    loop.set_task_factory(factory)


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine that raises nothing that would end the loop or disappear without a report."""

    __slots__ = ("_coro",)

    def __init__(self, coro: Coroutine[Any, Any, Any]) -> None:
        self._coro = coro

    def send(self, value: Any) -> Any:
        try:
            return self._coro.send(value)
        except ESCAPES as error:
            _contain_aloud(error)

    def throw(self, *error: Any) -> Any:
        try:
            return self._coro.throw(*error)
        except ESCAPES as escaped:
            _contain_aloud(escaped)

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coro.__await__()


def _contain_aloud(error: BaseException) -> NoReturn:
    try:
        contain(error)
    except EscapedError:
        logging.getLogger(__name__).exception(
            "Spider code raised an exception that would have ended the process"
        )
        raise


def refuse_stop_from_runs(reactor: AsyncioSelectorReactor) -> Call:
    """Refuse ``reactor.stop()`` from spider code. Return the function that really stops the reactor."""
    stop, log = reactor.stop, Logger()

    def guarded() -> None:
        run = RUN.get()
        if run is None:
            stop()
        else:
            log.error("run {run_id} called reactor.stop(); the hub goes on", run_id=run.run_id)

    reactor.stop = guarded  # type: ignore[method-assign]
    return stop


def _scheduling(call_later: Call) -> Call:
    def scheduled(delay: float, call: Call, *args: object, **kwargs: object) -> Any:
        return call_later(delay, copy_context().run, call, *args, **kwargs)

    return scheduled


def _sending(call_from_thread: Call) -> Call:
    def sent(call: Call, *args: object, **kwargs: object) -> None:
        call_from_thread(copy_context().run, call, *args, **kwargs)

    return sent


def _handing_over(call_in_thread: Call) -> Call:
    def handed_over(on_result: Call | None, call: Call, *args: object, **kwargs: object) -> None:
        told = None if on_result is None else _within(copy_context(), on_result)
        outside(call_in_thread, told, copy_context().run, call, *args, **kwargs)

    return handed_over


def _within(context: Context, call: Call) -> Call:
    def inside(*args: object) -> Any:
        return context.run(call, *args)

    return inside


class _ContextExecutor(ThreadPoolExecutor):
    def submit(self, call: Call, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return outside(super().submit, copy_context().run, call, *args, **kwargs)  # type: ignore[no-any-return]


_DebugInfo = defer.DebugInfo


class _ContextDebugInfo(_DebugInfo):
    """Keeps the context of its Deferred: the garbage collector reports lost errors from any context."""

    def __init__(self) -> None:
        self._context = copy_context()

    def __del__(self) -> None:
        as_owner(self._context, _DebugInfo.__del__, self)
