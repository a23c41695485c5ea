"""What Linux offers so that no process outlives the one it works for. Elsewhere these calls do nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None)  # loaded before any fork


def signal_at_parents_death(number: int) -> None:
    """Have this process sent a signal as soon as its parent is dead."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Make this process the parent of all its descendants whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    with suppress(AttributeError):  # there is no such call outside Linux
        _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def prefer_as_victim() -> None:
    """Have a machine that runs out of memory kill this process rather than the hub."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def end_at_once(status: int) -> NoReturn:
    """End this process without what it would do at its end, except for writing buffered output."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


def kill_group(pid: int) -> None:
    """Kill a child and the process group that it leads, whatever is left of it.

    A child that was forked a moment ago may not lead a group yet.
    """
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def children() -> set[int]:
    """Return the processes whose parent is this one, the dead that nobody has waited for included."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return set()
    return {int(pid) for pid in text.split()}


def end_all(pids: Iterable[int]) -> None:
    """Kill these processes and wait for them. They are children of this one."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def used_memory(pid: int) -> int:
    """Return the proportional set size of a process in bytes; 0 where it cannot be read."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
