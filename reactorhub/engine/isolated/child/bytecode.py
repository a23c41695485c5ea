"""Keeps Python from executing bytecode that is older than its source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from importlib.util import source_from_cache
from pathlib import Path
from typing import Any


def distrust_old_bytecode(folders: Callable[[], Iterable[str]]) -> Callable[[], None]:
    """Let modules below these folders be compiled again if their source may have changed since they were.

    Python itself compares whole seconds and sizes only. It does not notice that ``page = 8`` becomes
    ``page = 9`` within the same second, nor a file that comes with its old time. The time of the inode tells.

    :return: undoes this.
    """
    loader: Any = SourceFileLoader
    get_data = loader.get_data

    def get_current_data(self: SourceFileLoader, path: str) -> bytes:
        if path.endswith(".pyc") and _is_old(path, folders()):
            raise OSError("the source may have changed since this was compiled")
        data: bytes = get_data(self, path)
        return data

    loader.get_data = get_current_data

    def undo() -> None:
        loader.get_data = get_data

    return undo


def _is_old(bytecode: str, folders: Iterable[str]) -> bool:
    try:
        source = source_from_cache(bytecode)
        if not any(source.startswith(folder + os.sep) for folder in folders):
            return False
        return Path(source).stat().st_ctime_ns >= Path(bytecode).stat().st_mtime_ns
    except (OSError, ValueError):
        return False  # a module without a source
