"""Starts hubs and commands as forks of a process that has imported what they need.

A hub spends most of the processor time of its start on imports, and the tests start a hundred hubs. So a
worker starts this module once as a process, and asks it for one fork after the other: :class:`WarmStarter`.
A fork has the folder, the environment, the files and the arguments of a process that starts from scratch. It
begins with the first line of the program, and installs its reactor itself. Tests of the start have no fork.

A shell has forks too: :meth:`WarmStarter.commands` writes small commands that ask for one in their place.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NoReturn

from tests.support.warm_command import order

IMPORTED = (
    "twisted.internet.asyncioreactor",
    "twisted.scripts.twistd",
    "twisted.scripts._twistd_unix",
    "twisted.web.server",
    "werkzeug.routing",
    "reactorhub.config.reading",
    "reactorhub.daemon.tap",
    "reactorhub.engine.router",
    "reactorhub.engine.scrapy.engine",
    "reactorhub.hub.hub",
    "reactorhub.notifications.notifier",
    "reactorhub.storage.retention",
    "reactorhub.storage.sqlite.ledger",
    "scrapy.cmdline",
)
"""What a hub imports at its start anyway. Nothing here imports the reactor."""

PROGRAMS = {
    "twistd": ("twisted.scripts.twistd", "run"),
    "reactorhub": ("reactorhub.cli", "main"),
    "scrapy": ("scrapy.cmdline", "execute"),
}
"""The module and the function of each program, by the name of its file."""

PATIENCE = 120.0
"""Seconds until a program has to end."""

_PR_SET_PDEATHSIG = 1


class WarmProcess:
    """A fork, with those methods of :class:`subprocess.Popen` that the tests use."""

    def __init__(self, status: socket.socket) -> None:
        self._status = status
        self._said = b""
        self.pid = int(self._read_line())
        self.returncode: int | None = None

    def _read_line(self) -> bytes:
        while b"\n" not in self._said:
            received = self._status.recv(100)
            if not received:
                raise AssertionError("the starter of hubs has ended")
            self._said += received
        line, _, self._said = self._said.partition(b"\n")
        return line

    def poll(self) -> int | None:
        """Return the exit status if the process has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit status, negative if a signal ended the process.

        :raises subprocess.TimeoutExpired: if the process still runs after ``timeout`` seconds.
        """
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                self.returncode = int(self._read_line())
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("twistd", timeout or 0) from None
            self._status.close()
        return self.returncode

    def kill(self) -> None:
        """Kill the process, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends in this moment
                os.kill(self.pid, signal.SIGKILL)


class WarmStarter:
    """The worker's side: one process that forks, started at the first use, and ended with this one."""

    def __init__(self) -> None:
        self._orders: socket.socket | None = None

    @property
    def orders(self) -> socket.socket:
        """Where orders for forks are sent; nobody but the starter reads them."""
        if self._orders is None:
            self._orders = _begin()
        return self._orders

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: IO[bytes],
        errors: IO[bytes],
    ) -> WarmProcess:
        """Start a program in a fork: ``twistd``, or the command ``reactorhub``, by the name of its file."""
        with Path(os.devnull).open("rb") as nothing:
            fds = [file.fileno() for file in (nothing, output, errors)]
            return WarmProcess(order(self.orders, arguments, str(folder), environment, fds))

    def commands(self, folder: Path) -> Path:
        """Write commands into a folder that start the programs in forks; return the folder, for PATH.

        Whoever runs them must inherit :attr:`orders`.
        """
        folder.mkdir()
        for program in PROGRAMS:
            command = folder / program
            command.write_text(
                f"#!{sys.executable} -ISB\n"
                f"import runpy\n"
                f"begin = runpy.run_path({str(Path(__file__).with_name('warm_command.py'))!r})['begin']\n"
                f"begin({self.orders.fileno()}, {str(Path(sys.executable).with_name(program))!r})\n"
            )
            command.chmod(0o755)
        return folder

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Start a program in a fork, wait for its end, and return its status and what it wrote."""
        with TemporaryFile() as output, TemporaryFile() as errors:
            status = self.start(arguments, folder, environment, output, errors).wait(PATIENCE)
            said = []
            for file in (output, errors):
                file.seek(0)
                said.append(file.read().decode())
        return subprocess.CompletedProcess(arguments, status, *said)


WARM = WarmStarter()
"""The one of this worker."""


def _begin() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        # The socket is the starter's stdin: when this process ends, however it does, the starter ends too.
        subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs, cwd=Path(__file__).parents[2])
    return ours


# -- the side of the process that forks


def prepare() -> None:
    """Import what a hub needs.

    :raises AssertionError: if that has installed a reactor, or started a thread, which no fork would have.
    """
    for name in IMPORTED:
        import_module(name)
    from reactorhub.engine.scrapy.process import import_components

    import_components()
    assert "twisted.internet.reactor" not in sys.modules, "something of IMPORTED has installed a reactor"
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()


def serve(orders: socket.socket) -> None:
    """Fork for each order, until the other side is gone. Each hub has a parent that reports its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the parents are not waited for
    while True:
        message, fds, _, _ = socket.recv_fds(orders, 1 << 20, 4)
        if not message:
            return
        if os.fork() == 0:
            _end_with_parent()
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _supervise(json.loads(message), *fds)
        for fd in fds:
            os.close(fd)


def _supervise(order: dict[str, object], status: int, *files: int) -> None:
    """Fork once more: return in the hub's process; report its end, and end, in its parent."""
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        os.write(status, f"{pid}\n".encode())
        _, ended = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
        os._exit(0)
    _end_with_parent()
    os.close(status)
    _become(order, files)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _become(order: dict[str, object], files: Sequence[int]) -> NoReturn:
    """Run the program as a new process would; ends the process as the interpreter does."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(order["environment"])  # type: ignore[call-overload]
    os.chdir(str(order["folder"]))
    sys.argv[:] = order["arguments"]  # type: ignore[call-overload]
    sys.modules["__main__"].__package__ = None  # as in a script: click looks here for the command's name
    sys.path[0] = str(Path(sys.argv[0]).parent)
    module, function = PROGRAMS[Path(sys.argv[0]).name]
    sys.exit(getattr(import_module(module), function)())


if __name__ == "__main__":
    prepare()
    serve(socket.socket(fileno=os.dup(0)))
