"""One log file for each run. It holds all records of its run and no record of another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from reactorhub.containment.contexts import RunContext, here
from reactorhub.containment.root_handler import RootHandler

_FORMAT = "%(asctime)s [%(name)s] %(levelname)s: %(message)s"  # Scrapy's default LOG_FORMAT
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"  # Scrapy's default LOG_DATEFORMAT
_PLAIN = logging.Formatter(_FORMAT, _DATE_FORMAT)


class FileRunLog:
    """A run's log file. Each record is written to the operating system at once, so that ``tail -f`` works.

    If the disk is full, the run goes on, and ``lost`` counts the records that are missing.
    """

    def __init__(self, path: Path) -> None:
        """:raises OSError: if the file cannot be opened."""
        self.counts: dict[str, int] = {}
        self.errors = 0
        self.lost = 0
        self._level = logging.DEBUG
        self._enabled = True
        self._formatter = _PLAIN
        self._short_names = False
        self._file: IO[bytes] | None = _opened(path)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Apply LOG_ENABLED, LOG_LEVEL, LOG_FORMAT, LOG_DATEFORMAT and LOG_SHORT_NAMES from here on.

        A level that logging does not know changes nothing.
        """
        level = settings.get("LOG_LEVEL")
        known = logging.getLevelNamesMapping()
        self._level = level if isinstance(level, int) else known.get(str(level), self._level)
        self._formatter = logging.Formatter(settings.get("LOG_FORMAT"), settings.get("LOG_DATEFORMAT"))
        self._short_names = bool(settings.get("LOG_SHORT_NAMES"))
        self._enabled = bool(settings.get("LOG_ENABLED", True))
        if not self._enabled:
            self._level = logging.CRITICAL + 1

    def take(self, record: logging.LogRecord, handler: RootHandler | None = None) -> None:
        """Count and write a record of at least LOG_LEVEL. Errors are counted whatever LOG_LEVEL is.

        :param handler: what the run's code has set for this log. It changes what is written, and no count.
        """
        if self._file is None:
            return
        if record.levelno >= self._level or record.levelno >= logging.ERROR:
            self.counts[record.levelname] = self.counts.get(record.levelname, 0) + 1
            self.errors += record.levelno >= logging.ERROR
        if handler is None:
            if record.levelno >= self._level:
                self._write(record, self._formatter)
        elif self._enabled and handler.lets_through(record, self._level):
            self._write(record, handler.formatter or self._formatter)

    def write(self, stream: str, line: str) -> None:
        """Write a printed line as a record of level INFO, whatever LOG_LEVEL is. It is not counted."""
        if self._file is not None:
            self._write(logging.LogRecord(stream, logging.INFO, "", 0, "%s", (line,), None), self._formatter)

    def close(self) -> None:
        """Close the file. Later records are not counted."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, record: logging.LogRecord, formatter: logging.Formatter) -> None:
        assert self._file is not None
        if self._short_names and record.name.startswith("scrapy."):
            record.name = "scrapy"
        try:
            self._file.write(_text(record, formatter).encode("utf-8", "backslashreplace") + b"\n")
        except OSError:
            self.lost += 1


def routing(hub_log: Callable[[logging.LogRecord], None]) -> Callable[[logging.LogRecord], None]:
    """Return what passes each record to the log of its run, or to ``hub_log`` if it belongs to no run.

    The run that a record itself names (Scrapy puts ``spider`` or ``crawler`` on many) wins over the executing
    code. The returned function never raises.
    """

    def deliver(record: logging.LogRecord) -> None:
        owner = _explicit_run(record) or here()
        try:
            if isinstance(owner, RunContext) and not owner.over:
                if record.levelno >= logging.ERROR and record.exc_info and record.exc_info[1] is not None:
                    owner.logged(record.exc_info[1])
                owner.log.take(record, owner.root_handler)
            else:
                hub_log(record)
        except Exception:  # noqa: BLE001 - a log call must not raise
            hub_log(_unreadable(record))

    return deliver


class RunLogs:
    """Opens the log files of runs where :class:`reactorhub.storage.layout.RunPaths` says."""

    def __init__(self, path_of: Callable[[str, str, str], Path]) -> None:
        self._path_of = path_of

    def open(self, project: str, spider: str, run_id: str) -> FileRunLog:
        """Open the log of one run.

        :raises OSError: if the file cannot be opened.
        """
        return FileRunLog(self._path_of(project, spider, run_id))


def _text(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    try:
        return formatter.format(record)
    except BaseException:  # noqa: BLE001 - what is formatted may be of any class
        return _plain_text(record)


def _plain_text(record: logging.LogRecord) -> str:
    """Return the text of a record that lacks what LOG_FORMAT asks for, or that cannot be formatted."""
    with suppress(BaseException):
        return _PLAIN.format(record)
    return _PLAIN.format(_unreadable(record))


def _unreadable(record: logging.LogRecord) -> logging.LogRecord:
    """Return the one line that stands for a record that cannot be formatted. It keeps the record's level."""
    text = f"a log call that cannot be formatted, at {record.pathname}:{record.lineno}: {record.msg!r:.200}"
    return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, "%s", (text,), None)


def _explicit_run(record: logging.LogRecord) -> RunContext | None:
    crawler = getattr(record, "crawler", None) or getattr(getattr(record, "spider", None), "crawler", None)
    return getattr(crawler, "run_context", None)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("ab", buffering=0)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path.open("ab", buffering=0)
