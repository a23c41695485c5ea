"""The way down for a crawl that is to end: asked first, then forced, and left behind in the end."""

from __future__ import annotations

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

    def timers(self, clock: IReactorTime, crawl: Crawl) -> list[IDelayedCall]:
        """Start a timer for each harsher step; cancel them when the crawl has ended."""
        return [
            clock.callLater(self.abort, crawl.abort),
            clock.callLater(self.cancel_tasks, crawl.cancel_tasks),
            clock.callLater(self.abandon, crawl.abandon),
        ]


FORCED = Escalation(0, 5, 10)
SHUTDOWN = Escalation(1.0, 2.0, 2.5)
