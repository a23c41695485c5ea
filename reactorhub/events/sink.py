"""The seam to the receivers of events and snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from twisted.internet.defer import Deferred

from reactorhub.model.values import View


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkState:
    """The state of a sink: ``off``, ``connected``, ``reconnecting`` or ``auth_failed``.

    ``since`` is when it began, ``reason`` why the sink is not connected, ``dropped`` how many views are lost.
    ``conflict`` is a sentence if another hub has the name of this one.
    """

    state: str
    since: datetime | None = None
    reason: str = ""
    dropped: int = 0
    conflict: str | None = None


class Sink(Protocol):
    """Receives views. The publish methods return at once, never raise, and never delay a crawl."""

    def start(self) -> Deferred[None]:
        """Start. Fires even if the server is absent; the sink keeps trying to connect."""

    def stop(self, within: float) -> Deferred[None]:
        """Send the remaining views for at most ``within`` seconds, then disconnect. Never fails."""

    def publish_run(self, run: View, at: datetime) -> None:
        """Send a run's newest view, with its stats. Older views of the run may be dropped."""

    def publish_event(self, event: View) -> None:
        """Send an event. Events arrive in order."""

    def publish_hub(self, hub: View) -> None:
        """Send the hub's heartbeat."""

    def state(self) -> SinkState:
        """Return the state of the sink."""
