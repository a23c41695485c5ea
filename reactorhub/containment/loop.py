"""Keeps the event loop alive: no run's code ends it, stops it, or takes its settings.

What ``loop.call_soon``, a done callback, ``add_reader``, a protocol or a step of a task raises is reported to
the run that it belongs to. Only the hub's own code may end the loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextvars import Context
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.logger import Logger

from reactorhub.containment.contexts import (
    PROJECT,
    RUN,
    Owner,
    ProjectContext,
    RunContext,
    as_owner,
    escaped,
    here,
    worker,
)
from reactorhub.containment.gate import SHORT, FairGate

Undo = Callable[[], None]
Call = Callable[..., Any]

ENDED_WITHOUT_ORDER = 70
"""The exit status if the loop ends although nobody has ordered the hub to stop. EX_SOFTWARE of sysexits."""

_LIBRARIES = tuple(
    os.path.dirname(str(spec.origin)) + os.sep  # noqa: PTH120 - compared with the text in a code object
    for spec in map(find_spec, ("asyncio", "scrapy", "twisted", "reactorhub"))
    if spec is not None
)
"""The folders of the libraries whose coroutines raise nothing unusual."""

_runs: WeakValueDictionary[str, RunContext] = WeakValueDictionary()
_log = logging.getLogger(__name__)


def contain_loop(loop: asyncio.AbstractEventLoop, seconds: Callable[[], float] = perf_counter) -> Undo:
    """Let no run's callback end this loop or keep it for itself, and report lost errors to their owners.

    Return a function that undoes this.

    :param seconds: the clock by which runs have their turns.
    """
    handle: Any = asyncio.events.Handle
    run_handle: Callable[[Any], None] = handle._run
    nobody = Context()
    gate = FairGate(lambda call: loop.call_soon(call, context=nobody), seconds)

    def contained(self: Any) -> None:
        run = self._context.get(RUN)
        gated = run is not None and self._loop is loop
        if gated:
            if not gate.open and gate.keeps(run, self):
                return
            start = seconds()
        else:
            gate.hub_calls += 1
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt) as error:
            if _owner_in(self._context) is None:
                raise
            _report_handle(loop, self, error)
        except BaseException as error:  # noqa: BLE001 - as asyncio does it
            _report_handle(loop, self, error)
        self = None  # breaks a circle of traceback and frame, as in asyncio
        if gated:
            gate.spent += seconds() - start
            if gate.spent > SHORT:
                gate.count()

    def undo() -> None:
        handle._run = run_handle
        for waiting in gate.emptied():
            loop.call_soon(run_handle, waiting)
        loop.set_exception_handler(None)
        loop.set_task_factory(None)

    handle._run = contained
    loop.set_exception_handler(report)
    loop.set_task_factory(_make_task)
    return undo


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **choices: Any) -> asyncio.Task[Any]:
    """Make a task that is known to the run it works for. Event loops pass the keywords that they know."""
    context = choices.get("context")
    run = RUN.get() if context is None else context.get(RUN)
    if run is None or run.over:
        return asyncio.Task(coro, loop=loop, **choices)
    # The name says whose task it is. An attribute would give each task a dictionary: 6 % of a long crawl.
    if choices.get("name") is None:
        choices["name"] = run.task_name
    code = getattr(coro, "cr_code", None)
    if code is not None and not code.co_filename.startswith(_LIBRARIES):
        coro = _without_generator_exit(coro)
    task = asyncio.Task(coro, loop=loop, **choices)
    run.tasks.add(task)
    if not run.has_tasks:
        run.has_tasks = True
        _runs[run.task_name] = run
    return task


def _without_generator_exit(coro: Any) -> Any:
    """Return a coroutine of the project's own that lets no GeneratorExit out of its task.

    It would be thrown into the coroutine that awaits the task, and close that one instead of failing it.
    """

    async def inside() -> Any:
        try:
            return await coro
        except GeneratorExit as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is None:
                raise  # the project's code did not raise it: this coroutine is being closed
            raise escaped(error) from error

    made: Any = inside()
    made.__qualname__ = coro.__qualname__
    return made


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nobody has caught, in the log of the run that it belongs to.

    The garbage collector finds lost tasks in the middle of any code: the task says whose it is.
    """
    task = context.get("task") or context.get("future")
    if isinstance(task, asyncio.Task):
        owner = owner_of(task)
        outside = Context() if owner is None or owner.over else owner.context
        as_owner(outside, _tell, loop, context)
    else:
        _tell(loop, context)


