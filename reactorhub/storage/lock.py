"""The lock that keeps a second hub out of the data folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from reactorhub.errors import StartError
from reactorhub.storage.layout import LOCK

_ATTEMPTS = 3  # a command that asks for the holder shares the lock for an instant; a hub must outlast that
_BETWEEN = 0.02  # seconds between two attempts: longer than holder() takes


class DataLock:
    """An exclusive lock on ``<data folder>/lock``. The file contains the pid of the hub that holds the lock.

    The lock belongs to the kernel (flock) and ends with the process, however the process dies. The file
    stays. Call :meth:`acquire` after the daemon's fork, so that the child holds the lock and not the parent.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._held: int | None = None

    def acquire(self) -> None:
        """Lock the data folder. Create it first, for this user alone, if it does not exist.

        :raises StartError: if another hub holds the lock, or the folder cannot be used, for example a file.
        """
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._lock(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except (FileExistsError, NotADirectoryError) as error:
            raise _not_a_folder(self._data_dir) from error
        except OSError as error:
            raise StartError(
                f"the data folder {self._data_dir} cannot be used ({error.strerror}):"
                " fix that, or choose another folder with --data-dir"
            ) from error
        self._held = descriptor

    def _lock(self, descriptor: int) -> None:
        try:
            _lock_patiently(descriptor)
        except BlockingIOError as error:
            raise StartError(
                f"the data folder {self._data_dir} is in use by another hub (pid {_pid_in(descriptor)}):"
                " stop that hub, or choose another folder with --data-dir"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def holder(self) -> str | None:
        """Return the pid, as text, of the hub that holds the lock; None if no hub holds it.

        Nothing is created. This call shares the lock for an instant. A hub that starts in that instant tries
        again.

        :raises StartError: if the folder cannot be looked at, or is a file.
        """
        try:
            descriptor = os.open(self._data_dir / LOCK, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise _not_a_folder(self._data_dir) from error
        except OSError as error:
            raise StartError(
                f"the data folder {self._data_dir} cannot be read ({error.strerror}):"
                " run this command as the user that the hub runs as"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _pid_in(descriptor)
        finally:
            os.close(descriptor)
        return None

    def forget(self) -> None:
        """Let go of the lock in a forked child. Whoever forked it still holds the lock."""
        if self._held is not None:
            os.close(self._held)  # not LOCK_UN, which would unlock it for the parent, too
            self._held = None

    def release(self) -> None:
        """Release the lock. Does nothing if the lock is not held."""
        if self._held is not None:
            fcntl.flock(self._held, fcntl.LOCK_UN)  # closing is not enough while a child is being started
            os.close(self._held)
            self._held = None


def try_lock(descriptor: int) -> bool:
    """Lock an open file exclusively. Return whether that worked: False means that somebody else holds it.

    Whoever inherits the descriptor holds the lock, too.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_patiently(descriptor: int) -> None:
    """Take the lock. Try again while a call of :meth:`DataLock.holder` shares it."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _not_a_folder(data_dir: Path) -> StartError:
    """Return the error for a data folder whose place, or a parent's place, is taken by something else."""
    place = next((each for each in (data_dir, *data_dir.parents) if os.path.lexists(each)), data_dir)
    kind = "a file" if place.is_file() else "not a folder"
    taken = f"{place} is {kind}" if place == data_dir else f"{data_dir} cannot be made, {place} is {kind}"
    return StartError(f"the data folder {taken}: move it away, or choose another folder with --data-dir")


def _pid_in(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
