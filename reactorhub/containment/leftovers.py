"""Ends what a run has left behind: tasks, timers, sockets. Shows what cannot be ended, such as threads.

Nothing is recorded while a run goes on. Every task and handle of asyncio knows its context, and the context
knows the run. So a scan at the end of the run finds all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import Context
from typing import Any

from twisted.internet.interfaces import IReactorTime, IReadDescriptor, IWriteDescriptor

from reactorhub.containment.contexts import RUN, RunContext
from reactorhub.containment.loop import report
from reactorhub.containment.reactor import timer_context

_LOOK_AGAIN = 0.05  # seconds between looks at tasks that do not end
_SWEEPS = 3  # how often what is there is ended, as long as there is something
_LOOKS = 20  # how often they are looked at before their coroutines are closed
_MAX_NAMES = 20  # kinds of leftovers that one line of a log names


class Leftovers:
    """What one run has left behind on a reactor. Call the methods outside of the run, near its end."""

    def __init__(self, run: RunContext, reactor: Any) -> None:
        self._run = run
        self._reactor = reactor
        self._loop = reactor._asyncioEventloop
        self._cancelled: set[asyncio.Future[Any]] = set()

    def end(self) -> list[str]:
        """Report exceptions that nobody has retrieved, and end what is there. Return what each one was.

        A task is cancelled once. It needs a turn of the loop, or more, to end.
        """
        self._report_lost()
        return [*self._cancel_tasks(), *self._cancel_timers(), *self._close_sockets(), *self._drop_calls()]

    def end_by_force(self) -> None:
        """Close the coroutines of tasks that go on although they were cancelled."""
        for task in self._pending():
            coroutine: Any = task.get_coro() if isinstance(task, asyncio.Task) else None
            with suppress(BaseException):  # the coroutine may raise anything when it is closed
                self._run.enter(coroutine.close)
            task.add_done_callback(_retrieve, context=Context())
            task.cancel()

    def resisting(self) -> list[str]:
        """Return what goes on: tasks that ignore their end, threads, and calls in shared threads."""
        tasks = [f"task {_task_name(task)}" for task in self._pending() if _lives(task)]
        threads = [f"thread {thread.name!r}" for thread in self._run.threads if thread.is_alive()]
        calls = [f"{name} in a shared thread" for name in tuple(self._run.in_threads.values())]
        return [*tasks, *threads, *calls]

    @property
    def waiting(self) -> bool:
        """Whether a task has not ended yet."""
        return any(True for _ in self._pending())

    def _report_lost(self) -> None:
        for task in tuple(self._run.tasks):
            lost = task.done() and not task.cancelled() and getattr(task, "_log_traceback", False)
            if lost and (error := task.exception()) is not None:
                message = "Task exception was never retrieved"
                report(self._loop, {"message": message, "exception": error, "task": task})

    def _pending(self) -> Iterator[asyncio.Future[Any]]:
        current = asyncio.current_task(self._loop)
        return (task for task in tuple(self._run.tasks) if not task.done() and task is not current)

    def _cancel_tasks(self) -> Iterator[str]:
        for task in self._pending():
            if task not in self._cancelled:
                self._cancelled.add(task)
                task.cancel()
                yield f"task {_task_name(task)}"

    def _cancel_timers(self) -> Iterator[str]:
        for call in self._reactor.getDelayedCalls():
            if call.active() and self._owns(timer_context(call)) and not _ends_a_connection(call.args[1]):
                name = _name(call.args[1])
                call.cancel()
                yield f"timer {name}"
        for handle in tuple(self._loop._scheduled):
            # A timer of asyncio.sleep() only wakes its task, which may need it for its end.
            wakes = getattr(handle._callback, "__name__", "") == "_set_result_unless_cancelled"
            if not handle.cancelled() and not wakes and self._owns(handle._context):
                yield f"timer {_name(handle._callback)}"
                handle.cancel()

    def _drop_calls(self) -> Iterator[str]:
        """Drop calls that are due in the next turn, but for steps of tasks, which have to end."""
        for handle in tuple(self._loop._ready):
            keep = handle.cancelled() or _steps_a_task(handle) or _ends_a_connection(handle._callback)
            if not keep and self._owns(handle._context):
                yield f"call {_name(handle._callback)}"
                handle.cancel()

    def _close_sockets(self) -> Iterator[str]:
        for key in tuple(self._loop._selector._fd_to_key.values()):
            reader, writer = key.data
            # The hub's own connections always read. A run that writes to one of them owns the writer only.
            handle = reader or writer
            if handle is not None and self._owns(handle._context):
                yield f"socket of {_close(self._loop, key.fd, handle)}"

    def _owns(self, context: Any) -> bool:
        return context is not None and context.get(RUN) is self._run


class RunEnding:
    """Ends what a run has left behind, and says so in its log, before that is closed.

    Most runs leave nothing behind and end at once. Tasks that were cancelled get a second for their own end.
    """

    def __init__(self, run: RunContext, clock: IReactorTime, over: Callable[[], None]) -> None:
        """:param over: called once, outside of the run, when everything has ended that can be ended."""
        self._run = run
        self._clock = clock
        self._over = over
        self._leftovers = Leftovers(run, clock)
        self._ended = 0
        self._resisting: list[str] = []
        self._finished = False

    def begin(self) -> None:
        """End what is there. Call this outside of the run."""
        self._sweep_again(_SWEEPS)

    def finish(self) -> None:
        """Wait no longer: close the coroutines of tasks that go on."""
        if self._finished:
            return
        self._finished = True
        if self._ended:
            self._leftovers.end_by_force()
            self._sweep()
        self._resisting = self._leftovers.resisting()
        if self._resisting:
            text = "Still at work after the end of the run, and nothing can end it: %s"
            self._warn(text, self._resisting)
        self._over()

    def stats(self) -> dict[str, int]:
        """Return how much was ended, and how much goes on, for the run's stats; nothing if both are 0."""
        counts = {"left_behind/ended": self._ended, "left_behind/at_work": len(self._resisting)}
        return {name: count for name, count in counts.items() if count}

    def _look(self, looks: int) -> None:
        if self._finished:
            return
        if self._leftovers.waiting and looks < _LOOKS:
            self._clock.callLater(_LOOK_AGAIN if looks else 0, self._look, looks + 1)
        else:
            self.finish()

    def _sweep_again(self, sweeps: int) -> None:
        """Look a turn later what came of the end: who loses a connection may set a timer for the next one."""
        if self._finished:
            return
        if self._sweep() and sweeps > 1:
            self._clock.callLater(0, self._sweep_again, sweeps - 1)
        else:
            self._look(0)

    def _sweep(self) -> bool:
        if found := self._leftovers.end():
            self._warn("Left behind and ended with the run: %s", found)
            self._ended += len(found)
        return bool(found)

    def _warn(self, text: str, leftovers: list[str]) -> None:
        self._run.enter(logging.getLogger(__name__).warning, text, listed(leftovers))


