"""A run's log that keeps its records in memory, for tests."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from reactorhub.containment.root_handler import RootHandler


class MemoryRunLog:
    """See :class:`reactorhub.containment.contexts.RunLog`. ``records`` holds all records, oldest first."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.errors = 0
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []
        self.closed = False

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Do nothing: this log has no settings."""

    def take(self, record: logging.LogRecord, handler: RootHandler | None = None) -> None:
        """Keep a record."""
        self.records.append(record)
        self.counts[record.levelname] = self.counts.get(record.levelname, 0) + 1
        self.errors += record.levelno >= logging.ERROR

    def write(self, stream: str, line: str) -> None:
        """Keep a printed line."""
        self.lines.append(f"{stream}: {line}")

    def close(self) -> None:
        """Record that the run is over."""
        self.closed = True
