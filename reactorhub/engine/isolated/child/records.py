"""Counts log records of level ERROR and above before any handler sees them, and exceptions that are muted."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from .project import last_line


class Records:
    """The errors of this process so far. An exception counts even if the project mutes its record."""

    def __init__(self) -> None:
        self._errors = 0
        self._exceptions = 0
        self._error: str | None = None
        self._heard = threading.local()

    def install(self) -> None:
        """Count from now on. No run follows in this process, so nothing is put back."""
        logging.Logger.handle = self._handling(logging.Logger.handle)  # type: ignore[method-assign]
        logging.Logger.callHandlers = self._calling(logging.Logger.callHandlers)  # type: ignore[method-assign]
        muted = _hear_muted(self._muted)
        logging.Logger.error = muted(logging.Logger.error, logging.ERROR)  # type: ignore[method-assign]
        logging.Logger.critical = muted(logging.Logger.critical, logging.CRITICAL)  # type: ignore[method-assign]
        logging.Logger.fatal = logging.Logger.critical
        logging.Logger.log = muted(logging.Logger.log, None)  # type: ignore[method-assign]

    def _handling(self, handle: Any) -> Any:
        def handled(logger: logging.Logger, record: logging.LogRecord) -> None:
            """A filter may drop the record: its exception counts all the same."""
            self._heard.now = False
            handle(logger, record)
            if record.levelno >= logging.ERROR and not self._heard.now:
                self._muted(record.exc_info)

        return handled

    def _calling(self, call_handlers: Any) -> Any:
        def called(logger: logging.Logger, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                self._errors += 1
                self._count(record.exc_info)
            call_handlers(logger, record)
            self._heard.now = True  # here: a handler may log, too

        return called

    def figures(self) -> dict[str, Any]:
        """Return the counts, and the last exception's last line."""
        return {"errors": self._errors, "exceptions": self._exceptions, "error": self._error}

    def _muted(self, exc_info: Any) -> None:
        if self._count(exc_info):
            self._errors += 1

    def _count(self, exc_info: Any) -> bool:
        error = _exception(exc_info)
        if error is None:
            return False
        self._exceptions += 1
        self._error = last_line(error)
        return True


def _exception(exc_info: Any) -> BaseException | None:
    """Return the exception of what a log call accepts as ``exc_info``."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) > 1 and isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _hear_muted(hear: Any) -> Any:
    """Return a wrapper for a method of all loggers. ``hear`` gets the ``exc_info`` of muted calls."""

    def wrap(method: Any, fixed: int | None) -> Any:
        def call(self: logging.Logger, *args: Any, **kwargs: Any) -> None:
            level = fixed if fixed is not None else args[0] if args else kwargs.get("level")
            if isinstance(level, int) and level >= logging.ERROR and not self.isEnabledFor(level):
                hear(kwargs.get("exc_info"))
                return
            method(self, *args, **kwargs)

        # A record shows the line of the first frame that is not of logging's own file.
        call.__code__ = call.__code__.replace(co_filename=logging.getLogger.__code__.co_filename)
        return call

    return wrap
