"""The folder of the embedded Redis: its lock, its socket, its log, and data of older hubs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from reactorhub.storage.lock import try_lock

MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 107 on Linux and 103 on macOS
MAX_LOG_SIZE = 1_000_000  # bytes; a longer log is set aside at the next start
LOG = "redis.log"


def socket_path(folder: Path) -> Path:
    """Return a new path for a socket in ``folder``. Nothing is created.

    If that path would be too long, it is in a new private folder below the system's temporary folder.
    """
    name = uuid4().hex[:12]
    path = folder / f"{name}.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    return Path(tempfile.gettempdir()) / f"reactorhub-{name}" / "redis.sock"


@dataclass(frozen=True, slots=True)
class ServerNote:
    """What the lock file says of the server that has inherited the lock."""

    pid: str
    socket: str


class FolderLock:
    """An exclusive lock on a server's folder. The server inherits it, and holds it as long as it lives.

    Close it once the server has been started: the hub itself does not hold it.

    :raises OSError: if the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self) -> bool:
        """Take the lock. Return whether that worked; if not, another server lives."""
        return try_lock(self.descriptor)

    def note(self, pid: int | None, socket: Path) -> None:
        """Write down which server inherits the lock."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{pid}\n{socket}\n".encode(), 0)

    def holder(self) -> ServerNote:
        """Return what is written down. Both fields are empty if nothing is."""
        pid, _, rest = os.pread(self.descriptor, 1000, 0).decode("utf-8", "replace").partition("\n")
        return ServerNote(pid, rest.partition("\n")[0])

    def close(self) -> None:
        """Leave the lock to those that have inherited it."""
        os.close(self.descriptor)


def tidy(folder: Path) -> None:
    """Remove the sockets of dead servers, set a long log aside, and adopt the data of an older hub."""
    for stale in folder.glob("*.sock"):
        stale.unlink(missing_ok=True)
    log = folder / LOG
    if log.exists() and log.stat().st_size > MAX_LOG_SIZE:
        log.replace(folder / f"{LOG}.1")
    _adopt_snapshot(folder)


def _adopt_snapshot(folder: Path) -> None:
    """Make the snapshot of an older hub the base of the append-only file: the server would ignore it.

    The list of files is written last, so that a crash in between loses nothing.
    """
    snapshot, place = folder / "dump.rdb", folder / "appendonlydir"
    manifest, base = place / "appendonly.aof.manifest", place / "appendonly.aof.1.base.rdb"
    if manifest.exists() or not (snapshot.exists() or base.exists()):
        return
    place.mkdir(exist_ok=True, mode=0o700)
    if snapshot.exists():
        snapshot.replace(base)
    draft = manifest.with_suffix(".new")
    draft.write_text(f"file {base.name} seq 1 type b\n")
    draft.replace(manifest)


@contextmanager
def output_to(log: Path) -> Iterator[tuple[int, int]]:
    with Path(os.devnull).open("rb") as nothing, log.open("ab") as output:
        yield nothing.fileno(), output.fileno()
