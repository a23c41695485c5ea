"""The way down for a crawl that is to end: asked first, then forced, and left behind in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reactorhub.engine.protocols import Crawl


@dataclass(frozen=True, slots=True)
class Escalation:
    """How long after the order to stop each harsher rung is taken, in seconds."""

    abort: float
    cancel_tasks: float
    abandon: float

    @classmethod
    def graceful(cls, stop_grace: float) -> Escalation:
        """Give what is in flight ``stop_grace`` seconds before downloads are cut off."""
        return cls(stop_grace, stop_grace + 5, stop_grace + 10)


FORCED = Escalation(0, 5, 10)
SHUTDOWN = Escalation(1.0, 2.0, 2.5)


class StopTimers:
    """What is to happen to a crawl later on, unless it has ended by then."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: list[IDelayedCall] = []

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call this in so many seconds."""
        self._calls.append(self._clock.callLater(seconds, call))

    def escalate(self, crawl: Crawl, escalation: Escalation) -> None:
        """Tell a crawl to stop, and take the harsher rungs when their time comes."""
        self.after(escalation.abort, crawl.abort)
        self.after(escalation.cancel_tasks, crawl.cancel_tasks)
        self.after(escalation.abandon, crawl.abandon)
        crawl.stop()

    def disarm(self) -> None:
        """Let nothing happen any more."""
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()
