"""The hub's side of a zygote: starts it, sends it orders, hears what becomes of its children."""

# mypy: allow-untyped-calls
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.engine.isolated.complaints import Complaints
from reactorhub.engine.isolated.connections import Job, JobLines, Line, Lines, adopted
from reactorhub.engine.isolated.strays import DATA_MARK, ZYGOTE_MARK, kill_strays

CHILD = Path(__file__).parent / "child"
_ANSWER_WITHIN = 20.0  # seconds in which a zygote has to answer an order, and to start
_END_WITHIN = 2.0  # seconds in which a zygote that was told to stop has to kill its children and end
_IDLE = 300.0  # seconds without a job, after which a zygote ends; the next job gets a new one
_LOOK_AGAIN = 0.05  # seconds between looks at whether a killed zygote is gone


class Zygote:
    """One process of a Python from which others are forked. Once it is gone, it stays gone."""

    log = Logger()

    def __init__(
        self, reactor: Any, python: str, ended: Callable[[Zygote], object], data_dir: str = ""
    ) -> None:
        """Start it.

        :param ended: called once when it takes no more orders.
        :param data_dir: the hub's data folder, by which the next hub would know what this one has left.
        :raises OSError: if this Python cannot be started.
        """
        self._reactor = reactor
        self._python = python
        self._when_ended = ended
        self._marks = {ZYGOTE_MARK: uuid4().hex, DATA_MARK: data_dir}
        self._jobs: dict[str, Job] = {}
        self._unanswered: dict[str, Any] = {}
        self._handed_over: dict[str, socket.socket] = {}
        self._gone: Deferred[None] = Deferred()
        self._reason: str | None = None
        self._has_forked = False
        self._idle: Any = None
        self.retired = False
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
        self._control = adopted(reactor, ours, _ControlLines(self))
        self._impatience = reactor.callLater(_ANSWER_WITHIN, self.kill, "it did not start in time")

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self._python, str(CHILD), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**_environment(self._python), **self._marks},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        assert process.stderr is not None
        stderr = os.dup(process.stderr.fileno())
        process.stderr.close()
        self._complaints = Complaints(self._reactor, stderr, self._python)
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
        line = Line(adopted(self._reactor, ours, JobLines(job)))
        self._jobs[key] = job
        self._has_forked = True
        self._rest(False)
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
            self._rest(not self._jobs)

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

    def _rest(self, idle: bool) -> None:
        """Begin to count the time without a job, or end that."""
        _cancel(self._idle)
        self._idle = self._reactor.callLater(_IDLE, self._retire) if idle else None

    def _retire(self) -> None:
        self.log.info("{python} has forked nothing for {idle:g} s and ends", python=self._python, idle=_IDLE)
        self.retired = True
        self.stop()

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
            self._rest(not self._jobs)
            job.lost(message["error"])
        elif kind == "over":
            job.over_memory(message["used"])
        elif kind == "exited":
            job.exited(message["status"])

    def _is_ready(self, versions: Mapping[str, str]) -> None:
        self.ready, self.versions = True, versions
        self._impatience.cancel()
        self._rest(not self._jobs)
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
        for call in (self._impatience, self._idle, *self._unanswered.values()):
            _cancel(call)
        for handed_over in self._handed_over.values():
            handed_over.close()
        self._control.abortConnection()
        self._wait_for_end()
        self._when_ended(self)  # before the jobs are told: whoever follows them needs another one
        jobs, self._jobs = self._jobs, {}
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
            swept = self._sweep() if self._has_forked else succeed(None)
            swept.addBoth(lambda _: self._gone.callback(None))

    def _sweep(self) -> Deferred[Any]:
        """Kill what its processes have left behind: those that it could not kill itself, being dead."""
        mark = f"{ZYGOTE_MARK}={self._marks[ZYGOTE_MARK]}"
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), kill_strays, mark)


def _cancelled(result: None, call: Any) -> None:
    _cancel(call)
    return result


def _cancel(call: Any) -> None:
    if call is not None and call.active():
        call.cancel()


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


class _ControlLines(Lines):
    """What a zygote says."""

    def __init__(self, zygote: Zygote) -> None:
        self._zygote = zygote

    def message(self, message: Mapping[str, Any]) -> None:
        self._zygote._heard(message)

    def garbage(self) -> None:
        self._zygote.kill("it sent what the hub cannot read")

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._zygote._hung_up()
