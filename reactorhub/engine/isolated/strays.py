"""Processes that runs have started, and that are nobody's children any more.

What is forked, and what it starts, has the environment of the zygote: ``/proc`` shows it, whatever session or
parent a process has chosen since. Only a program that was started with an empty environment has none of it.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

ZYGOTE_MARK = "REACTORHUB_ZYGOTE"
"""The variable that names, in the environment of a process, the zygote that it comes from."""

DATA_MARK = "REACTORHUB_ZYGOTE_OF"
"""The variable that names the data folder of its hub."""

_ROUNDS = 10  # looks at all processes: what is killed may have forked a moment ago


def kill_strays(mark: str) -> list[int]:
    """Kill all processes with this in their environment; return their ids. Reads all of ``/proc``.

    :param mark: a variable and its value, such as ``NAME=value``.
    """
    killed: list[int] = []
    for _ in range(_ROUNDS):
        found = [pid for pid in _processes() if mark.encode() in _environment(pid)]
        if not found:
            break
        killed += found
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    return killed


def _processes() -> list[int]:
    with suppress(OSError):
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return []


def _environment(pid: int) -> set[bytes]:
    if pid == os.getpid():
        return set()
    with suppress(OSError):  # it has ended, or belongs to somebody else
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return set()
