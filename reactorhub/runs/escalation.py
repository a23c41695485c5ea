"""The steps that stop a crawl: ask, cut off, cancel its tasks, and abandon it in the end."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reactorhub.engine.protocols import Crawl


@dataclass(frozen=True, slots=True)
class Escalation:
    """When each harsher step follows, in seconds after the order to stop."""

    abort: float
    cancel_tasks: float
    abandon: float

    @classmethod
    def graceful(cls, stop_grace: float) -> Escalation:
        """Give requests in flight ``stop_grace`` seconds before downloads are cut off."""
        # Each later step waits 5 seconds, time for pipelines and feeds to close.
        return cls(stop_grace, stop_grace + 5, stop_grace + 10)

    def timers(self, clock: IReactorTime, crawl: Crawl) -> list[IDelayedCall]:
        """Start a timer for each harsher step; cancel them when the crawl has ended."""
        return [
            clock.callLater(self.abort, crawl.abort),
            clock.callLater(self.cancel_tasks, crawl.cancel_tasks),
            clock.callLater(self.abandon, crawl.abandon),
        ]


FORCED = Escalation(0, 5, 10)
SHUTDOWN = Escalation(1.0, 2.0, 2.5)  # well before the process is ended by force, 4.2 s after the grace
