"""Which run the code now executing belongs to: the context variable that everything per-run hangs on.

Scrapy tags only some of its log records with their spider. A context variable that is set before the crawl
begins is inherited by every task, timer and thread hop that the crawl causes, so that records, tasks and
unhandled errors find their run (:pep:`567`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar
from logging import LogRecord
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from reactorhub.errors import EscapedError


class RunLog(Protocol):
    """The log of one crawl under way."""

    counts: dict[str, int]
    """How many records of each level name its LOG_LEVEL let through, and all from ERROR on in any case."""

    exceptions: int
    """How many records of level ERROR and above carried an exception."""

    error: str | None
    """The last line of the last exception that a record of level ERROR or above carried."""

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Apply the run's own LOG_* settings from here on."""

    def take(self, record: LogRecord) -> None:
        """Count a record of this run, and keep it if its level is let through."""

    def close(self) -> None:
        """Write what is left. Records that arrive later are counted nowhere."""


ESCAPES = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What ``except Exception`` lets through: out of spider code it would end the process, or hang the crawl."""

P = ParamSpec("P")
R = TypeVar("R")


class RunContext:
    """What belongs to one crawl under way: its id, its log, and the asyncio tasks that work for it."""

    def __init__(self, run_id: str, log: RunLog) -> None:
        self.run_id = run_id
        self.log = log
        self.tasks: WeakSet[asyncio.Future[Any]] = WeakSet()

    def enter(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``call`` in a new context that belongs to this run and inherits nothing from the caller's."""

        def entered() -> R:
            RUN.set(self)
            return call(*args, **kwargs)

        return Context().run(entered)


def contain(error: BaseException) -> NoReturn:
    """Raise what escaped from spider code as an ordinary exception, except where this task is cancelled.

    :raises EscapedError: saying what escaped.
    """
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
    raise EscapedError(f"the spider raised {type(error).__name__}({error}); the hub goes on") from error


RUN: ContextVar[RunContext | None] = ContextVar("reactorhub_run", default=None)