def listed(names: Iterable[str]) -> str:
    """Return names as a text that has each one once, with its number."""
    counted = Counter(names).most_common()
    texts = [name if count == 1 else f"{count} x {name}" for name, count in counted[:_MAX_NAMES]]
    rest = sum(count for _, count in counted[_MAX_NAMES:])
    return ", ".join(texts) + (f" and {rest} more" if rest else "")


def _close(loop: Any, number: int, handle: Any) -> str:
    """Close the connection or port behind a handle, if there is one. Return the name of its class."""
    subjects = (*handle._args, getattr(handle._callback, "__self__", None))
    transport = next(filter(_is_transport, subjects), None)
    for method in ("abortConnection", "abort", "stopListening", "loseConnection", "close"):
        if callable(getattr(transport, method, None)):
            with suppress(Exception):  # the run's protocol hears of it and may raise
                handle._context.run(getattr(transport, method))
            break
    loop._remove_reader(number)
    loop._remove_writer(number)
    return _name(handle._callback) if transport is None else type(transport).__name__


def _is_transport(subject: object) -> bool:
    if isinstance(subject, asyncio.BaseTransport | asyncio.AbstractServer):
        return True
    return IReadDescriptor.providedBy(subject) or IWriteDescriptor.providedBy(subject)


def _lives(task: asyncio.Future[Any]) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None) if isinstance(task, asyncio.Task) else None
    return frame is not None


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Take note of a task's exception: that its coroutine was closed is not worth a line."""
    if not task.cancelled():
        task.exception()


def _steps_a_task(handle: Any) -> bool:
    owner = getattr(handle._callback, "__self__", None)
    return isinstance(owner, asyncio.Future) or type(handle._callback).__name__.startswith("TaskStep")


def _ends_a_connection(call: object) -> bool:
    """Whether this is what Twisted or asyncio call one turn after a connection was aborted."""
    return getattr(call, "__name__", None) in ("connectionLost", "_call_connection_lost")


def _task_name(task: asyncio.Future[Any]) -> str:
    return _name(task.get_coro()) if isinstance(task, asyncio.Task) else _name(task)


def _name(subject: object) -> str:
    """Return the name of a function or coroutine. It may be of any class."""
    try:
        inner: Any = getattr(subject, "func", subject)  # of a functools.partial
        return str(getattr(inner, "__qualname__", type(inner).__qualname__))
    except BaseException:  # noqa: BLE001 - the class is the project's
        return type(subject).__name__
