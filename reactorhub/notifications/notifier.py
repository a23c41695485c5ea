"""Delivers the notifications of the outbox: in order in each channel, with retries, in the background."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from reactorhub.errors import DeliveryError, LedgerError, UnknownChannel
from reactorhub.model.notification import GIVE_UP_AFTER, Notification, NotificationKind, NotificationState
from reactorhub.notifications.channels.channel import Channel
from reactorhub.policies.incidents import NO_CHANNEL
from reactorhub.storage.outbox import Outbox, log_changes

SOON = 0.2
"""Seconds between an event and the next read of the outbox. One read then finds all events in between."""

MAX_NAP = 60.0
"""Seconds between two checks of the wall clock while a notification waits, to notice clock steps."""

MAX_TRY = 120.0
"""Seconds after which a try is cancelled. Channels have shorter limits of their own."""

_TRY_AGAIN = 5.0  # seconds until a failed call to the ledger is repeated


class Notifier:
    """Tries to deliver the oldest notification of each channel until it is settled.

    A try is counted in the ledger before it is made, and its result is written down after it; between the two
    the hub may die, and then the notification is sent once more with the same id. A notification that cannot
    be delivered holds up the later ones of its channel, and nobody else.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], datetime], outbox: Outbox) -> None:
        """
        :param clock: the monotonic clock, for all delays.
        :param now: reads the wall clock, in aware UTC.
        """
        self._clock = clock
        self._now = now
        self._outbox = outbox
        self._channels: Mapping[str, Channel] = {}
        self._under_way: dict[str, Deferred[None]] = {}
        self._proven: set[str] = set()
        self._alarm: IDelayedCall | None = None
        self._alarm_at = 0.0
        self._looking = False
        self._started = False

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The channels in force, by name."""
        return self._channels

    def use(self, channels: Mapping[str, Channel]) -> None:
        """Use these channels from now on. A try under way keeps its channel."""
        self._channels = dict(channels)
        self.wake()

    async def test(self, name: str, notification_id: str, hub: str) -> str | None:
        """Send a test message once, at once. Return the error, or None if the message arrived.

        If it arrived, the notifications that wait in this channel are tried at once.

        :raises UnknownChannel: if there is no channel of this name.
        """
        if name not in self._channels:
            raise UnknownChannel(name)
        now = self._now()
        notification = Notification(
            id=notification_id,
            channel=name,
            kind=NotificationKind.TEST,
            schedule="",
            created_at=now,
            not_before=now,
            since=now,
            about={"hub": hub},
        )
        error = (await self._sent(notification, self._channels[name])).error
        if error is None:
            self._proven.add(name)
            self.wake()
        return error

    def start(self) -> None:
        """Begin to deliver, first the notifications that waited when the hub last stopped."""
        self._started = True
        self.wake()

    def stop(self) -> Deferred[Any]:
        """Begin no further try, and cancel the tries under way. They are repeated at the next start.

        Fires when all results are stored.
        """
        self._started = False
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        going = list(self._under_way.values())
        for each in going:
            each.cancel()
        return DeferredList(going)

    def wake(self) -> None:
        """Read the outbox soon: it may have new notifications."""
        self._look_in(SOON)

    def _look_in(self, seconds: float) -> None:
        """Read the outbox after so many seconds, unless an earlier read is planned."""
        if not self._started:
            return
        at = self._clock.seconds() + seconds
        if self._alarm is not None and self._alarm.active():
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        if self._looking:
            self.wake()
            return
        self._looking = True
        looking = Deferred.fromCoroutine(self._hand_out())
        looking.addErrback(
            lambda failure: self.log.failure(
                "the outbox could not be read because of a bug in the hub", failure
            )
        )
        looking.addBoth(self._looked)

    def _looked(self, _: object) -> None:
        self._looking = False

    async def _hand_out(self) -> None:
        """Begin a try for each channel whose oldest notification may be tried now."""
        try:
            oldest = await self._outbox.next_notifications()
        except LedgerError as error:
            self.log.error("notifications are delayed: {error}", error=error)
            self._look_in(_TRY_AGAIN)
            return
        for notification in oldest if self._started else ():
            channel = self._channels.get(notification.channel)
            if channel is None or notification.channel in self._under_way:
                continue
            left = (notification.not_before - self._now()).total_seconds()
            due = (
                not 0 < left <= GIVE_UP_AFTER.total_seconds()
            )  # a longer delay means that the clock was put back
            if due or notification.channel in self._proven:
                self._begin(notification, channel)
            else:
                self._look_in(min(left, MAX_NAP))
        self._proven.clear()

    def _begin(self, notification: Notification, channel: Channel) -> None:
        trying: Deferred[None] = Deferred.fromCoroutine(self._try(notification, channel))
        self._under_way[notification.channel] = trying
        trying.addErrback(self._broken, notification)
        trying.addBoth(self._tried, notification.channel)

    def _broken(self, failure: Any, notification: Notification) -> None:
        if not failure.check(CancelledError):
            self.log.failure(
                "delivery to channel {channel} failed because of a bug in the hub",
                failure,
                channel=notification.channel,
            )

    def _tried(self, _: object, channel: str) -> None:
        self._under_way.pop(channel, None)
        self.wake()

    async def _try(self, notification: Notification, channel: Channel) -> None:
        notification = await self._until_kept(lambda: self._outbox.try_notification(notification.id))
        settled = await self._sent(notification, channel)
        if settled.state is NotificationState.WAITING and notification.channel not in self._channels:
            settled = replace(settled, state=NotificationState.GIVEN_UP, error=NO_CHANNEL)
        await self._until_kept(lambda: self._outbox.settle_notification(settled))
        log_changes([settled])

    async def _sent(self, notification: Notification, channel: Channel) -> Notification:
        """Send a notification. Return the notification with the result."""
        try:
            await channel.send(notification).addTimeout(MAX_TRY, self._clock)
        except DeliveryError as error:
            if not self._started:
                raise CancelledError from error
            return notification.failed(str(error), self._now(), error.again, error.after)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop this channel for good
            reason = f"the channel failed because of a bug: {type(error).__name__}"
            return notification.failed(reason, self._now(), True)
        return notification.delivered()

    async def _until_kept(self, write: Callable[[], Deferred[Any]]) -> Any:
        """Repeat a write to the ledger until it succeeds."""
        while True:
            try:
                return await write()
            except LedgerError as error:
                self.log.error("a notification waits for the ledger: {error}", error=error)
            await deferLater(self._clock, _TRY_AGAIN)
