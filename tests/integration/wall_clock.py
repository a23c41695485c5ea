"""A wall clock of a process's own, which its test sets at will while the process runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

LIBRARY = "REACTORHUB_TEST_FAKETIME"
"""Names the variable with the path of a libfaketime.so.1, for machines that the wheel has none for."""


class WallClock:
    """Shows the true time, and as much more or less as it was set to. The monotonic clock stays as it is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock.txt"
        self.ahead = timedelta()
        self.set(self.ahead)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables under which a process reads this clock."""
        return {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else who waits for Python's GIL spins
            "NO_FAKE_STAT": "1",  # a real step does not touch the times of files either
        }

    def now(self) -> datetime:
        """What the clock shows."""
        return datetime.now(UTC) + self.ahead

    def set(self, ahead: timedelta) -> None:
        """Let the clock be ahead of the true time by so much, at once."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{ahead.total_seconds():+.0f}\n")
        draft.replace(self._file)
        self.ahead = ahead

    def step(self, by: timedelta) -> None:
        """Put the clock forward or, with a negative span, back."""
        self.set(self.ahead + by)


def _library() -> str:
    if named := os.environ.get(LIBRARY):
        return named
    package = find_spec("libfaketime")
    assert package is not None and package.origin is not None, "install the extra `test`: it has libfaketime"
    library = Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    assert library.is_file(), f"libfaketime has no library for this machine: name one in ${LIBRARY}"
    return str(library)
