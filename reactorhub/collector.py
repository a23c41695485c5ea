"""Python's garbage collector, kept from stopping the hub at the wrong moment."""

from __future__ import annotations

import gc

_NEVER = 1_000_000  # a threshold that is not reached


class Collector:
    """Lets full collections wait while something goes on that must not be stopped.

    A full collection looks at every object there is and stops the process meanwhile: for a tenth of a second
    where thousands of runs wait. What comes due in that second would be late by as much.
    """

    def __init__(self) -> None:
        self._usual = gc.get_threshold()
        self._holders = 0

    def settle(self) -> None:
        """Look no more at what there is now: modules and classes stay for the life of the process."""
        gc.collect()
        gc.freeze()

    def hold(self) -> None:
        """Let full collections wait until :meth:`release` is called as often as this."""
        self._holders += 1
        gc.set_threshold(*self._usual[:2], _NEVER)

    def release(self) -> None:
        """Let full collections happen when they are due."""
        self._holders -= 1
        if not self._holders:
            gc.set_threshold(*self._usual)
