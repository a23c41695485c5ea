"""Deletes old files from a folder that runs write to, some at a time. Call it from one thread at a time.

It never follows a symbolic link and never leaves its folder, even if a folder is swapped for a link
meanwhile: each folder is opened by name relative to the folder above it, and so is each entry.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """The result of one step: the number of files deleted, and whether the step reached the last file.

    ``trouble`` names the first entry that could not be deleted, and the reason.
    """

    removed: int
    done: bool
    trouble: str | None = None


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH = 2  # files lie in <project>/<spider>/, as reactorhub.storage.layout lays them out


class OldFiles:
    """The files of runs below ``folder``. Each sweep continues where the previous one stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._walk = self._all()
        self._before = 0.0
        self._keep: Collection[str] = ()
        self._removed = 0
        self._trouble: str | None = None

    def sweep(self, before: float, keep: Collection[str], limit: int) -> Swept:
        """Examine ``limit`` more entries. Delete old files and empty folders.

        An entry that cannot be deleted stays, and the sweep goes on. An empty folder is deleted only if
        nothing was added to it or removed from it since ``before``, because a run may be about to write
        there.

        :param before: files last modified before this moment are old; in seconds since 1970.
        :param keep: ids of runs whose files stay, however old.
        """
        self._before, self._keep, self._removed, self._trouble = before, keep, 0, None
        seen = sum(1 for _ in islice(self._walk, limit))
        done = seen < limit
        if done:
            self._walk = self._all()
        return Swept(removed=self._removed, done=done, trouble=self._trouble)

    def _all(self) -> Iterator[None]:
        try:
            yield from self._entries(str(self._folder), None, 0)
        except FileNotFoundError:
            return
        except OSError as error:
            self._note(self._folder, error)

    def _entries(self, name: str, parent: int | None, depth: int) -> Iterator[None]:
        """Walk through a folder and the folders in it. Yield once for each entry."""
        folder = os.open(name, _FOLDER, dir_fd=parent)
        try:
            touched, left = os.fstat(folder).st_mtime, False
            with os.scandir(folder) as entries:
                for entry in entries:
                    if depth < _DEPTH and entry.is_dir(follow_symlinks=False):
                        yield from self._inner(entry.name, folder, depth + 1)
                    elif depth < _DEPTH or not self._goes(entry, folder):
                        left = True
                    yield
            if parent is not None and not left and touched < self._before:
                _remove_if_empty(name, parent)
        finally:
            os.close(folder)

    def _inner(self, name: str, parent: int, depth: int) -> Iterator[None]:
        try:
            yield from self._entries(name, parent, depth)
        except OSError as error:
            self._note(name, error)

    def _goes(self, entry: os.DirEntry[str], folder: int) -> bool:
        """Delete a file if it is old. Return whether the file is gone."""
        try:
            if not entry.is_file(follow_symlinks=False) or entry.name.partition(".")[0] in self._keep:
                return False
            if entry.stat(follow_symlinks=False).st_mtime >= self._before:
                return False
            os.unlink(entry.name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            self._note(entry.name, error)
            return False
        self._removed += 1
        return True

    def _note(self, name: object, error: OSError) -> None:
        self._trouble = self._trouble or f"{name}: {error.strerror}"


def _remove_if_empty(name: str, parent: int) -> None:
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError:  # not empty: a run has written there meanwhile, or a folder in it stays
        return
