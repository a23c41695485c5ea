"""What a child gives up that the crawl's code forks: it never reports to the hub and does not crawl on."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any, NoReturn

from .processes import end_at_once
from .reports import Reports

_forked = False


def contain_forks(reports: Reports, loop: asyncio.AbstractEventLoop) -> None:
    """Let each child that this process forks from now on leave the hub's socket and this loop alone."""
    os.register_at_fork(after_in_child=lambda: _give_up(reports, loop))


def is_forked() -> bool:
    """Return whether this process is a child that the crawl's code has forked."""
    return _forked


def leave(error: BaseException) -> NoReturn:
    """End such a child as Python ends with this exception."""
    code = error.code if isinstance(error, SystemExit) else 1
    end_at_once(0 if code is None else code if isinstance(code, int) else 1)


def _give_up(reports: Reports, loop: asyncio.AbstractEventLoop) -> None:
    global _forked  # noqa: PLW0603 - once in the life of a process
    _forked = True
    reports.socket.close()
    with suppress(ValueError):  # some other interpreter's thread has forked
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):  # Scrapy's handlers would wait for the reactor
            signal.signal(number, signal.SIG_DFL)
    handle: Any = asyncio.events.Handle
    run = handle._run

    def run_or_leave(self: Any) -> None:
        if self._loop is loop:
            end_at_once(os.EX_SOFTWARE)
        run(self)

    handle._run = run_or_leave
