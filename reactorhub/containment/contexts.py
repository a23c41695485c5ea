"""Which run the executing code belongs to.

Scrapy names the spider in only some of its log records. So a context variable is set before the crawl begins.
Every task, timer and thread call that the crawl causes inherits it (:pep:`567`). Thus records, tasks and
unhandled errors find their run.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import Context, ContextVar
from functools import wraps
from logging import LogRecord
from pathlib import Path
from threading import Thread, get_ident, local
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from reactorhub.containment.root_handler import RootHandler
from reactorhub.errors import EscapedError, last_line


class RunLog(Protocol):
    """The log of one crawl in progress."""

    counts: dict[str, int]
    """The number of records for each level name. Records below LOG_LEVEL count only from ERROR on."""

    errors: int
    """The number of records of level ERROR and above, whatever the run calls these levels."""

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Apply the run's own LOG_* settings from here on."""

    def take(self, record: LogRecord, handler: RootHandler | None = None) -> None:
        """Count a record of this run, and write it if its level is at least LOG_LEVEL.

        :param handler: what the run's code has set for this log at the root logger.
        """

    def write(self, stream: str, line: str) -> None:
        """Write a line that the run's code has printed to ``stdout`` or ``stderr``. Counts nowhere."""

    def close(self) -> None:
        """Close the log. Records that arrive later are not counted."""


P = ParamSpec("P")
R = TypeVar("R")


