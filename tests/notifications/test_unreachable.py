"""Why a server was not reached, without a word of its address."""

from __future__ import annotations

import pytest
from OpenSSL.SSL import Error
from twisted.internet.defer import CancelledError
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)

from reactorhub.notifications.channels.unreachable import why_unreached


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer within 15 seconds"),
        (TookTooLong(), "no answer within 15 seconds"),
        (CancelledError(), "no answer within 15 seconds"),
        (DNSLookupError("token.example.org"), "there is no such host"),
        (Error("token"), "its certificate is not trusted, or it does not speak TLS"),
        (ConnectionRefusedError(), "Connection was refused by other side."),
        (ConnectionDone("a token"), "it hung up before it answered"),
        (ConnectionLost("a token"), "it hung up before it answered"),
        (ConnectionAborted("a token"), "it sent more than 256 KiB"),
        (ValueError("a token"), "ValueError"),
    ],
)
def test_what_is_said(error: Exception, said: str) -> None:
    """What is known has a sentence of its own; of anything else only the name is told."""
    assert why_unreached(error, 15.0) == said
