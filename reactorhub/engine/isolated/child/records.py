"""Counts log records of level ERROR and above where they are made, whatever becomes of the handlers."""

from __future__ import annotations

import logging
from typing import Any

from .project import last_line


class Records:
    """What the log of this process has had to say so far."""

    def __init__(self) -> None:
        self._errors = 0
        self._exceptions = 0
        self._error: str | None = None

    def install(self) -> None:
        """Count from now on."""
        make = logging.getLogRecordFactory()

        def counted(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            if record.levelno >= logging.ERROR:
                self._count(record)
            return record

        logging.setLogRecordFactory(counted)

    def figures(self) -> dict[str, Any]:
        """Return the counts, and the last exception's last line."""
        return {"errors": self._errors, "exceptions": self._exceptions, "error": self._error}

    def _count(self, record: logging.LogRecord) -> None:
        self._errors += 1
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._exceptions += 1
            self._error = last_line(error)
