"""Incidents and notices in memory: what the double of the ledger keeps them in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from reactorhub.errors import LedgerError
from reactorhub.model.notification import Incident, Notification, NotificationKind, NotificationState
from reactorhub.policies.incidents import MAX_SETTLED, NO_CHANNEL
from reactorhub.storage import rows
from reactorhub.storage.outbox import NotificationCounts


class MemoryIncidentStore:
    """A :class:`reactorhub.policies.incidents.IncidentStore`, and what a ledger needs beside it."""

    def __init__(self) -> None:
        self._incidents: dict[tuple[str, NotificationKind], Incident] = {}
        self._notifications: dict[str, Notification] = {}  # in the order of adding

    def incident(self, schedule: str, kind: NotificationKind) -> Incident | None:
        """The open incident of this kind."""
        return self._incidents.get((schedule, kind))

    def open_incident(self, incident: Incident) -> None:
        """Keep an incident, or replace what is kept of it."""
        kept = rows.INCIDENTS.read(rows.INCIDENTS.write(incident))
        self._incidents[incident.schedule, incident.kind] = kept

    def close_incident(self, schedule: str, kind: NotificationKind) -> None:
        """Forget an incident, if there is one."""
        self._incidents.pop((schedule, kind), None)

    def untried(self, channel: str, kind: NotificationKind) -> Notification | None:
        """The newest notice of this kind that waits in a channel and was never tried."""
        found = [each for each in self._in(channel, NotificationState.WAITING) if each.kind is kind]
        return next((notification for notification in reversed(found) if not notification.attempts), None)

    def waiting(self, channel: str) -> int:
        """How many notices wait in a channel."""
        return len(self._in(channel, NotificationState.WAITING))

    def put(self, notification: Notification) -> None:
        """Keep a notice, or replace what is kept of it."""
        self._notifications[notification.id] = rows.NOTIFICATIONS.read(rows.NOTIFICATIONS.write(notification))
        if notification.state is not NotificationState.WAITING:
            for old in self._in(notification.channel, notification.state)[:-MAX_SETTLED]:
                del self._notifications[old.id]

    def next_notifications(self) -> list[Notification]:
        """The oldest waiting notice of each channel."""
        found: dict[str, Notification] = {}
        for notification in self._notifications.values():
            if notification.state is NotificationState.WAITING:
                found.setdefault(notification.channel, notification)
        return list(found.values())

    def try_notification(self, notification_id: str) -> Notification:
        """Count one more try of a notice and return it.

        :raises LedgerError: if there is no notice with this id.
        """
        if notification_id not in self._notifications:
            raise LedgerError(f"notice {notification_id} is not in the ledger any more")
        tried = replace(
            self._notifications[notification_id], attempts=self._notifications[notification_id].attempts + 1
        )
        self._notifications[notification_id] = tried
        return tried

    def counts(self) -> NotificationCounts:
        """How many notices wait and were given up, and what the newest trouble was."""
        states = [notification.state for notification in self._notifications.values()]
        troubles = [f"{each.channel}: {each.error}" for each in self._notifications.values() if each.error]
        return NotificationCounts(
            waiting=states.count(NotificationState.WAITING),
            given_up=states.count(NotificationState.GIVEN_UP),
            last_error=troubles[-1] if troubles else None,
        )

    def tidy(self, schedules: Collection[str], channels: Collection[str]) -> list[Notification]:
        """Forget the incidents of all other schedules; give up what waits in channels that are no more.

        :return: what is given up.
        """
        self._incidents = {key: each for key, each in self._incidents.items() if key[0] in schedules}
        lost = [
            replace(notification, state=NotificationState.GIVEN_UP, error=NO_CHANNEL)
            for notification in self._notifications.values()
            if notification.channel not in channels and notification.state is NotificationState.WAITING
        ]
        for notification in lost:
            self.put(notification)
        return lost

    def _in(self, channel: str, state: NotificationState) -> list[Notification]:
        return [
            each for each in self._notifications.values() if (each.channel, each.state) == (channel, state)
        ]
