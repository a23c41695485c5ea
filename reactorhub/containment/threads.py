"""Lets every thread work for the owner whose code starts it, and every pooled call for its caller's owner."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from threading import Thread
from typing import Any

Call = Callable[..., Any]

_CONTEXT = "_reactorhub_context"


def carry_contexts_into_new_threads() -> Callable[[], None]:
    """Change ``Thread`` and ``ThreadPoolExecutor`` themselves. Return a function that undoes this."""
    thread_class: Any = Thread
    pool_class: Any = ThreadPoolExecutor
    start, bootstrap, submit = thread_class.start, thread_class._bootstrap_inner, pool_class.submit

    def start_in_context(thread: Thread) -> None:
        thread.__dict__.setdefault(_CONTEXT, copy_context())
        start(thread)

    def bootstrap_in_context(thread: Thread) -> None:
        context = thread.__dict__.pop(_CONTEXT, None)
        if context is None:
            bootstrap(thread)
        else:
            context.run(bootstrap, thread)

    def submit_in_context(pool: ThreadPoolExecutor, fn: Call, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return outside(submit, pool, copy_context().run, fn, *args, **kwargs)  # type: ignore[no-any-return]

    def undo() -> None:
        thread_class.start, thread_class._bootstrap_inner = start, bootstrap
        pool_class.submit = submit

    thread_class.start, thread_class._bootstrap_inner = start_in_context, bootstrap_in_context
    pool_class.submit = submit_in_context
    return undo


def outside(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Call outside of any owner: a worker thread that starts now serves others later."""
    return Context().run(call, *args, **kwargs)
