"""Explains why a server was not reached, without a word of its address."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.protocol import Protocol

MAX_HEARD = 256 * 1024
"""A channel hangs up on a server that sends more bytes than this."""


class CappedProtocol(Protocol):
    """A mixin for protocols: the connection is aborted when the server has sent more than ``MAX_HEARD``."""

    _heard = 0

    def dataReceived(self, data: bytes) -> None:
        """Pass the bytes on, or hang up."""
        self._heard += len(data)
        if self._heard > MAX_HEARD:
            transport: Any = self.transport
            transport.abortConnection()
        else:
            super().dataReceived(data)


def why_unreached(error: BaseException | None, longest: float) -> str:
    """Describe the error on the way to a server.

    The text of an unknown error may quote what was sent, so only the name of the error is returned.

    :param longest: how many seconds a try may take.
    """
    if isinstance(error, TimeoutError | TookTooLong | CancelledError):
        return f"no answer within {longest:g} seconds"
    if isinstance(error, DNSLookupError):
        return "there is no such host"
    if isinstance(error, ConnectionAborted):
        return f"it sent more than {MAX_HEARD // 1024} KiB"
    if isinstance(error, ConnectionDone | ConnectionLost):
        return "it hung up before it answered"
    if type(error).__module__.startswith(("OpenSSL", "service_identity")):
        return "its certificate is not trusted, or it does not speak TLS"
    return str(error) if isinstance(error, ConnectError) else type(error).__name__
