"""Programs that are started for a measurement and are gone after it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from bench.errors import BenchError
from bench.procfs import Stat, family, processes
from reactorhub.redis.embedded import tied_to_parent

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # no program compiles its modules again for each run, as for a user
START_WITHIN = 30.0  # seconds
STOP_WITHIN = 15.0
LOOK_AGAIN = 0.05

T = TypeVar("T")


class Program:
    """A program with its children, from ``with`` to its end. With util-linux it also ends with its parent."""

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        """:param folder: where it runs; what it says on stderr goes to a file there."""
        self.folder = folder
        self._command = list(command)
        inherited = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
        self._env = {**inherited, "HOME": str(folder), **(env or {})}
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process, while there is one."""
        assert self._process is not None, "the program is used within its with statement only"
        return self._process

    @property
    def said(self) -> Path:
        """The file that its stderr goes to."""
        return self.folder / f"{type(self).__name__.lower()}.err"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.said.open("ab") as said:
            self._process = subprocess.Popen(
                tied_to_parent(self._command),
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        try:
            self.ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ready(self) -> None:
        """Return once the program can be used; to be overridden."""

    def wait_for(self, look: Callable[[], T | None]) -> T:
        """Look again and again until there is something to see.

        :raises BenchError: if the program ends before, or half a minute is over.
        """
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline and self.process.poll() is None:
            found = look()
            if found is not None:
                return found
            time.sleep(LOOK_AGAIN)
        raise BenchError(f"{self._command[0]} did not start. It said:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what it said on stderr."""
        return self.said.read_text(errors="replace")[-2000:]

    def end(self) -> None:
        """End the program, and whatever of its children is still there."""
        relatives = family(self.process.pid, processes())
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _kill(relatives[1:])


def _kill(relatives: Sequence[Stat]) -> None:
    """Kill those that are still the processes they were."""
    alive = {(stat.pid, stat.born) for stat in processes()}
    for stat in relatives:
        if (stat.pid, stat.born) in alive:
            os.kill(stat.pid, signal.SIGKILL)


def installed(name: str) -> str:
    """Return the path of a program of this Python environment.

    :raises BenchError: if it is not installed.
    """
    path = Path(sys.prefix) / "bin" / name
    if not path.exists():
        raise BenchError(
            f"{name} is not installed in {sys.prefix}; `make bench` installs it from bench/requirements.lock"
        )
    return str(path)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
