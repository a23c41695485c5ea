"""Carries context variables through Twisted's timers, thread calls and reports of unhandled errors.

asyncio gives every task and handle a context of its own. Twisted on asyncio does not: one timer handle runs
all delayed calls, in the context of the code that set that timer last. Calls into threads have no context.
These functions change one reactor instance. Call them before anything is scheduled on it.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from twisted.internet import defer
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from reactorhub.containment.contexts import as_owner
from reactorhub.containment.thread_shares import ThreadShares
from reactorhub.containment.threads import in_context, outside

Call = Callable[..., Any]

_base_log = Logger(namespace="twisted.internet.base")


def carry_contexts(reactor: AsyncioSelectorReactor) -> None:
    """Run this reactor's timers, cross-thread calls and error reports in the context that caused them."""
    reactor.callLater = _scheduling(reactor.callLater)  # type: ignore[method-assign]
    reactor._reschedule = _outside(reactor._reschedule)  # type: ignore[method-assign]
    reactor.callFromThread = _sending(reactor.callFromThread)  # type: ignore[method-assign]
    defer.DebugInfo = _ContextDebugInfo  # type: ignore[misc]


def carry_contexts_into_threads(pool: ThreadPool, loop: asyncio.AbstractEventLoop, size: int) -> None:
    """Run the work of this pool, and of the loop's default executor, in its caller's context.

    In both each run has its share and no more, see :mod:`reactorhub.containment.thread_shares`.
    """
    carry_contexts_into_pool(pool)
    loop.set_default_executor(_ContextExecutor(size))


def carry_contexts_into_pool(pool: ThreadPool) -> None:
    """Run the work of this pool in its caller's context."""
    hand_over = _handing_over(pool.callInThreadWithCallback, ThreadShares())
    pool.callInThreadWithCallback = hand_over  # type: ignore[method-assign]


def _scheduling(call_later: Call) -> Call:
    def scheduled(delay: float, call: Call, *args: object, **kwargs: object) -> Any:
        return call_later(delay, _timed, copy_context(), call, *args, **kwargs)

    return scheduled


def _timed(context: Context, call: Call, *args: object, **kwargs: object) -> None:
    """Call within a context, and log there what is raised. Twisted would log it outside of the context."""
    try:
        context.run(call, *args, **kwargs)
    except BaseException:  # noqa: BLE001 - as Twisted does it for delayed calls
        as_owner(context, _base_log.failure, "Unhandled Error", Failure())


def timer_context(call: Any) -> Context | None:
    """Return the context of a delayed call that is still active, or None if it has none of its own."""
    return call.args[0] if call.func is _timed else None


def _outside(reschedule: Call) -> Call:
    """Let the one handle that runs all timers belong to nobody: it also runs the hub's own shutdown."""

    def rescheduled() -> Any:
        return outside(reschedule)

    return rescheduled


def _sending(call_from_thread: Call) -> Call:
    def sent(call: Call, *args: object, **kwargs: object) -> None:
        call_from_thread(copy_context().run, call, *args, **kwargs)

    return sent


def _handing_over(call_in_thread: Call, shares: ThreadShares) -> Call:
    def handed_over(on_result: Call | None, call: Call, *args: object, **kwargs: object) -> None:
        told = None if on_result is None else _within(copy_context(), on_result)

        def to_pool(work: Call) -> None:
            outside(call_in_thread, told, work, *args, **kwargs)

        shares.hand_over(to_pool, in_context(call))

    return handed_over


def _within(context: Context, call: Call) -> Call:
    def inside(*args: object) -> Any:
        return context.run(call, *args)

    return inside


class _ContextExecutor(ThreadPoolExecutor):
    def __init__(self, size: int) -> None:
        super().__init__(max_workers=size, thread_name_prefix="asyncio")
        self._shares = ThreadShares()

    def submit(self, call: Call, /, *args: Any, **kwargs: Any) -> Future[Any]:
        promise: Future[Any] = Future()
        keep = partial(_keep, promise, in_context(call), args, kwargs)
        self._shares.hand_over(partial(outside, super().submit), keep)
        return promise


def _keep(promise: Future[Any], call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call, and keep the promise with what comes of it, unless it was cancelled before."""
    if not promise.set_running_or_notify_cancel():
        return
    try:
        result = call(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the promise
        promise.set_exception(error)
    else:
        promise.set_result(result)


_DebugInfo = defer.DebugInfo


class _ContextDebugInfo(_DebugInfo):
    """Keeps the context of its Deferred: the garbage collector reports lost errors from any context."""

    def __init__(self) -> None:
        self._context = copy_context()

    def __del__(self) -> None:
        as_owner(self._context, _DebugInfo.__del__, self)
