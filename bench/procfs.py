"""What a process and all its children cost, as Linux keeps count of it below /proc.

Everything here is read from outside: the measured programs know nothing of it and pay nothing for it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """A process as ``/proc/<pid>/stat`` shows it.

    ``ticks`` is its CPU time, user and system, in clock ticks, with that of all children it has waited for.
    ``born`` tells it apart from a later process with the same ``pid``.
    """

    pid: int
    parent: int
    ticks: int
    born: int


def parse_stat(text: str) -> Stat:
    """Read the one line of ``/proc/<pid>/stat``; a program's name may hold blanks and parentheses (proc(5)).

    :raises ValueError: if this is no such line.
    """
    pid, _, rest = text.partition(" ")
    fields = rest.rpartition(")")[2].split()
    if len(fields) < 20:
        raise ValueError(f"{text!r} is no line of /proc/<pid>/stat")
    return Stat(int(pid), int(fields[1]), sum(map(int, fields[11:15])), int(fields[19]))


def parse_pss(text: str) -> int:
    """Return the proportional set size in bytes from the text of ``/proc/<pid>/smaps_rollup``.

    Memory that several processes share counts in each of them by its share, so that a sum counts it once.

    :raises ValueError: if it does not say.
    """
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * 1024
    raise ValueError("there is no line Pss in this smaps_rollup")


def family(root: int, everyone: Iterable[Stat]) -> list[Stat]:
    """Return ``root`` and all that descend from it."""
    children: dict[int, list[Stat]] = {}
    found: list[Stat] = []
    for stat in everyone:
        children.setdefault(stat.parent, []).append(stat)
        if stat.pid == root:
            found.append(stat)
    for stat in found:
        found.extend(children.get(stat.pid, ()))
    return found


def processes() -> list[Stat]:
    """Return all processes of this machine; one that ends meanwhile may be missing."""
    texts = (_read(folder / "stat") for folder in PROC.iterdir() if folder.name.isdigit())
    return [parse_stat(text) for text in texts if text]


def cpu_seconds(root: int) -> float:
    """Return the CPU seconds, user and system, that a process and its children have used so far.

    Children that have ended are counted in the parent that waited for them.
    """
    return sum(stat.ticks for stat in family(root, processes())) / TICKS_PER_SECOND


def memory(root: int) -> int:
    """Return the bytes that a process and its children occupy now."""
    texts = (_read(PROC / str(stat.pid) / "smaps_rollup") for stat in family(root, processes()))
    return sum(parse_pss(text) for text in texts if text)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


class PeakMemory:
    """Samples a process tree's memory in a thread of its own, from ``with`` to its end; ``peak`` in bytes."""

    def __init__(self, root: int, every: float) -> None:
        """:param every: seconds between two samples."""
        self.peak = 0
        self._root = root
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak = max(self.peak, memory(self._root))
            if self._done.wait(self._every):
                return


def machine(cpuinfo: str, cores: int, kernel: str) -> Mapping[str, str]:
    """Return how the report names this machine.

    :param cpuinfo: the text of ``/proc/cpuinfo``.
    :param kernel: the release of the kernel. Only its version is kept: the rest names a builder, not a speed.
    """
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    version = re.match(r"[0-9]+(\.[0-9]+)*", kernel)
    return {
        "cpu": names[0] if names else "unknown CPU",
        "cores": str(cores),
        "kernel": version[0] if version else "unknown",
    }
