"""What the hub's log is told of notices: that one has arrived, waits, or is given up."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from reactorhub.model.notification import Notification, NotificationState

_log = Logger()


def log_changes(notifications: Iterable[Notification]) -> None:
    """Write a line about each notice, as it stands now."""
    for notification in notifications:
        facts = {
            "id": notification.id,
            "kind": notification.kind.value,
            "channel": notification.channel,
            "error": notification.error,
        }
        if notification.state is NotificationState.DELIVERED:
            _log.info("notice {id} ({kind}) is delivered by {channel}", **facts)
        elif notification.state is NotificationState.GIVEN_UP:
            _log.error("notice {id} ({kind}) is given up by {channel}: {error}", **facts)
        else:
            _log.warn("notice {id} ({kind}) waits in {channel}: {error}", **facts)


@dataclass(frozen=True, slots=True)
class NotificationCounts:
    """How many notices wait, how many of those kept were given up, and what the newest trouble was."""

    waiting: int = 0
    given_up: int = 0
    last_error: str | None = None


class Outbox(Protocol):
    """The part of a ledger that holds the notices on their way. Its calls behave as those of a ledger.

    Notices come in with the facts that they follow from, in the writes of those.
    """

    def next_notifications(self) -> Deferred[list[Notification]]:
        """The oldest waiting notice of each channel that has one."""

    def try_notification(self, notification_id: str) -> Deferred[Notification]:
        """Count one more try of a notice, before it; fires with the notice. Nothing joins it from then on."""

    def settle_notification(self, notification: Notification) -> Deferred[None]:
        """Replace what is kept of a notice. Of those settled only the newest of each channel are kept."""

    def notification_counts(self) -> Deferred[NotificationCounts]:
        """How the notices fare."""

    def tidy_alerts(self, schedules: Collection[str], channels: Collection[str]) -> Deferred[None]:
        """Forget the incidents of all other schedules; give up what waits in channels that are no more."""
