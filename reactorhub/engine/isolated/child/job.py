"""What a process that was forked does: it reads its order, and obeys it."""

from __future__ import annotations

import atexit
import logging
import os
import random
import resource
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from . import crawl, listing
from .bytecode import distrust_old_bytecode
from .packages import find_project
from .processes import prefer_as_victim
from .reports import Reports


def begin(connection: socket.socket) -> int:
    """Do what the hub says on this socket; return the process's exit status.

    What the zygote has registered to run at its exit is forgotten; what the order's own code registers runs.
    """
    atexit._clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    reports = Reports(connection)
    order = reports.read_order()
    kind = listing if order["kind"] == "list" else crawl
    try:
        _enter(order)
    except OSError as error:  # its folder is gone, for one
        kind.refuse(error, reports)
    else:
        kind.obey(order, reports)
    _leave()
    return 0


def _enter(order: dict[str, Any]) -> None:
    """Make the process the order's own: its folder, its environment, its output, its memory."""
    os.chdir(order["path"])
    prefer_as_victim()
    for name in ("SCRAPY_SETTINGS_MODULE", "SCRAPY_PROJECT"):  # the hub has chosen by them already
        os.environ.pop(name, None)
    os.environ.update(order["environment"])
    _write_to(order.get("log"))
    find_project(order["path"], order["packages"])
    distrust_old_bytecode(lambda: [order["path"]])
    if order.get("address_space"):
        _limit_address_space(order["address_space"])


def _write_to(log: str | None) -> None:
    """Let all that is printed, by whatever code, stand in the run's log; without one, nowhere."""
    fd = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]


def _limit_address_space(limit: int) -> None:
    with suppress(ValueError, OSError):  # a lower limit is in force already
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _leave() -> None:
    """End as the interpreter does at its own end, but without what it inherited from the zygote."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
