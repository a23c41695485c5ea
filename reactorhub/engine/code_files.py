"""The files with a project's code, and whether they have changed since they were read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

Mark = tuple[int, int, int, int]  # mtime, ctime, size and inode of a file

_MAX_ENTRIES = 20_000  # entries of a folder that are looked at; a project's code has far fewer
_OTHERS = frozenset({"__pycache__", "node_modules", "site-packages"})
_ENVIRONMENT = "pyvenv.cfg"  # a virtual environment has this file
_SETTINGS = "scrapy.cfg"


@dataclass(frozen=True, slots=True)
class CodeFiles:
    """The state of all files with a project's code. Two are equal if nothing has changed between them."""

    marks: dict[str, Mark] = field(default_factory=dict)

    def changed_at(self, before: CodeFiles) -> datetime | None:
        """Return when the newest change since ``before`` happened; None if only files were removed.

        The time is that of the inode: it cannot be set back, as the time of a file's content can.
        """
        times = [mark[1] for path, mark in self.marks.items() if before.marks.get(path) != mark]
        return datetime.fromtimestamp(max(times) / 1e9, UTC) if times else None


def code_files(folder: Path) -> CodeFiles:
    """Look at all Python files below a folder, and at its ``scrapy.cfg``.

    Hidden folders and virtual environments are left out. What cannot be read is not there.
    """
    found = CodeFiles()
    for entry in _entries(folder):
        try:
            stat = entry.stat()
        except OSError:
            continue
        found.marks[entry.path] = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
    return found


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting, seen, left = [str(folder)], set(), _MAX_ENTRIES
    while waiting and left > 0:
        entries = _listed(waiting.pop())
        left -= len(entries)
        for entry in entries:
            if entry.name.endswith(".py") or entry.name == _SETTINGS:
                yield entry
            elif _has_code(entry) and (real := os.path.realpath(entry.path)) not in seen:
                seen.add(real)
                waiting.append(entry.path)


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _has_code(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.is_dir() and not holds_others_code(Path(entry.path))
    except OSError:
        return False


def holds_others_code(folder: Path) -> bool:
    """Return whether a folder in a project's holds code of others: a virtual environment, for one."""
    return folder.name in _OTHERS or (folder / _ENVIRONMENT).exists()
