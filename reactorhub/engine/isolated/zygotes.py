"""The hub's side of a zygote: starts it, sends it orders, hears what becomes of its children."""

# mypy: allow-untyped-calls
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.fdesc import readFromFD
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as Connection
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from reactorhub.engine.isolated.strays import kill_strays

CHILD = Path(__file__).parent / "child"
_ANSWER_WITHIN = 20.0  # seconds in which a zygote has to answer an order, and to start
_MAX_LINE = 1 << 24  # bytes of one report
_END_WITHIN = 2.0  # seconds in which a zygote that was told to stop has to kill its children and end
_LOOK_AGAIN = 0.05  # seconds between looks at whether a killed zygote is gone


class Job(Protocol):
    """What a process was forked for, as far as its zygote has something to say."""

    def forked(self, pid: int) -> None:
        """The process lives."""

    def reported(self, report: Mapping[str, Any]) -> None:
        """The process has sent a report."""

    def garbled(self) -> None:
        """The process has sent what is not a report."""

    def hung_up(self) -> None:
        """The process will send no more reports."""

    def over_memory(self, used: int) -> None:
        """The process uses more than its limit: this many bytes. If it is far more, it is killed already."""

    def exited(self, status: int) -> None:
        """The process is dead: by itself with this status, or by this signal as a negative number."""

    def lost(self, reason: str) -> None:
        """Nothing more will be heard of the process; if it lived, it is killed."""


class Line:
    """The hub's end of the connection with one process."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def send(self, order: Mapping[str, Any]) -> None:
        """Send an order; one that has hung up does not hear it."""
        self._transport.write(json.dumps(order).encode() + b"\n")

    def close(self) -> None:
        """Hang up."""
        self._transport.abortConnection()


class Zygote:
    """One process of a Python from which others are forked. Once it is gone, it stays gone."""

    log = Logger()

    def __init__(self, reactor: Any, python: str, ended: Callable[[Zygote], object]) -> None:
        """Start it.

        :param ended: called once when it is gone.
        :raises OSError: if this Python cannot be started.
        """
        self._reactor = reactor
        self._python = python
        self._when_ended = ended
        self._jobs: dict[str, Job] = {}
        self._unanswered: dict[str, Any] = {}
        self._handed_over: dict[str, socket.socket] = {}
        self._gone: Deferred[None] = Deferred()
        self._reason: str | None = None
        self.ready = False
        self.versions: Mapping[str, str] = {}
        ours, theirs = socket.socketpair()
        try:
            self._process = self._start(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = _adopted(reactor, ours, _ControlLines(self))
        self._impatience = reactor.callLater(_ANSWER_WITHIN, self.kill, "it did not start in time")

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self._python, str(CHILD), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(self._python),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        assert process.stderr is not None
        stderr = os.dup(process.stderr.fileno())
        process.stderr.close()
        self._complaints = _Complaints(self._reactor, stderr, self._python)
        return process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def jobs(self) -> int:
        """For how many processes it is responsible."""
        return len(self._jobs)

    @property
    def gone(self) -> bool:
        """Whether it takes no more orders."""
        return self._reason is not None

    def fork(self, key: str, job: Job, order: Mapping[str, Any], memory_limit: int | None = None) -> Line:
        """Have a process forked that obeys ``order``; ``job`` hears of it."""
        ours, theirs = socket.socketpair()
        line = Line(_adopted(self._reactor, ours, _JobLines(job)))
        self._jobs[key] = job
        self._handed_over[key] = theirs
        self._control.sendFileDescriptor(theirs.fileno())
        self._send({"fork": key, "memory_limit": memory_limit})
        line.send(order)
        if self.ready:
            self._expect_answer(key)
        return line

    def reap(self, key: str) -> None:
        """Let go of a process that is dead, or is to die."""
        if self._jobs.pop(key, None) is not None and not self.gone:
            self._send({"reap": key})

    def stop(self) -> Deferred[None]:
        """End it and all that it has forked; fires when it is gone."""
        impatience = self._reactor.callLater(_END_WITHIN, self._process.kill)
        self._lost("the hub has stopped")
        return self._gone.addCallback(_cancelled, impatience)

    def kill(self, reason: str) -> None:
        """End it at once; its children die with it."""
        if self._process.poll() is None:
            self._process.kill()
        self._lost(reason)

    def _send(self, message: Mapping[str, Any]) -> None:
        self._control.write(json.dumps(message).encode() + b"\n")

    def _expect_answer(self, key: str) -> None:
        reason = f"it did not answer within {_ANSWER_WITHIN:g} seconds"
        self._unanswered[key] = self._reactor.callLater(_ANSWER_WITHIN, self.kill, reason)

    def _heard(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self._is_ready(message["ready"])
            return
        kind, key = next(iter(message.items()))
        job = self._jobs.get(key)
        if kind in ("forked", "failed"):
            self._answered(key)
        if job is None:
            return
        if kind == "forked":
            job.forked(message["pid"])
        elif kind == "failed":
            del self._jobs[key]
            job.lost(message["error"])
        elif kind == "over":
            job.over_memory(message["used"])
        elif kind == "exited":
            job.exited(message["status"])

    def _is_ready(self, versions: Mapping[str, str]) -> None:
        self.ready, self.versions = True, versions
        self._impatience.cancel()
        for key in self._jobs:
            self._expect_answer(key)
        self.log.info("{python} forks runs: Scrapy {scrapy}", python=self._python, scrapy=versions["scrapy"])

    def _answered(self, key: str) -> None:
        self._handed_over.pop(key).close()
        call = self._unanswered.pop(key, None)
        if call is not None:
            call.cancel()

    def _lost(self, reason: str) -> None:
        """Tell all jobs, once, that the zygote is gone."""
        if self.gone:
            return
        self._reason = reason
        for call in (self._impatience, *self._unanswered.values()):
            if call.active():
                call.cancel()
        for handed_over in self._handed_over.values():
            handed_over.close()
        self._control.abortConnection()
        self._wait_for_end()
        self._when_ended(self)  # before the jobs are told: whoever follows them needs another one
        jobs, self._jobs = self._jobs, {}
        if jobs:
            self._reactor.callInThread(kill_strays, tuple(jobs))
        for job in jobs.values():
            job.lost(f"the process it was forked from is gone: {self._reason}")

    def _hung_up(self, looks: int = 10) -> None:
        """Say how it ended. After it has hung up it may take a moment to be dead."""
        if self.gone:
            return
        status = self._process.poll()
        if status is None and looks:
            self._reactor.callLater(_LOOK_AGAIN, self._hung_up, looks - 1)
            return
        last = self._complaints.last()
        how = "it hung up" if status is None else how_ended(status)
        self.kill(f"{how} ({last})" if last else how)

    def _wait_for_end(self) -> None:
        if self._process.poll() is None:
            self._reactor.callLater(_LOOK_AGAIN, self._wait_for_end)
        else:
            self._complaints.close()
            self._gone.callback(None)


def _cancelled(result: None, call: Any) -> None:
    if call.active():
        call.cancel()
    return result


def how_ended(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"it ended with exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _environment(python: str) -> dict[str, str]:
    """Return the hub's environment, as activating the virtual environment of ``python`` changes it."""
    environment = {**os.environ}
    home = Path(python).parent.parent
    if (home / "pyvenv.cfg").exists():
        environment["VIRTUAL_ENV"] = str(home)
        environment["PATH"] = os.pathsep.join([str(home / "bin"), environment.get("PATH", os.defpath)])
        environment.pop("PYTHONHOME", None)
    return environment


