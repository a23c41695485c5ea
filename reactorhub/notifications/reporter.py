"""Turns what happens to a schedule into incident events, for the schedule's channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Self

from reactorhub.model.notification import IncidentEvent, IncidentEventKind
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import Schedule, Tick, TickOutcome
from reactorhub.model.values import time_text
from reactorhub.policies.retries import FAILURES
from reactorhub.wire.views import run_view, schedule_view


class IncidentReporter:
    """Makes incident events for schedules that have a channel. Other schedules have none.

    Pass an event to the ledger with the write that it is about. Call :meth:`kept` when the write is on disk.
    """

    def __init__(
        self, new_id: Callable[[], str], now: Callable[[], datetime], hub: str, wake: Callable[[], None]
    ) -> None:
        """
        :param hub: the hub's name.
        :param wake: called when the outbox may have new notifications.
        """
        self._new_id = new_id
        self._now = now
        self._hub = hub
        self._wake = wake

    @classmethod
    def nobody(cls) -> Self:
        """Return a reporter for a hub without channels."""
        return cls(str, lambda: datetime.min.replace(tzinfo=UTC), "", lambda: None)

    def ended(self, schedule: Schedule | None, run: Run) -> IncidentEvent | None:
        """Return the event of a run that has ended and is not retried. A stopped run has no event."""
        if schedule is None or run.state not in FAILURES | {RunState.SUCCEEDED}:
            return None
        event_kind = IncidentEventKind.FAILED if run.state in FAILURES else IncidentEventKind.SUCCEEDED
        return self._event(schedule, event_kind, lambda: {"run": run_view(run)})

    def ticked(self, schedule: Schedule, tick: Tick) -> IncidentEvent | None:
        """Return the event of a tick that runs or was missed. A skipped tick has no event."""
        if tick.outcome is TickOutcome.RUN:
            return self._event(schedule, IncidentEventKind.RAN, dict)
        if tick.outcome is TickOutcome.SKIPPED:
            return None
        missed = {
            "from": time_text(tick.nominal_time),
            "until": time_text(tick.until or tick.nominal_time),
            "more": tick.until is not None,
            "reason": tick.reason,
        }
        return self._event(schedule, IncidentEventKind.MISSED, lambda: {"missed": missed})

    def paused(self, schedule: Schedule, reason: str) -> IncidentEvent | None:
        """Return the event of a pause."""
        return self._event(
            schedule,
            IncidentEventKind.PAUSED,
            lambda: {"schedule": schedule_view(schedule, (), True, reason)},
        )

    def resumed(self, schedule: Schedule) -> IncidentEvent | None:
        """Return the event of the end of a pause."""
        return self._event(schedule, IncidentEventKind.RESUMED, dict)

    def kept(self, incident_event: IncidentEvent | None) -> None:
        """Deliver soon: the write with this event is on disk."""
        if incident_event is not None:
            self._wake()

    def _event(
        self, schedule: Schedule, event_kind: IncidentEventKind, about: Callable[[], Mapping[str, Any]]
    ) -> IncidentEvent | None:
        rule = schedule.notify
        if rule is None:
            return None
        return IncidentEvent(
            event_kind=event_kind,
            schedule=schedule.name,
            at=self._now(),
            rule=rule,
            ids=tuple(self._new_id() for _ in rule.to),
            about={"hub": self._hub, **about()},
        )
