"""How long a spider has been idle, and whether it may close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall


class Idleness:
    """Measures the time since a spider became idle. ``longest`` is in seconds; 0 is for ever."""

    def __init__(self, clock: Any, longest: float, look: Callable[[], None]) -> None:
        """:param look: called when the spider may have been idle for long enough."""
        self._clock = clock
        self._longest = longest
        self._look = look
        self._since: float | None = None
        self._work = 0
        self._timer: IDelayedCall | None = None

    def stays(self, work: int) -> bool:
        """Return whether an idle spider has to stay open.

        :param work: a number that grows when the spider does anything, which begins the time again.
        """
        if not self._longest:
            return True
        if self._since is None or work != self._work:
            self.interrupt()
            self._since, self._work = self._clock.seconds(), work
            self._timer = self._clock.callLater(self._longest, self._look)
        idle: float = self._clock.seconds() - self._since
        return idle < self._longest

    def interrupt(self) -> None:
        """Begin again: the spider has work, or closes."""
        self._since = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
