"""The status and the heartbeat of the hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from reactorhub.config import HubConfig
from reactorhub.containment.lag import LagMeter
from reactorhub.engine.protocols import Doctor
from reactorhub.events.publisher import EventPublisher
from reactorhub.events.sink import Sink
from reactorhub.hub.ended_runs import EndedRuns
from reactorhub.hub.schedules import ScheduleViews
from reactorhub.model.run import RunState
from reactorhub.model.values import View, time_text
from reactorhub.notifications.notifier import Notifier
from reactorhub.runs.dispatcher import Dispatcher
from reactorhub.runs.lifecycle import RunServices
from reactorhub.schedules.book import ScheduleBook
from reactorhub.storage.ledger import LedgerCounts
from reactorhub.storage.outbox import NotificationCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class HubParts:
    """The collaborators of a hub."""

    services: RunServices
    dispatcher: Dispatcher
    book: ScheduleBook
    views: ScheduleViews
    ended_runs: EndedRuns
    publisher: EventPublisher
    sink: Sink
    lag: LagMeter
    notifier: Notifier
    doctor: Doctor
    new_id: Callable[[], str]


_AT_START = ("http", "data_dir", "redis", "demo_site", "name")  # keys that are read at the start only


class HubStatus:
    """Collects the status of the hub's parts.

    ``errors`` are the mistakes of a file that was refused. ``name`` is the hub's, which no reload changes.
    """

    def __init__(self, config: HubConfig, parts: HubParts, version: str) -> None:
        self.config = config
        self.name = config.name
        self._at_start = {key: getattr(config, key) for key in _AT_START}
        self.errors: tuple[str, ...] = ()
        self._parts = parts
        self._version = version
        self._now = parts.services.now
        self._started_at = self._loaded_at = self._now()

    def needs_restart(self) -> list[str]:
        """Return the keys of ``hub`` whose values differ from those at the start."""
        return [key for key, value in self._at_start.items() if value != getattr(self.config, key)]

    def use(self, config: HubConfig) -> None:
        """Note that another config is in force."""
        self.config, self._loaded_at, self.errors = config, self._now(), ()

    def config_view(self) -> View:
        """Return the file in force, its load time, keys that need a restart, and a newer file's errors."""
        return {
            "file": self.config.file,
            "loaded_at": time_text(self._loaded_at),
            "errors": list(self.errors),
            "needs_restart": self.needs_restart(),
        }

    def status(self, counts: LedgerCounts, notifications: NotificationCounts) -> View:
        """Return the whole status. ``counts`` and ``notifications`` are the ledger's."""
        return {
            **self.heartbeat(),
            "started_at": time_text(self._started_at),
            "uptime_seconds": round((self._now() - self._started_at).total_seconds(), 3),
            "runs": {state.value: counts.runs.get(state, 0) for state in RunState},
            "config": self.config_view(),
            "notify": asdict(notifications),
            "ledger": {"runs": sum(counts.runs.values()), "ticks": counts.ticks},
        }

    def heartbeat(self) -> View:
        """Return the heartbeat: the status without the parts that need the ledger."""
        slots, sink = self._parts.services.slots, self._parts.sink.state()
        states = [live_run.run.state for live_run in self._parts.dispatcher.live_runs.values()]
        queues = {name: {"limit": limit, "used": slots.used_by(name)} for name, limit in slots.queues.items()}
        return {
            "version": self._version,
            "name": self.name,
            "time": time_text(self._now()),
            "runs": {state.value: states.count(state) for state in RunState if not state.final},
            "slots": {"limit": slots.limit, "used": slots.used, "queues": queues},
            "reactor": self._parts.lag.view(),
            "redis": {**asdict(sink), "since": time_text(sink.since)},
        }
