"""Processes that a run has started, and that are nobody's children any more."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

MARK = "REACTORHUB_PROCESS"
"""The variable that names, in the environment of a process, what it was forked for."""


def kill_strays(keys: Collection[str]) -> list[int]:
    """Kill all processes that were started by one of these jobs; return their ids. Reads all of ``/proc``."""
    marks = {f"{MARK}={key}".encode() for key in keys}
    found = [pid for pid in _processes() if marks & _environment(pid)]
    for pid in found:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return found


def _processes() -> list[int]:
    with suppress(OSError):
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return []


def _environment(pid: int) -> set[bytes]:
    with suppress(OSError):  # it has ended, or belongs to somebody else
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return set()
