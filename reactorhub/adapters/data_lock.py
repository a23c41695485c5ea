"""The lock that keeps a second hub out of the data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from reactorhub.errors import StartError


class DataLock:
    """An exclusive lock on ``<data folder>/lock``, which holds the pid of the hub that has it.

    The lock is the kernel's (flock) and vanishes with the process, however it dies; the file stays. Take it
    after the daemon's fork: a parent that ends must not be the one that holds it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._held: int | None = None

    def acquire(self) -> None:
        """Create the data folder for this user alone if it is absent, and lock it.

        :raises StartError: if another hub has it, or the folder cannot be used.
        """
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._lock(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise StartError(
                f"the data folder {self._data_dir} cannot be used ({error.strerror}):"
                " mend that, or choose another folder with --data-dir"
            ) from error
        self._held = descriptor

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise StartError(
                f"the data folder {self._data_dir} is in use by another hub (pid {holder}):"
                " stop that hub, or choose another folder with --data-dir"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the folder. Does nothing if the lock is not held."""
        if self._held is not None:
            fcntl.flock(self._held, fcntl.LOCK_UN)  # closing is not enough while a child is being started
            os.close(self._held)
            self._held = None
