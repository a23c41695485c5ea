"""What a zygote complains of on its stderr."""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.fdesc import readFromFD
from twisted.logger import Logger
from twisted.python.failure import Failure


class Complaints(FileDescriptor):
    """Passes what a zygote writes to its stderr on to the hub's log."""

    log = Logger()

    def __init__(self, reactor: Any, fd: int, python: str) -> None:
        super().__init__(reactor)
        os.set_blocking(fd, False)
        self._fd = fd
        self._python = python
        self._last = ""
        self.startReading()

    def last(self) -> str:
        """Return the last line, of all that has been written by now."""
        if self._fd >= 0:
            self.doRead()
        return self._last

    def fileno(self) -> int:
        return self._fd

    def doRead(self) -> Any:
        return readFromFD(self._fd, self._said)

    def _said(self, data: bytes) -> None:
        for line in data.decode("utf-8", "replace").splitlines():
            self._last = line.strip() or self._last
            self.log.warn("{python}: {line}", python=self._python, line=line)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.close()

    def close(self) -> None:
        """Read no more."""
        if self._fd >= 0:
            self.stopReading()
            os.close(self._fd)
            self._fd = -1
