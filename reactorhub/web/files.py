"""Serves the log and items of runs: whole files, with range requests, or some of their lines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.static import File

from reactorhub.errors import NotFound
from reactorhub.model.run import Run, RunState
from reactorhub.storage.layout import RunPaths
from reactorhub.storage.retention import RetentionConfig
from reactorhub.triggers.durations import duration_text

T = TypeVar("T")
_BLOCK = 64 * 1024
_MAX_TAIL = 16 * 1024 * 1024  # bytes read from the end to find the last lines
MAX_LINES = 100_000


class RunFiles:
    """Finds and reads the files of runs. Files are read in the hub's thread pool, through ``in_thread``."""

    def __init__(
        self,
        paths: RunPaths,
        in_thread: Callable[..., Deferred[Any]],
        retention: Callable[[], RetentionConfig],
        now: Callable[[], datetime],
    ) -> None:
        """:param retention: returns how long files are kept, for the answer where there are none any more."""
        self._paths = paths
        self._in_thread = in_thread
        self._retention = retention
        self._now = now

    def log(self, run: Run) -> Path:
        """Return the path of a run's log.

        :raises NotFound: if there is no log.
        """
        path = self._paths.log(run.spec.project, run.spec.spider, run.id)
        if not path.is_file():
            raise NotFound(f"run {run.id} has no log: {_not_yet(run) or self._removed(run, 'logs')}")
        return path

    def items(self, run: Run) -> Path:
        """Return the path of a run's items.

        :raises NotFound: if there is no items file.
        """
        path = self._paths.items(run.spec.project, run.spec.spider, run.id)
        if not path.is_file():
            why = _elsewhere(run) or _not_yet(run) or _none(run) or self._removed(run, "items")
            raise NotFound(f"run {run.id} has no items file: {why}")
        return path

    def tail(self, path: Path, lines: int) -> Deferred[bytes]:
        """Read the last ``lines`` lines."""
        return self._in_thread(last_lines, path, lines).addErrback(_gone)

    def part(self, path: Path, offset: int, limit: int) -> Deferred[bytes]:
        """Read ``limit`` lines after the first ``offset``."""
        return self._in_thread(some_lines, path, offset, limit).addErrback(_gone)

    def _removed(self, run: Run, kind: str) -> str:
        keep = getattr(self._retention(), kind)
        if keep is not None and run.finished_at is not None and run.finished_at + keep <= self._now():
            return f"it was removed after {duration_text(keep)}, as hub.retention.{kind} says"
        if kind == "items" and not run.stats:
            return "the hub ended before there was one, or it was removed"
        return f"it was removed by hand, or when hub.retention.{kind} was shorter"


def whole(request: IRequest, path: Path, kind: str) -> File:
    """Return a resource that serves the file as it is now, ranges included (RFC 9110, section 14)."""
    request.setHeader(b"content-disposition", f'inline; filename="{path.name}"'.encode("ascii", "replace"))
    file = File(str(path), defaultType=kind)
    file.contentTypes = {}
    return file


def last_lines(path: Path, lines: int) -> bytes:
    """Return the last ``lines`` lines of a file, looking at no more of it than needed."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        start, found = end, b""
        while start > 0 and found.count(b"\n") <= lines and end - start < _MAX_TAIL:
            start = max(0, end - min(_MAX_TAIL, max(_BLOCK, 2 * (end - start))))
            file.seek(start)
            found = file.read(end - start)
    return b"".join(BytesIO(found).readlines()[-lines:]) if lines else b""


def some_lines(path: Path, offset: int, limit: int) -> bytes:
    """Return ``limit`` lines after the first ``offset``."""
    with path.open("rb") as file:
        return b"".join(islice(file, offset, offset + limit))


def _not_yet(run: Run) -> str | None:
    if not run.state.final:
        return "it has not started yet" if run.started_at is None else "there is none yet"
    return "it ended before it started" if run.started_at is None else None


def _elsewhere(run: Run) -> str | None:
    return "its project sets FEEDS, so its items are where these say" if run.feeds else None


def _none(run: Run) -> str | None:
    """Say that there were no items, if that is known. The hub may have died before the run's end."""
    known = run.stats or run.state is not RunState.INTERRUPTED
    return "it scraped no items" if known and not run.stats.get("item_scraped_count") else None


def _gone(failure: Failure) -> NoReturn:
    failure.trap(FileNotFoundError)
    raise NotFound("the file was removed while it was being read; ask again to see why")
