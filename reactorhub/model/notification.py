"""Incidents of a schedule, and the notifications that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

PATIENCE = timedelta(hours=24)
"""A notice that could not be delivered for so long is given up."""

FIRST_RETRY_DELAY = 10.0
"""Seconds until a notice is tried again; each further retry_delay is twice as long."""

MAX_RETRY_DELAY = 3600.0
"""Seconds between two tries, at most."""


class NotificationKind(str, Enum):
    """What people can be told of."""

    FAILED = "failed"
    RECOVERED = "recovered"
    MISSED = "missed"
    PAUSED = "paused"
    TEST = "test"  # ordered by hand; no schedule asks for it


TOLD = frozenset(NotificationKind) - {NotificationKind.TEST}
"""What a schedule may tell of, and does unless it says otherwise."""


class IncidentEventKind(str, Enum):
    """What can happen to a schedule; beside each, what it does to which incident."""

    FAILED = "failed"  # opens a failure
    SUCCEEDED = "succeeded"  # closes a failure
    MISSED = "missed"  # opens a downtime
    RAN = "ran"  # closes a downtime
    PAUSED = "paused"  # opens a pause
    RESUMED = "resumed"  # closes a pause


OPENING: Mapping[IncidentEventKind, NotificationKind] = {
    IncidentEventKind.FAILED: NotificationKind.FAILED,
    IncidentEventKind.MISSED: NotificationKind.MISSED,
    IncidentEventKind.PAUSED: NotificationKind.PAUSED,
}
CLOSING: Mapping[IncidentEventKind, NotificationKind] = {
    IncidentEventKind.SUCCEEDED: NotificationKind.FAILED,
    IncidentEventKind.RAN: NotificationKind.MISSED,
    IncidentEventKind.RESUMED: NotificationKind.PAUSED,
}


class NotificationState(str, Enum):
    """Where a notice is on its way."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class NotifyRule:
    """Which channels a schedule's people are told by, and of what."""

    to: tuple[str, ...]
    on: frozenset[NotificationKind] = TOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvent:
    """Something that has happened to a schedule whose people want to be told of it.

    ``about`` is what a notice of it says, as JSON values. ``ids`` has one id for each channel of ``rule``.
    """

    event_kind: IncidentEventKind
    schedule: str
    at: datetime
    rule: NotifyRule
    ids: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def incident(self) -> NotificationKind:
        """The kind of incident that this opens or closes."""
        return OPENING[self.event_kind] if self.opens else CLOSING[self.event_kind]

    @property
    def opens(self) -> bool:
        """Whether this opens an incident rather than closes it."""
        return self.event_kind in OPENING


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that goes wrong with a schedule: since when, and how often it has happened."""

    schedule: str
    kind: NotificationKind
    since: datetime
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message for one channel, on its way. ``id`` is a UUIDv7 and the same at every try.

    ``schedule`` is the one it is about, or the first of several; ``since`` and ``count`` are those of its
    incident. ``not_before`` is when it may be tried next, ``error`` what went wrong the last time, or why it
    was given up.
    """

    id: str
    channel: str
    kind: NotificationKind
    schedule: str
    created_at: datetime
    not_before: datetime
    since: datetime
    count: int = 1
    about: Mapping[str, Any] = field(default_factory=dict)
    state: NotificationState = NotificationState.WAITING
    attempts: int = 0
    error: str | None = None

    def delivered(self) -> Notification:
        """Return this notice once its channel has taken it."""
        return replace(self, state=NotificationState.DELIVERED, error=None)

    def failed(self, error: str, now: datetime, again: bool, after: float | None = None) -> Notification:
        """Return this notice after a try that failed: it waits longer and longer, or is given up.

        :param again: whether another try could help.
        :param after: how many seconds the other side asked to retry_delay.
        """
        if not again or now - self.created_at >= PATIENCE:
            return replace(self, state=NotificationState.GIVEN_UP, error=error)
        asked = min(after or 0.0, PATIENCE.total_seconds())
        pause = timedelta(seconds=max(retry_delay(self.attempts), asked))
        return replace(self, error=error, not_before=min(now + pause, self.created_at + PATIENCE))


def retry_delay(attempts: int) -> float:
    """Return how many seconds lie between a try that failed, the ``attempts``-th, and the next one."""
    return min(FIRST_RETRY_DELAY * 2.0 ** min(max(attempts - 1, 0), 30), MAX_RETRY_DELAY)
