"""The seam of the outbox: the part of a ledger that stores notifications until they are delivered."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from reactorhub.model.notification import Notification, NotificationState

_log = Logger()


def log_changes(notifications: Iterable[Notification]) -> None:
    """Log the state of each notification."""
    for notification in notifications:
        facts = {
            "id": notification.id,
            "kind": notification.kind.value,
            "channel": notification.channel,
            "error": notification.error,
        }
        if notification.state is NotificationState.DELIVERED:
            _log.info("notification {id} ({kind}) was delivered by channel {channel}", **facts)
        elif notification.state is NotificationState.GIVEN_UP:
            _log.error("notification {id} ({kind}) was given up by channel {channel}: {error}", **facts)
        else:
            _log.warn("notification {id} ({kind}) waits in channel {channel}: {error}", **facts)


@dataclass(frozen=True, slots=True)
class NotificationCounts:
    """The number of notifications that wait, the number given up, and the newest error."""

    waiting: int = 0
    given_up: int = 0
    last_error: str | None = None


class Outbox(Protocol):
    """The part of a ledger that stores notifications. Its calls behave like those of a ledger.

    A new notification is stored in the same transaction as the run, tick or pause that it is about.
    """

    def next_notifications(self) -> Deferred[list[Notification]]:
        """The oldest waiting notification of each channel that has one."""

    def try_notification(self, notification_id: str) -> Deferred[Notification]:
        """Count one more try, before the try. From then on the notification's text does not change."""

    def settle_notification(self, notification: Notification) -> Deferred[None]:
        """Replace a notification. Of the settled notifications of a channel only the newest stay."""

    def notification_counts(self) -> Deferred[NotificationCounts]:
        """Count the notifications."""

    def forget_removed(self, schedules: Collection[str], channels: Collection[str]) -> Deferred[None]:
        """Delete the incidents of other schedules, and give up the notifications of other channels."""
