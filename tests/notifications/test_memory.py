"""The channel in memory keeps the promises of every channel."""

from __future__ import annotations

from reactorhub.errors import DeliveryError
from reactorhub.notifications.channels.memory import MemoryChannel
from tests.notifications.channel_cases import ChannelSuite


class MemoryChannelTests(ChannelSuite):
    """The double."""

    channel: MemoryChannel

    def setUp(self) -> None:
        """Begin with nothing."""
        self.channel = MemoryChannel()

    def arrived(self) -> list[str]:
        """The notifications by what they say."""
        return [f"{notification.id} {notification.schedule}" for notification in self.channel.sent]

    def trouble(self, *, for_good: bool) -> None:
        """Fail as told."""
        self.channel.trouble = DeliveryError("no", again=not for_good)

    def hold(self) -> None:
        """Wait."""
        self.channel.held = []


del ChannelSuite
