"""Handles signals: stop, hurry, reload. Also ends the process in time, whatever the spiders do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from types import FrameType
from typing import Any

from twisted.internet.interfaces import IReactorCore
from twisted.internet.process import reapAllProcesses
from twisted.logger import Logger

from reactorhub.containment.process_state import described

HASTE = 4.2
"""Seconds from the end of the grace, or from the second signal, to the end of the process.

The docs promise 5 seconds. The rest is for the exit itself on a slow machine.
"""

_SOON = 0.01  # seconds to the end of a process whose deadline is over


class Signals:
    """SIGTERM and SIGINT stop the hub, a second one skips the grace, and SIGHUP reloads.

    A callback that never returns keeps the reactor from stopping. So an interval timer of the kernel, which
    needs no reactor, ends the process when the deadline is over.
    """

    log = Logger()

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
        self._handlers: dict[int, Any] = {}
        self._wakeup = -1
        self._status = 0
        self._deadline = 0.0

    def install(self) -> None:
        """Take the signals over from the reactor. The reactor's own handlers still stop it.

        A signal that is ignored stays ignored. A shell starts background jobs with SIGINT ignored.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):
                self._stop[number] = handler
                self._handlers[number] = self._told_to_stop
        self._handlers[signal.SIGHUP] = self._told_to_reload
        self._handlers[signal.SIGALRM] = self._out_of_time
        for taken, ours in self._handlers.items():
            signal.signal(taken, ours)
        self._handlers[signal.SIGCHLD] = signal.getsignal(signal.SIGCHLD)
        self._wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._wakeup)

    def forget(self) -> None:
        """Give a forked child the usual signals: SIGTERM ends it, and it does not wake the hub's reactor."""
        signal.set_wakeup_fd(-1)
        for number in self._handlers:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        self._handlers.clear()

    def put_right(self) -> list[str]:
        """Put back what a run has changed through C code. Return what it was, for a message."""
        return [*self._put_back_handlers(), *self._unblock(), *self._put_back_timer()]

    def _put_back_handlers(self) -> Iterator[str]:
        for number, handler in self._handlers.items():
            now = signal.getsignal(number)
            if now is not handler and now != handler:
                signal.signal(number, handler)
                yield f"the handler of {signal.Signals(number).name} ({described(now)})"
                if number == signal.SIGCHLD:
                    reapAllProcesses()
        if self._handlers and signal.set_wakeup_fd(self._wakeup) != self._wakeup:
            yield "the wakeup file of signals"

    def _unblock(self) -> Iterator[str]:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) & self._handlers.keys()
        if blocked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
            yield f"blocked signals ({', '.join(sorted(signal.Signals(each).name for each in blocked))})"

    def _put_back_timer(self) -> Iterator[str]:
        left = signal.getitimer(signal.ITIMER_REAL)[0]
        if left and not self._status:
            signal.setitimer(signal.ITIMER_REAL, 0)
            yield f"a timer for SIGALRM ({left:.1f} s)"
        elif not left and self._status:
            self._arm(max(_SOON, self._deadline - time.monotonic()))
            yield "the timer that ends the process in time"

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        first, self._status = self._status == 0, 128 + number
        if first:
            self._outside_any_run(self._arm, self._grace() + HASTE)
            self._outside_any_run(self._stop[number], number, frame)
        else:
            self._outside_any_run(self._arm, HASTE)
            self._outside_any_run(self._reactor.callFromThread, self._hurry)

    def _arm(self, seconds: float) -> None:
        """Let the kernel end the process in so many seconds, even if a run has taken SIGALRM."""
        self._deadline = time.monotonic() + seconds
        signal.signal(signal.SIGALRM, self._out_of_time)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM,))
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _told_to_reload(self, number: int, frame: FrameType | None) -> None:
        self._outside_any_run(self._reactor.callFromThread, self._reload)

    def _out_of_time(self, number: int, frame: FrameType | None) -> None:
        if self._status:
            self._leave(self._status)
        else:
            self._outside_any_run(self._reactor.callFromThread, self._log_alarm)

    def _log_alarm(self) -> None:
        self.log.warn("SIGALRM came without an order to stop: code of a run has set a timer; nothing is done")

    def _outside_any_run(self, call: Callable[..., Any], *args: Any) -> None:
        # A signal handler starts in the context of the code that it interrupts, which is often a run.
        Context().run(call, *args)
