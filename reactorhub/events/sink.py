"""The seam to where events and snapshots are sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from twisted.internet.defer import Deferred

from reactorhub.model.values import View


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkState:
    """How a sink fares: ``off``, ``connected`` or ``disconnected``, since when, and what it had to drop."""

    state: str
    since: datetime | None = None
    dropped: int = 0


class Sink(Protocol):
    """Where views are sent. A publish returns at once, never raises, and never makes a crawl wait."""

    def start(self) -> Deferred[None]:
        """Get ready. Fires even where the far side is absent: the sink keeps trying."""

    def stop(self, within: float) -> Deferred[None]:
        """Send what is left, for at most ``within`` seconds, then let go. Never fails."""

    def publish_run(self, run: View, at: datetime) -> None:
        """Take a run's newest view, stats included. Only the newest of each run need arrive."""

    def publish_event(self, event: View) -> None:
        """Take one event. Events arrive in order."""

    def publish_hub(self, hub: View) -> None:
        """Take the hub's own heartbeat."""

    def state(self) -> SinkState:
        """How it fares."""
