"""The seam of a channel: one way to notify people."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from reactorhub.model.notification import Notification


class Channel(Protocol):
    """One way to notify people: email, a webhook, a chat."""

    def send(self, notification: Notification) -> Deferred[None]:
        """Deliver a notification. Fires when the other side has taken it.

        Fails with :exc:`reactorhub.errors.DeliveryError`, within a bounded time. Cancelling ends the try at
        once. A notification may be sent again with the same id: the hub cannot know whether a try that was
        cut off arrived.
        """
