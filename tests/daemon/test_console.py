"""What a person in front of the hub reads."""

from __future__ import annotations

import errno
import os

import pytest
from twisted.internet.error import CannotListenError

from reactorhub.daemon.console import cannot_listen


def refusal(port: int | str, number: int) -> CannotListenError:
    """What Twisted raises where the kernel refuses a port or a socket's path."""
    return CannotListenError("127.0.0.1", port, OSError(number, os.strerror(number)))


STOP = "Address already in use; stop the program that uses it, or choose another endpoint with"


@pytest.mark.parametrize(
    ("error", "rest"),
    [
        (refusal(6800, errno.EADDRINUSE), f"{STOP} --http (6800 is the default port of scrapyd too)"),
        (refusal(6801, errno.EADDRINUSE), f"{STOP} --http"),
        (refusal("hub.sock", errno.EADDRINUSE), f"{STOP} --http"),
        (refusal(80, errno.EACCES), "Permission denied; choose another endpoint with --http"),
        (CannotListenError(None, "x", "no lock"), "no lock; choose another endpoint with --http"),
        (ValueError("odd"), "odd"),
    ],
    ids=["scrapyds-port", "another-port", "socket", "privileged", "a-reason-without-number", "another-error"],
)
def test_a_taken_port(error: Exception, rest: str) -> None:
    """The endpoint, the reason and the remedy are named; scrapyd only where its default port is wanted."""
    assert cannot_listen("tcp:PORT", error, "--http") == f"cannot listen on tcp:PORT: {rest}"
