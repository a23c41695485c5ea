"""Python's garbage collector, kept from stopping the hub at the wrong moment."""

from __future__ import annotations

import gc

from twisted.internet.interfaces import IReactorTime

_NEVER = 1_000_000  # a threshold that is not reached

REST = 1.0
"""Seconds after a hold until full collections may happen again: what was held up has its turn first."""


class GcPause:
    """Lets full collections wait while something goes on that must not be stopped.

    A full collection looks at every object there is and stops the process meanwhile: for a tenth of a second
    where thousands of runs wait. What comes due in that second would be late by as much. Holds that follow
    each other closely do not keep it away for good: each time the rest is over there is room for one.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._usual = gc.get_threshold()
        self._holders = 0
        self._resting = False

    def settle(self) -> None:
        """Look no more at what there is now: modules and classes stay for the life of the process."""
        gc.collect()
        gc.freeze()

    def hold(self) -> None:
        """Let full collections wait until :meth:`release` is called as often as this."""
        self._holders += 1
        gc.set_threshold(*self._usual[:2], _NEVER)

    def release(self) -> None:
        """Let full collections happen when they are due, after a rest."""
        self._holders -= 1
        if not self._holders and not self._resting:
            self._resting = True
            self._clock.callLater(REST, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if not self._holders:
            gc.set_threshold(*self._usual)
