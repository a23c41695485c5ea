"""The socket between a process and the hub: lines of JSON in both directions."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_PATIENCE = 60.0  # seconds for which the hub may be too busy to take the last report
_MAX_DEPTH = 20  # levels of a value that are sent
_MAX_READ = 65536  # bytes
_MAX_INT = 10**300  # Python refuses to write numbers of more than 4,300 digits, readers far smaller ones


class Reports:
    """Sends reports without ever waiting for the hub, but for the last one."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._waiting = b""
        self._received = b""

    def read_order(self) -> dict[str, Any]:
        """Wait for the first line from the hub and return it.

        :raises OSError: if the hub sends none.
        """
        self.socket.settimeout(_PATIENCE)
        while not (lines := self._lines(self.socket.recv(_MAX_READ))):
            pass
        self.socket.setblocking(False)
        return lines[0]

    def read(self) -> list[dict[str, Any]]:
        """Return the lines that have come.

        :raises ConnectionError: if the hub has closed the socket.
        """
        try:
            return self._lines(self.socket.recv(_MAX_READ))
        except BlockingIOError:
            return []

    def _lines(self, data: bytes) -> list[dict[str, Any]]:
        if not data:
            raise ConnectionError("the hub is gone")
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def send(self, report: Mapping[str, Any]) -> None:
        """Send a report. Where the hub does not read, it waits here."""
        self._waiting += _line(report)
        self.flush()

    def send_if_free(self, report: Mapping[str, Any]) -> None:
        """Send a report that the next one replaces, unless others are waiting."""
        self.flush()
        if not self._waiting:
            self.send(report)

    def flush(self) -> None:
        """Send what waits, as far as the hub takes it."""
        try:
            while self._waiting:
                self._waiting = self._waiting[self.socket.send(self._waiting) :]
        except BlockingIOError:
            return

    def send_last(self, report: Mapping[str, Any]) -> None:
        """Send a report and wait until the hub has it.

        :raises OSError: if it does not take it.
        """
        self.socket.settimeout(_PATIENCE)
        self.socket.sendall(self._waiting + _line(report))
        self._waiting = b""


def _line(report: Mapping[str, Any]) -> bytes:
    return json.dumps({key: plain(value) for key, value in report.items()}).encode() + b"\n"


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON can hold it. A moment becomes an object that the hub makes a moment of again.

    Never raises: what code of the project may have put there can raise anything when it is looked at.
    """
    try:
        return _plain(value, depth)
    except BaseException as error:  # noqa: BLE001 - see above
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _plain(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line for each kind
    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        return value if -_MAX_INT < value < _MAX_INT else repr(value)
    if isinstance(value, datetime):
        return {"$moment": value.isoformat()}
    if depth >= _MAX_DEPTH:
        return f"<{kind.__name__} that is nested too deeply>"
    if isinstance(value, Mapping):
        return {_name(key): plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_name(each) for each in value)
    if isinstance(value, (list, tuple)):
        return [plain(each, depth + 1) for each in value]
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, float) else plain(int(value), depth)
    return str(value) if isinstance(value, str) else repr(value)


def _name(key: Any) -> str:
    """Return the text of a key, or of a member of a set. Never raises."""
    try:
        return str(key)
    except Exception as error:  # noqa: BLE001 - the class may be the project's own
        return f"<{type(key).__name__} that cannot be shown: {type(error).__name__}>"
