"""Incidents of a schedule, and the notifications that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

GIVE_UP_AFTER = timedelta(hours=24)
"""A notification is given up if it could not be delivered within this time."""

FIRST_RETRY_DELAY = 10.0
"""Seconds until a notification is tried again; each further delay is twice as long."""

MAX_RETRY_DELAY = 3600.0
"""The longest delay between two tries, in seconds."""


class NotificationKind(str, Enum):
    """The kinds of notifications."""

    FAILED = "failed"
    RECOVERED = "recovered"
    MISSED = "missed"
    PAUSED = "paused"
    TEST = "test"  # sent by hand, never by a schedule


SCHEDULE_KINDS = frozenset(NotificationKind) - {NotificationKind.TEST}
"""The kinds that a schedule can send. They are also its default."""


class IncidentEventKind(str, Enum):
    """What can happen to a schedule. The comment says which incident the event opens or closes."""

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
    """The state of a notification."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class NotifyRule:
    """The channels that a schedule notifies, and of which kinds."""

    to: tuple[str, ...]
    on: frozenset[NotificationKind] = SCHEDULE_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvent:
    """Something that happened to a schedule that has a channel.

    ``about`` has the JSON values for a notification about this event. ``ids`` has one id for each channel of
    ``rule``.
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
    """An ongoing problem of a schedule: when it began, and how often it has happened."""

    schedule: str
    kind: NotificationKind
    since: datetime
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message for one channel. ``id`` is a UUIDv7 and the same at every try.

    ``schedule`` is the schedule it is about, or the first of several. ``since`` and ``count`` are those of
    its incident. ``not_before`` is the earliest time of the next try. ``error`` is the error of the last try,
    or the reason for giving up.
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
        """Return this notification as delivered."""
        return replace(self, state=NotificationState.DELIVERED, error=None)

    def failed(self, error: str, now: datetime, again: bool, after: float | None = None) -> Notification:
        """Return this notification after a failed try: it waits for the next try, or is given up.

        :param again: whether another try could help.
        :param after: how many seconds the other side asked to wait.
        """
        if not again or now - self.created_at >= GIVE_UP_AFTER:
            return replace(self, state=NotificationState.GIVEN_UP, error=error)
        asked = min(after or 0.0, GIVE_UP_AFTER.total_seconds())
        pause = timedelta(seconds=max(retry_delay(self.attempts), asked))
        return replace(self, error=error, not_before=min(now + pause, self.created_at + GIVE_UP_AFTER))


def retry_delay(attempts: int) -> float:
    """Return the seconds from the ``attempts``-th try, which failed, to the next try."""
    return min(FIRST_RETRY_DELAY * 2.0 ** min(max(attempts - 1, 0), 30), MAX_RETRY_DELAY)
