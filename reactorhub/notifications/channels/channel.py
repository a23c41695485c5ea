"""The seam to a way of telling people."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from reactorhub.model.notification import Notification


class Channel(Protocol):
    """A way to tell people: a mailbox, a webhook, a chat."""

    def send(self, notification: Notification) -> Deferred[None]:
        """Deliver a notice; fires once the other side has taken it.

        Fails with :exc:`reactorhub.errors.DeliveryError`, within a bounded time. Cancelling gives up at once.
        A notice may be sent again with the same id: the hub cannot know whether a try that was cut off
        arrived.
        """
