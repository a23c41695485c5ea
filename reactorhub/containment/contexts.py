"""Which run the executing code belongs to.

Scrapy names the spider in only some of its log records. So a context variable is set before the crawl begins.
Every task, timer and thread call that the crawl causes inherits it (:pep:`567`). Thus records, tasks and
unhandled errors find their run.
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
    """The log of one crawl in progress."""

    counts: dict[str, int]
    """The number of records for each level name. Records below LOG_LEVEL count only from ERROR on."""

    exceptions: int
    """The number of records of level ERROR and above that carried an exception."""

    error: str | None
    """The last line of the newest exception that a record of level ERROR or above carried."""

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Apply the run's own LOG_* settings from here on."""

    def take(self, record: LogRecord) -> None:
        """Count a record of this run, and write it if its level is at least LOG_LEVEL."""

    def close(self) -> None:
        """Close the log. Records that arrive later are not counted."""


ESCAPES = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What ``except Exception`` does not catch. From spider code it would end the process or hang the crawl."""

P = ParamSpec("P")
R = TypeVar("R")


class RunContext:
    """What belongs to one crawl in progress: its id, its log and its asyncio tasks."""

    def __init__(self, run_id: str, log: RunLog) -> None:
        self.run_id = run_id
        self.log = log
        self.tasks: WeakSet[asyncio.Future[Any]] = WeakSet()

    def enter(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``call`` in a new context of this run, which inherits nothing from the caller's."""

        def entered() -> R:
            RUN.set(self)
            return call(*args, **kwargs)

        return Context().run(entered)


def contain(error: BaseException) -> NoReturn:
    """Raise an ordinary exception instead of ``error``, which spider code raised.

    The cancellation of the current task stays what it is.

    :raises EscapedError: with the name and text of ``error``.
    """
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
    raise EscapedError(f"the spider raised {type(error).__name__}({error}); the hub goes on") from error


RUN: ContextVar[RunContext | None] = ContextVar("reactorhub_run", default=None)
