"""Measures how late the reactor is. A high figure means that some callback blocks the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_EVERY = 0.25  # seconds between two measurements
_KEPT = 1200  # measurements: the last five minutes


class LagMeter:
    """Schedules a call every quarter of a second and records how late each call is."""

    log = Logger()

    def __init__(
        self, clock: IReactorTime, warn_after: float = 1.0, stalled: Callable[[float], None] | None = None
    ) -> None:
        """
        :param warn_after: seconds of lateness from which the hub's log gets a warning.
        :param stalled: called with the lateness in seconds each time there is such a warning.
        """
        self._clock = clock
        self._warn_after = warn_after
        self._stalled = stalled
        self._lags: deque[float] = deque(maxlen=_KEPT)
        self._worst = 0.0
        self._expected = 0.0
        self._loop = LoopingCall(self._measure)
        self._loop.clock = clock

    def start(self) -> None:
        """Start measuring."""
        self._expected = self._clock.seconds() + _EVERY
        self._loop.start(_EVERY, now=False)

    def stop(self) -> None:
        """Stop measuring."""
        if self._loop.running:
            self._loop.stop()

    def view(self) -> dict[str, Any]:
        """Return the lag of the last five minutes in milliseconds, and the worst stall ever in seconds."""
        lags = sorted(self._lags) or [0.0]
        return {
            "lag_ms_p50": round(1000 * lags[len(lags) // 2], 3),
            "lag_ms_p99": round(1000 * lags[int(len(lags) * 0.99)], 3),
            "worst_stall": round(self._worst, 3),
        }

    def _measure(self) -> None:
        now = self._clock.seconds()
        lag = max(0.0, now - self._expected)
        self._expected = now + _EVERY - lag % _EVERY
        self._lags.append(lag)
        self._worst = max(self._worst, lag)
        if lag >= self._warn_after:
            self.log.warn("something blocked the reactor for {seconds:.1f} seconds", seconds=lag)
            if self._stalled is not None:
                self._stalled(lag)
