"""Why a server far away was not reached, in words that hold nothing of its address."""

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
"""How many bytes a server may say; a channel hangs up on one that says more."""


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
    """Say what went wrong on the way to a server.

    The text of an error that is not known may quote what was sent, so only its name is told.

    :param longest: how many seconds a try may take.
    """
    if isinstance(error, TimeoutError | TookTooLong | CancelledError):
        return f"no answer within {longest:g} seconds"
    if isinstance(error, DNSLookupError):
        return "there is no such host"
    if isinstance(error, ConnectionAborted):
        return f"it said more than {MAX_HEARD // 1024} KiB"
    if isinstance(error, ConnectionDone | ConnectionLost):
        return "it hung up before it had answered"
    if type(error).__module__.startswith(("OpenSSL", "service_identity")):
        return "its certificate is not trusted, or it speaks no TLS"
    return str(error) if isinstance(error, ConnectError) else type(error).__name__
