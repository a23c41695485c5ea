"""Handles signals: stop, hurry, reload. Also ends the process in time, whatever the spiders do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextvars import Context
from types import FrameType
from typing import Any

from twisted.internet.interfaces import IReactorCore

HASTE = 4.2
"""Seconds from the end of the grace, or from the second signal, to the end of the process.

The docs promise 5 seconds. The rest is for the exit itself on a slow machine.
"""


class Signals:
    """SIGTERM and SIGINT stop the hub, a second one skips the grace, and SIGHUP reloads.

    A callback that never returns keeps the reactor from stopping. So an interval timer of the kernel, which
    needs no reactor, ends the process when the deadline is over.
    """

    def __init__(
        self,
        reactor: IReactorCore,
        grace: Callable[[], float],
        hurry: Callable[[], None],
        reload: Callable[[], None],
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        """
        :param grace: returns how many seconds crawls have to finish.
        :param hurry: skips the rest of the grace.
        :param leave: ends the process at once with an exit status.
        """
        self._reactor: Any = reactor
        self._grace = grace
        self._hurry = hurry
        self._reload = reload
        self._leave = leave
        self._stop: dict[int, Any] = {}
        self._status = 0

    def install(self) -> None:
        """Take the signals over from the reactor. The reactor's own handlers still stop it.

        A signal that is ignored stays ignored. A shell starts background jobs with SIGINT ignored.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):
                self._stop[number] = handler
                signal.signal(number, self._told_to_stop)
        signal.signal(signal.SIGHUP, self._told_to_reload)
        signal.signal(signal.SIGALRM, self._out_of_time)

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        first, self._status = self._status == 0, 128 + number
        if first:
            self._outside_any_run(signal.setitimer, signal.ITIMER_REAL, self._grace() + HASTE)
            self._outside_any_run(self._stop[number], number, frame)
        else:
            self._outside_any_run(signal.setitimer, signal.ITIMER_REAL, HASTE)
            self._outside_any_run(self._reactor.callFromThread, self._hurry)

    def _told_to_reload(self, number: int, frame: FrameType | None) -> None:
        self._outside_any_run(self._reactor.callFromThread, self._reload)

    def _out_of_time(self, number: int, frame: FrameType | None) -> None:
        self._leave(self._status)

    def _outside_any_run(self, call: Callable[..., Any], *args: Any) -> None:
        # A signal handler starts in the context of the code that it interrupts, which is often a run.
        Context().run(call, *args)
