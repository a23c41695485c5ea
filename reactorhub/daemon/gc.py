"""Keeps Python's garbage collector from stopping the hub at the wrong moment."""

from __future__ import annotations

import gc

from twisted.internet.interfaces import IReactorTime

_NEVER = 1_000_000  # a threshold so high that Python never reaches it

REST = 1.0
"""Seconds from the end of a hold to the next full collection. Work that waited during the hold goes first."""


class GcPause:
    """Postpones full collections while the hub does work that must not be interrupted.

    A full collection visits every object, and stops the process for a tenth of a second if thousands of runs
    wait. Ticks that come due in that moment would be late by as much. Holds that follow each other closely
    do not postpone collections for ever: one can happen whenever a rest is over.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._usual = gc.get_threshold()
        self._holders = 0
        self._resting = False

    def settle(self) -> None:
        """Exclude all present objects from collections: modules and classes stay as long as the process."""
        gc.collect()
        gc.freeze()

    def hold(self) -> None:
        """Postpone full collections until :meth:`release` has been called as often as this method."""
        self._holders += 1
        gc.set_threshold(*self._usual[:2], _NEVER)

    def release(self) -> None:
        """End one hold. After the last one and a rest, full collections happen again when they are due."""
        self._holders -= 1
        if not self._holders and not self._resting:
            self._resting = True
            self._clock.callLater(REST, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if not self._holders:
            gc.set_threshold(*self._usual)
