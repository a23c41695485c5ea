"""Says of what happens to a schedule what its people may have to be told."""

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
    """Makes facts of schedules that have a channel; of others there is nothing to tell.

    A fact is handed to the ledger with the write that it is about; once that is on disk, say so by
    :meth:`kept`.
    """

    def __init__(
        self, new_id: Callable[[], str], now: Callable[[], datetime], hub: str, wake: Callable[[], None]
    ) -> None:
        """
        :param hub: the hub's name.
        :param wake: called when there may be something new in the outbox.
        """
        self._new_id = new_id
        self._now = now
        self._hub = hub
        self._wake = wake

    @classmethod
    def nobody(cls) -> Self:
        """Return one for a hub without channels."""
        return cls(str, lambda: datetime.min.replace(tzinfo=UTC), "", lambda: None)

    def ended(self, schedule: Schedule | None, run: Run) -> IncidentEvent | None:
        """Return what follows from a run that has ended for good: nothing where somebody stopped it."""
        if schedule is None or run.state not in FAILURES | {RunState.SUCCEEDED}:
            return None
        event_kind = IncidentEventKind.FAILED if run.state in FAILURES else IncidentEventKind.SUCCEEDED
        return self._event(schedule, event_kind, lambda: {"run": run_view(run)})

    def ticked(self, schedule: Schedule, tick: Tick) -> IncidentEvent | None:
        """Return what follows from a tick that runs, or was missed."""
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
        """Return what follows from a pause."""
        return self._event(
            schedule,
            IncidentEventKind.PAUSED,
            lambda: {"schedule": schedule_view(schedule, (), True, reason)},
        )

    def resumed(self, schedule: Schedule) -> IncidentEvent | None:
        """Return what follows from the end of a pause."""
        return self._event(schedule, IncidentEventKind.RESUMED, dict)

    def kept(self, incident_event: IncidentEvent | None) -> None:
        """Take note that a fact is on disk."""
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
