"""The lock on the data folder."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reactorhub.errors import StartError
from reactorhub.storage import lock as data_lock
from reactorhub.storage.lock import DataLock

HOLDER = """
import sys, time
from pathlib import Path
from reactorhub.storage.lock import DataLock
DataLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def another_hub(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder until it is killed."""
    command = [sys.executable, "-c", HOLDER, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_creates_the_folder_for_one_user(tmp_path: Path) -> None:
    """An absent folder, and those above it, are made; others may not look inside; the file tells the pid."""
    data_dir = tmp_path / "deep" / "var"
    lock = DataLock(data_dir)
    lock.acquire()
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert (data_dir / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_second_hub_is_refused(tmp_path: Path) -> None:
    """While another process holds the folder it cannot be had, and the message names folder and pid."""
    with another_hub(tmp_path) as holder, pytest.raises(StartError) as caught:
        DataLock(tmp_path).acquire()
    assert f"the data folder {tmp_path} is in use by another hub (pid {holder.pid})" in str(caught.value)


def test_a_killed_hub_holds_nothing(tmp_path: Path) -> None:
    """The lock vanishes with its process, though that was killed, and the next one writes its own pid."""
    with another_hub(tmp_path) as holder:
        holder.kill()
        holder.wait()
        lock = DataLock(tmp_path)
        lock.acquire()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_release(tmp_path: Path) -> None:
    """A released folder can be had again; releasing twice does nothing."""
    first, second = DataLock(tmp_path), DataLock(tmp_path)
    first.acquire()
    with pytest.raises(StartError):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


@pytest.mark.parametrize("close_fds", [True, False])
def test_children_do_not_hold_it(tmp_path: Path, close_fds: bool) -> None:
    """A program that the hub has started does not keep the folder locked once the hub has let go."""
    lock = DataLock(tmp_path)
    lock.acquire()
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, close_fds=close_fds) as child:
        try:
            lock.release()
            lock.acquire()
            assert child.poll() is None
        finally:
            lock.release()
            child.kill()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("file", "{0}/file is a file"),
        ("file/var", "{0}/file/var cannot be made, {0}/file is a file"),
        ("dangling", "{0}/dangling is not a folder"),
    ],
)
def test_a_file_in_the_place_of_the_folder(tmp_path: Path, place: str, why: str) -> None:
    """What takes the folder's place is named, with what to do, to the hub that wants it."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(StartError) as caught:
        DataLock(tmp_path / place).acquire()
    advice = "move it away, or choose another folder with --data-dir"
    assert str(caught.value) == f"the data folder {why.format(tmp_path)}: {advice}"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("place", ["file", "file/var"])
def test_who_asks_for_the_holder_of_a_file(tmp_path: Path, place: str) -> None:
    """Who asks from outside, as ``reactorhub why`` does, reads that the folder is a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"the data folder .*file is a file: .*--data-dir"):
        DataLock(tmp_path / place).holder()


def test_unusable_folder(tmp_path: Path) -> None:
    """A lock file that cannot be opened is refused with a sentence that names folder and reason."""
    (tmp_path / "lock").mkdir()
    with pytest.raises(StartError, match=r"the data folder .* cannot be used \(Is a directory\).*--data-dir"):
        DataLock(tmp_path).acquire()


def test_a_refusal_leaks_nothing(tmp_path: Path) -> None:
    """An attempt that is refused leaves no open file behind: the next file opened gets the same number."""
    holder = DataLock(tmp_path)
    holder.acquire()
    with pytest.raises(StartError):
        DataLock(tmp_path).acquire()
    with (tmp_path / "lock").open() as before:
        number = before.fileno()
    with pytest.raises(StartError):
        DataLock(tmp_path).acquire()
    with (tmp_path / "lock").open() as after:
        assert after.fileno() == number
    holder.release()


def test_the_holder_is_told(tmp_path: Path) -> None:
    """Who asks from outside is told the pid of the hub that has the folder, and None once it is gone."""
    assert DataLock(tmp_path / "absent").holder() is None
    with another_hub(tmp_path) as holder:
        assert DataLock(tmp_path).holder() == str(holder.pid)
        before = (tmp_path / "lock").stat()
        assert DataLock(tmp_path).holder() == str(holder.pid)
        assert (tmp_path / "lock").stat() == before
    assert DataLock(tmp_path).holder() is None
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def test_a_folder_that_may_not_be_seen_is_said(tmp_path: Path) -> None:
    """What hinders the question is told, with what to do."""
    (tmp_path / "lock").symlink_to("lock")
    with pytest.raises(
        StartError, match=r"cannot be read .*: run this command as the user that the hub runs as"
    ):
        DataLock(tmp_path).holder()


def test_who_asks_keeps_no_hub_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that meets a question waits for a moment, and takes the lock then."""
    first = DataLock(tmp_path)
    first.acquire()
    first.release()
    asking = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr(data_lock.time, "sleep", lambda _: os.close(asking))
    hub = DataLock(tmp_path)
    hub.acquire()
    assert DataLock(tmp_path).holder() == str(os.getpid())
    hub.release()


def test_a_forked_child_lets_go(tmp_path: Path) -> None:
    """A child that forgets the lock does not unlock it; once the parent's is gone the folder is free."""
    lock = DataLock(tmp_path)
    lock.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        lock.forget()
        os.write(writing, b"x")
        signal.pause()
        os._exit(0)
    try:
        os.read(reading, 1)
        with pytest.raises(StartError):
            DataLock(tmp_path).acquire()
        lock.release()
        other = DataLock(tmp_path)
        other.acquire()
        other.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