def _adopted(reactor: Any, ours: socket.socket, protocol: Connection) -> Any:
    """Let the reactor look after a connected socket."""
    ours.setblocking(False)
    try:
        return reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _Single(protocol))
    finally:
        ours.close()


class _Single(Factory):
    noisy = False

    def __init__(self, protocol: Connection) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Connection:
        return self._protocol


class _Lines(LineOnlyReceiver):
    """Lines of JSON objects."""

    delimiter = b"\n"
    MAX_LENGTH = _MAX_LINE

    def lineReceived(self, line: bytes) -> None:
        try:
            message = json.loads(line, object_hook=_read_moment)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict) and message:
            self.message(message)
        else:
            self.garbage()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.garbage()

    def message(self, message: Mapping[str, Any]) -> None:
        """One of them has come."""

    def garbage(self) -> None:
        """Something else has come."""


class _ControlLines(_Lines):
    """What a zygote says."""

    def __init__(self, zygote: Zygote) -> None:
        self._zygote = zygote

    def message(self, message: Mapping[str, Any]) -> None:
        self._zygote._heard(message)

    def garbage(self) -> None:
        self._zygote.kill("it sent what the hub cannot read")

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._zygote._hung_up()


class _JobLines(_Lines):
    """What a process says."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def message(self, message: Mapping[str, Any]) -> None:
        self._job.reported(message)

    def garbage(self) -> None:
        self._job.garbled()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._job.hung_up()


class _Complaints(FileDescriptor):
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


def _read_moment(value: dict[str, Any]) -> Any:
    if value.keys() == {"$moment"}:
        return datetime.fromisoformat(value["$moment"])
    return value