class Owner:
    """Whom the executing code works for: a run, or a project while it is imported and in its own threads.

    Other modules of this package keep here what belongs to one owner. A run's parent is its project.
    """

    def __init__(self, parent: Owner | None = None) -> None:
        self.parent = parent
        self.over = False
        self.logging: Any = None
        """What the owner's code has set in ``logging``; None if nothing."""
        self.root_handler: RootHandler | None = None
        """What stands for the owner's log at the root logger, once code of the owner's has looked there."""
        self.globals: Any = None
        """What the owner's code has set in the modules ``logging`` and ``warnings``; None if nothing."""
        self.variables: dict[bytes, bytes | None] = {}
        """The environment variables that the owner's code has set; None for those that it has taken out."""
        self.warned: set[Any] = set()
        """The warnings that have been shown to the owner's code."""
        self.streams: dict[str, Any] = {}
        """What the owner's code has assigned to ``sys.stdout`` and ``sys.stderr``."""
        self.unfinished: dict[str, Any] = {}
        """For each stream, the part of a line that the owner has printed so far."""

    def output(self, stream: str, line: str) -> bool:
        """Take a line that the owner's code has printed. Return False if the hub's log should have it."""
        return False

    def enter(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``call`` in a new :attr:`context` of this owner, which inherits nothing from the caller's."""
        return self.context.run(call, *args, **kwargs)

    @property
    def context(self) -> Context:
        """A new context of this owner."""
        context = Context()
        context.run(self._own)
        return context

    def _own(self) -> None:
        raise NotImplementedError


class ProjectContext(Owner):
    """What belongs to a project apart from its runs: its name, and whether its modules are being imported."""

    def __init__(
        self,
        name: str,
        folder: Path | None = None,
        settings_module: str | None = None,
        section: str | None = None,
    ) -> None:
        """:param section: of ``scrapy.cfg``, if one was chosen."""
        super().__init__()
        self.name = name
        self.folder = folder
        self.settings_module = settings_module
        self.section = section
        self.importing = False
        self._imported = super().context
        self._arithmetic: Any = None

    def import_with(self, call: Callable[[], None]) -> None:
        """Call what imports the project. The context variables that this sets hold for the project's runs."""
        self._imported.run(call)
        decimal = sys.modules.get("decimal")
        if decimal is not None:
            contexts = (each for each in self._imported.values() if isinstance(each, decimal.Context))
            self._arithmetic = next(contexts, None)

    @property
    def context(self) -> Context:
        """A new context of this project, in which its import is over."""
        context = self._imported.copy()
        if self._arithmetic is not None:
            context.run(
                sys.modules["decimal"].setcontext, self._arithmetic.copy()
            )  # else all change the same
        return context

    def _own(self) -> None:
        PROJECT.set(self)


class RunContext(Owner):
    """What belongs to one crawl in progress: its id, its log and its asyncio tasks."""

    def __init__(self, run_id: str, log: RunLog, project: ProjectContext | None = None) -> None:
        super().__init__(project)
        self.run_id = run_id
        self.task_name = f"reactorhub-run-{run_id}"
        """The name of the asyncio tasks of this run that have no name of their own."""
        self.log = log
        self.tasks: WeakSet[asyncio.Future[Any]] = WeakSet()
        self.has_tasks = False
        """Whether it has ever had one."""
        self.reactor_seconds: float | None = None
        """What :class:`reactorhub.containment.fair_order.FairOrder` counts of it; None if it never waited."""
        self.threads: WeakSet[Thread] = WeakSet()
        """The threads that the run's code has started."""
        self.in_threads: dict[object, str] = {}
        """The names of the run's functions that shared threads execute now."""
        self.at_exit: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        """What the run's code has registered with ``atexit``."""
        self.at_end: list[Callable[[], object]] = []
        """Calls that take out of shared tables, at the end of the run, what its code has put there."""
        self.copies: dict[object, Any] = {}
        """What the run has in the place of attributes of classes that other runs share."""
        self.exceptions = 0
        """How many exceptions the run's code has raised, each counted once."""
        self.silent = 0
        """How many of them no log record of level ERROR or above has carried."""
        self.error: str | None = None
        """The last line of the newest of them."""
        _at_work.add(self)

    def output(self, stream: str, line: str) -> bool:
        """Write the line into the run's log."""
        self.log.write(stream, line)
        return True

    def raised(self, error: BaseException) -> None:
        """Count an exception where it happens. A log record may carry it later, and need not."""
        if self._seen(error) is None:
            self._count(error)
            self.silent += 1
            self._mark(error, _SILENT)

    def logged(self, error: BaseException) -> None:
        """Count an exception that a log record of level ERROR or above carries."""
        seen = self._seen(error)
        if seen is None:
            self._count(error)
        elif seen == _SILENT:
            self.silent -= 1
        self._mark(error, _LOGGED)

    def _count(self, error: BaseException) -> None:
        self.exceptions += 1
        self.error = last_line(error)

    def _seen(self, error: BaseException) -> str | None:
        run_id, seen = getattr(error, _MARK, (None, None))
        return seen if run_id == self.run_id else None

    def _mark(self, error: BaseException, seen: str) -> None:
        with suppress(Exception):  # a class of the project's own may refuse
            setattr(error, _MARK, (self.run_id, seen))

    @property
    def context(self) -> Context:
        """A new context of this run, with the context variables that the import of its project has set."""
        if self.parent is None:
            return super().context
        context = self.parent.context
        context.run(self._own)
        return context

    def _own(self) -> None:
        PROJECT.set(None)
        RUN.set(self)


def runs_at_work() -> list[RunContext]:
    """Return the runs that are not over."""
    return [run for run in tuple(_at_work) if not run.over]


_at_work: WeakSet[RunContext] = WeakSet()

_MARK, _SILENT, _LOGGED = "_reactorhub_seen", "silent", "logged"


def here() -> Owner | None:
    """Return whom the executing code works for; None for the hub itself and for the garbage collector.

    The collector calls finalizers from whatever code it happens to interrupt, so that code says nothing about
    their owner.
    """
    if _collecting and _collecting == get_ident():
        return None
    run = RUN.get()
    if run is not None and not run.over:
        return run
    return PROJECT.get()


def worker() -> Owner | None:
    """Return whose code executes, also where its run is over: a thread that a run has left behind goes on."""
    if _collecting and _collecting == get_ident():
        return None
    return RUN.get() or PROJECT.get()


def project_here() -> ProjectContext | None:
    """Return the project whose code executes, in a run of it or apart from its runs; None if no project's."""
    owner = here()
    project = owner.parent if isinstance(owner, RunContext) else owner
    return project if isinstance(project, ProjectContext) else None


def watch_collector() -> Callable[[], None]:
    """Let :func:`here` answer None during garbage collections. Return a function that undoes this."""
    gc.callbacks.append(_collector_phase)
    return lambda: gc.callbacks.remove(_collector_phase)


def as_owner(context: Context, call: Callable[..., Any], *args: Any) -> Any:
    """Call ``call`` in a context whose owner is known to be right, even during a garbage collection."""
    global _collecting  # noqa: PLW0603 - a plain global costs least in here(), which every log call asks
    before, _collecting = _collecting, 0
    try:
        return context.run(call, *args)
    finally:
        _collecting = before


def _collector_phase(phase: str, info: dict[str, int]) -> None:
    global _collecting  # noqa: PLW0603 - see above
    _collecting = get_ident() if phase == "start" else 0


_collecting = 0  # the thread in which the garbage collector is at work

EMITTING = local()
"""``EMITTING.now`` is true in a thread while a log handler of a project is at work."""


def contain(error: BaseException) -> NoReturn:
    """Raise an ordinary exception instead of ``error``, which spider code raised.

    ``except Exception`` does not catch ``SystemExit`` and its like: they would end the process or hang the
    crawl. An ordinary exception, and the cancellation of the current task, stay what they are.

    :raises EscapedError: with the name and text of ``error``.
    """
    if isinstance(error, Exception):
        raise error
    if _is_child:
        _leave(error)
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise error
    raise escaped(error) from error


def escaped(error: BaseException) -> EscapedError:
    """Return the ordinary exception that stands for one that ``except Exception`` does not catch."""
    return EscapedError(f"the spider raised {type(error).__name__}({_text(error)}); the hub goes on")


def this_is_a_child() -> None:
    """Note that this process is a child that a run has forked: there ``sys.exit()`` ends the process."""
    global _is_child  # noqa: PLW0603 - once in the life of a process
    _is_child = True


def is_child() -> bool:
    """Return whether this process is a child that a run has forked: what it does, it does to itself."""
    return _is_child


def _leave(error: BaseException) -> NoReturn:
    code = error.code if isinstance(error, SystemExit) else 1
    os._exit(0 if code is None else code if isinstance(code, int) else 1)


_is_child = False


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the class is the spider's
        return ""


def contained(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``call`` with :func:`contain` around it and around the coroutine or generator that it returns.

    A coroutine is contained from within: what crosses the border of a task instead would close the coroutine
    that awaits it.
    """

    @wraps(call)
    def inside(*args: Any, **kwargs: Any) -> Any:
        try:
            result = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        return contained_result(result)

    return inside


def contained_result(result: Any) -> Any:
    """Return a coroutine or generator with :func:`contain` around it, and anything else as it is."""
    if inspect.iscoroutine(result):
        return _contained_coroutine(result)
    if inspect.isasyncgen(result):
        return _contained_async_generator(result)
    if inspect.isgenerator(result):
        return contained_iterator(result)
    return result


async def _contained_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
        contain(error)


async def _contained_async_generator(generator: AsyncIterator[Any]) -> AsyncIterator[Any]:
    while True:
        try:
            each = await anext(generator)
        except StopAsyncIteration:
            return
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        yield each


def contained_iterator(output: Iterable[Any]) -> Iterator[Any]:
    """Yield what ``output`` yields, with :func:`contain` around each step."""
    iterator = iter(output)
    while True:
        try:
            each = next(iterator)
        except StopIteration:
            return
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        yield each


RUN: ContextVar[RunContext | None] = ContextVar("reactorhub_run", default=None)
PROJECT: ContextVar[ProjectContext | None] = ContextVar("reactorhub_project", default=None)