def owner_of(task: asyncio.Task[Any]) -> RunContext | None:
    """Return the run to which a task belongs, or None.

    Since Python 3.12 a task shows its context. Before that its name tells, which 3.13.0 does not keep.
    """
    context = getattr(task, "get_context", None)
    return _runs.get(task.get_name()) if context is None else context().get(RUN)


def _report_handle(loop: asyncio.AbstractEventLoop, handle: Any, error: BaseException) -> None:
    what = f"Exception in callback {handle!r:.300}"
    as_owner(handle._context, _tell, loop, {"message": what, "exception": error})


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    owner = here()
    if isinstance(owner, RunContext) and isinstance(error, BaseException):
        owner.raised(error)
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    rest = {name: value for name, value in context.items() if name not in ("message", "exception")}
    details = "".join(f"\n{name}: {value!r:.500}" for name, value in rest.items())
    logging.getLogger("asyncio").error("%s%s", context.get("message"), details, exc_info=exc_info)


def _owner_in(context: Context) -> Owner | None:
    run = context.get(RUN)
    return run if run is not None else context.get(PROJECT)


class LoopGuard:
    """Refuses to runs and imports what ends or changes the reactor for everybody.

    The hub calls :meth:`stop` for its own end. If the loop ends otherwise, the process ends at once, since
    nothing would run in it any more.
    """

    log = Logger()

    def __init__(self, reactor: AsyncioSelectorReactor, leave: Callable[[], object] | None = None) -> None:
        """:param leave: called if the loop ends without an order; ends the process at once by default."""
        self._reactor: Any = reactor
        self._leave = leave or _leave
        self._ordered = False
        self._stop: Call = reactor.stop

    def install(self) -> Undo:
        """Replace methods of the reactor and its loop. Return a function that undoes this."""
        reactor, loop = self._reactor, self._reactor._asyncioEventloop
        owners = [(reactor, name) for name in ("stop", "crash", "run", "fireSystemEvent", "iterate")]
        owners += [(loop, name) for name in ("stop", "close", "set_exception_handler", "set_task_factory")]
        before = [(owner, name, owner.__dict__.get(name), getattr(owner, name)) for owner, name in owners]
        for owner, name, _, method in before:
            owner.__dict__[name] = self._for_hub(f"{type(owner).__name__}.{name}", method)
        reactor.__dict__["stop"] = self._for_hub("reactor.stop", self.stop)
        run_forever: Call = loop.run_forever
        loop.__dict__["run_forever"] = partial(self._watch, run_forever)

        def undo() -> None:
            for owner, name, value, _ in before:
                if value is None:
                    owner.__dict__.pop(name, None)
                else:
                    owner.__dict__[name] = value
            loop.__dict__.pop("run_forever", None)

        return undo

    def stop(self) -> None:
        """Stop the reactor in order."""
        self._ordered = True
        self._stop()

    def _watch(self, run_forever: Call) -> None:
        try:
            run_forever()
        finally:
            if not self._ordered:
                self._leave()

    def _for_hub(self, name: str, method: Call) -> Call:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            owner = worker()
            if owner is None:
                return method(*args, **kwargs)
            return refuse(owner, name)

        return guarded


def _leave() -> None:
    os.write(2, b"reactorhub: the event loop has ended without an order to stop\n")
    os._exit(ENDED_WITHOUT_ORDER)


def refuse(owner: Owner, name: str) -> None:
    """Answer code that calls what only the hub may call: a log line for a run, an exception for an import.

    :raises ImportError: if a project is being imported; it says what to do.
    """
    if isinstance(owner, ProjectContext) and owner.importing:
        refuse_import(name)
    who = f"run {owner.run_id}" if isinstance(owner, RunContext) else "code of a project"
    _log.error("%s called %s; the hub does not do it and goes on", who, name)


def refuse_import(name: str) -> NoReturn:
    """Refuse a call that a module makes while it is imported.

    :raises ImportError: always.
    """
    raise ImportError(
        f"this module calls {name} when it is imported, which would affect all other runs; "
        'put the call below `if __name__ == "__main__":`, or write isolate: process for the project'
    )
