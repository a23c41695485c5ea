"""Measures how long a process takes, without what a busy machine lets it wait for a processor.

The kernel counts, for each thread, the time in which it was ready to run and had no processor. A limit in
seconds means what a program needs. On a machine with other things to do the wall clock shows more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SELF = "self"
NANOSECONDS = 1e9  # in a second


def waited(process: int | str = SELF) -> float:
    """Return for how many seconds the first thread of a process has waited for a processor, all its life.

    :raises OSError: if the process is not there.
    """
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / NANOSECONDS


class Stopwatch:
    """Seconds since it was made, less those that this process or one of ``others`` waited for a processor.

    :param others: process ids. Of one that ends, the waiting up to the last look is known.
    """

    def __init__(self, *others: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self._before: dict[int | str, float] = {}
        self._now: dict[int | str, float] = {}
        for each in (SELF, *others):
            self.add(each)

    def add(self, process: int | str) -> None:
        """Leave out what one more process waits from now on."""
        with suppress(OSError):
            if process not in self._before:
                self._before[process] = self._now[process] = waited(process)

    def _waited(self) -> float:
        for each in self._now:
            with suppress(OSError):
                self._now[each] = waited(each)
        return sum(self._now.values()) - sum(self._before.values())

    @property
    def seconds(self) -> float:
        """How many seconds there have been, so far."""
        return max(0.0, self._clock() - self._begin - self._waited())
