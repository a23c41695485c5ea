"""Lets every thread work for the owner whose code starts it, and every pooled call for its caller's owner."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from threading import Thread
from typing import Any

from reactorhub.containment.contexts import RUN, escaped

Call = Callable[..., Any]

_CONTEXT = "_reactorhub_context"


def carry_contexts_into_new_threads() -> Callable[[], None]:
    """Change ``Thread`` and ``ThreadPoolExecutor`` themselves. Return a function that undoes this."""
    thread_class: Any = Thread
    pool_class: Any = ThreadPoolExecutor
    start, bootstrap, submit = thread_class.start, thread_class._bootstrap_inner, pool_class.submit

    def start_in_context(thread: Thread) -> None:
        thread.__dict__.setdefault(_CONTEXT, copy_context())
        if (run := RUN.get()) is not None:
            run.threads.add(thread)
        start(thread)

    def bootstrap_in_context(thread: Thread) -> None:
        context = thread.__dict__.pop(_CONTEXT, None)
        if context is None:
            bootstrap(thread)
        else:
            context.run(bootstrap, thread)

    def submit_in_context(pool: ThreadPoolExecutor, fn: Call, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return outside(submit, pool, in_context(fn), *args, **kwargs)  # type: ignore[no-any-return]

    def undo() -> None:
        thread_class.start, thread_class._bootstrap_inner = start, bootstrap
        pool_class.submit = submit

    thread_class.start, thread_class._bootstrap_inner = start_in_context, bootstrap_in_context
    pool_class.submit = submit_in_context
    return undo


def in_context(call: Call) -> Call:
    """Return ``call`` for another thread, in the context of now. A run knows its calls that are at work."""
    context, run = copy_context(), RUN.get()
    if run is None:
        return partial(context.run, call)

    def at_work(*args: Any, **kwargs: Any) -> Any:
        token = object()
        run.in_threads[token] = getattr(call, "__qualname__", type(call).__name__)
        try:
            return context.run(call, *args, **kwargs)
        except GeneratorExit as error:  # it would close the coroutine that awaits this call
            raise escaped(error) from error
        finally:
            del run.in_threads[token]

    return at_work


def outside(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Call outside of any owner: a worker thread that starts now serves others later."""
    return Context().run(call, *args, **kwargs)
