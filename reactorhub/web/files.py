"""Serves the log and items of runs: whole files, with range requests, or some of their lines."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.static import File

from reactorhub.errors import NotFound
from reactorhub.model.run import Run
from reactorhub.storage.layout import RunPaths

T = TypeVar("T")
_BLOCK = 64 * 1024
_MAX_TAIL = 16 * 1024 * 1024  # bytes read from the end to find the last lines
MAX_LINES = 100_000


class RunFiles:
    """Finds and reads the files of runs. Files are read in the hub's thread pool, through ``in_thread``."""

    def __init__(self, paths: RunPaths, in_thread: Callable[..., Deferred[Any]]) -> None:
        self._paths = paths
        self._in_thread = in_thread

    def log(self, run: Run) -> Path:
        """Return the path of a run's log.

        :raises NotFound: if there is no log.
        """
        path = self._paths.log(run.spec.project, run.spec.spider, run.id)
        if not path.is_file():
            raise NotFound(f"run {run.id} has no log: {_why(run, 'logs')}")
        return path

    def items(self, run: Run) -> Path:
        """Return the path of a run's items.

        :raises NotFound: if there is no items file.
        """
        path = self._paths.items(run.spec.project, run.spec.spider, run.id)
        if not path.is_file():
            feeds = "its project sets FEEDS itself, or " if run.started_at is not None else ""
            raise NotFound(f"run {run.id} has no items file: {feeds}{_why(run, 'items')}")
        return path

    def tail(self, path: Path, lines: int) -> Deferred[bytes]:
        """Read the last ``lines`` lines."""
        return self._in_thread(last_lines, path, lines).addErrback(_gone)

    def part(self, path: Path, offset: int, limit: int) -> Deferred[bytes]:
        """Read ``limit`` lines after the first ``offset``."""
        return self._in_thread(some_lines, path, offset, limit).addErrback(_gone)


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


def _why(run: Run, kind: str) -> str:
    if not run.state.final:
        return "it has not started yet" if run.started_at is None else "there is none yet"
    if run.started_at is None:
        return "it ended before it started"
    return f"it was removed, by hub.retention.{kind} or by hand"


def _gone(failure: Failure) -> NoReturn:
    failure.trap(FileNotFoundError)
    raise NotFound("the file was removed while it was being read; ask again to see why")
