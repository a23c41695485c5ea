"""A channel in memory, for tests."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from reactorhub.errors import DeliveryError
from reactorhub.model.notification import Notification
from reactorhub.notifications.channels.channel import Channel


class MemoryChannel:
    """A :class:`reactorhub.notifications.channels.channel.Channel` that keeps what it is given in ``sent``.

    While ``trouble`` is an error, each notification fails with it. While ``held`` is a list, each
    notification puts a Deferred there and waits for it.
    """

    def __init__(self) -> None:
        self.sent: list[Notification] = []
        self.trouble: DeliveryError | None = None
        self.held: list[Deferred[None]] | None = None

    def send(self, notification: Notification) -> Deferred[None]:
        """Keep a notification in ``sent``, or fail with ``trouble``."""
        if self.trouble is not None:
            return fail(self.trouble)
        self.sent.append(notification)
        if self.held is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self.held.append(waiting)
        return waiting


_: type[Channel] = MemoryChannel
