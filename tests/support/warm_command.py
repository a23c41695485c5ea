"""Orders a fork of :mod:`tests.support.warm_start`, from the tests or from a command of a shell.

A command of a shell is an interpreter of its own, which lives as long as the fork. So this imports little.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def order(
    orders: socket.socket,
    arguments: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    files: Sequence[int],
) -> socket.socket:
    """Order a fork with these files as its stdin, stdout and stderr; return where it says how it goes.

    It says its process id, and then its exit status, each on a line.
    """
    ours, theirs = socket.socketpair()
    message = {"arguments": list(arguments), "folder": folder, "environment": dict(environment)}
    with theirs:
        socket.send_fds(orders, [json.dumps(message).encode()], [theirs.fileno(), *files])
    return ours


def begin(orders: int, program: str) -> None:
    """Be a program: a fork runs it with the files, folder, environment and arguments of this process.

    SIGTERM and SIGINT are handed on. The exit status is the fork's; one that a signal ended has 128 more.
    """
    files = (sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno())
    with socket.socket(fileno=os.dup(orders)) as where:
        said = order(where, [program, *sys.argv[1:]], str(Path.cwd()), os.environ, files).makefile()
    pid = int(said.readline())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    status = int(said.readline())
    sys.exit(status if status >= 0 else 128 - status)
