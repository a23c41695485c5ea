"""The hub's ends of the connections with zygotes and with the processes they fork: lines of JSON."""

# mypy: allow-untyped-calls
from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as Connection
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

_MAX_LINE = 1 << 24  # bytes of one report


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


class Lines(LineOnlyReceiver):
    """Lines of JSON objects."""

    delimiter = b"\n"
    MAX_LENGTH = _MAX_LINE

    def lineReceived(self, line: bytes) -> None:
        try:
            message = json.loads(line, object_hook=read_moment)
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


class JobLines(Lines):
    """What a process says."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def message(self, message: Mapping[str, Any]) -> None:
        self._job.reported(message)

    def garbage(self) -> None:
        self._job.garbled()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._job.hung_up()


def adopted(reactor: Any, ours: socket.socket, protocol: Connection) -> Any:
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


def read_moment(value: dict[str, Any]) -> Any:
    """Return the moment that a JSON object stands for; any other object as it is."""
    if value.keys() == {"$moment"}:
        return datetime.fromisoformat(value["$moment"])
    return value
