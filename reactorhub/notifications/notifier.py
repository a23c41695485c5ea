"""Delivers the notices of the outbox: in order in each channel, patiently, and without anybody waiting."""

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
from reactorhub.model.notification import PATIENCE, Notification, NotificationKind, NotificationState
from reactorhub.notifications.channels.channel import Channel
from reactorhub.policies.incidents import NO_CHANNEL
from reactorhub.storage.outbox import Outbox, log_changes

SOON = 0.2
"""Seconds after a fact until the outbox is looked into; what happens meanwhile is found by the same look."""

MAX_NAP = 60.0
"""Seconds between two looks at the wall clock while a notice waits, so that clock steps are seen."""

MAX_TRY = 120.0
"""Seconds after which a channel that has not answered at all is cut off."""

_TRY_AGAIN = 5.0  # seconds until a ledger that could not write or read is asked again


class Notifier:
    """Takes the oldest notice of each channel to that channel, again and again until it is settled.

    A try is counted in the ledger before it is made, and its result is written down after it; between the
    two the hub may die, and then the notice is sent once more with the same id. A notice that cannot be
    delivered holds up the later ones of its channel, and nobody else.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], datetime], outbox: Outbox) -> None:
        """
        :param clock: the monotonic clock; all waiting is done on it.
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
        """Deliver by these channels from now on; a try that is under way ends as it began."""
        self._channels = dict(channels)
        self.wake()

    async def test(self, name: str, notification_id: str, hub: str) -> str | None:
        """Send a test message by a channel, now and once; return what went wrong, or None.

        If it arrives, what waits in this channel is tried at once.

        :raises UnknownChannel: if there is none of this name.
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
        """Begin to deliver, with what an earlier life of the hub has left."""
        self._started = True
        self.wake()

    def stop(self) -> Deferred[Any]:
        """Begin no further try and cut off those under way: they are made again at the next start.

        Fires once nothing is left to be written down.
        """
        self._started = False
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        going = list(self._under_way.values())
        for each in going:
            each.cancel()
        return DeferredList(going)

    def wake(self) -> None:
        """Look into the outbox soon: there may be something new."""
        self._look_in(SOON)

    def _look_in(self, seconds: float) -> None:
        """Look after so many seconds, or earlier if that was agreed before."""
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
        looking.addErrback(lambda failure: self.log.failure("the notices could not be looked at", failure))
        looking.addBoth(self._looked)

    def _looked(self, _: object) -> None:
        self._looking = False

    async def _hand_out(self) -> None:
        """Begin a try for each channel whose oldest notice may be tried now."""
        try:
            oldest = await self._outbox.next_notifications()
        except LedgerError as error:
            self.log.error("the notices wait: {error}", error=error)
            self._look_in(_TRY_AGAIN)
            return
        for notification in oldest if self._started else ():
            channel = self._channels.get(notification.channel)
            if channel is None or notification.channel in self._under_way:
                continue
            left = (notification.not_before - self._now()).total_seconds()
            due = not 0 < left <= PATIENCE.total_seconds()  # beyond that the clock was put back
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
                "the hub has an error in channel {channel}", failure, channel=notification.channel
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
        """Send a notice; return it as it then stands."""
        try:
            await channel.send(notification).addTimeout(MAX_TRY, self._clock)
        except DeliveryError as error:
            if not self._started:
                raise CancelledError from error
            return notification.failed(str(error), self._now(), error.again, error.after)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop this channel for good
            reason = f"the channel has an error of its own: {type(error).__name__}"
            return notification.failed(reason, self._now(), True)
        return notification.delivered()

    async def _until_kept(self, write: Callable[[], Deferred[Any]]) -> Any:
        """Ask the ledger for a write until it makes it."""
        while True:
            try:
                return await write()
            except LedgerError as error:
                self.log.error("a notice waits for the ledger: {error}", error=error)
            await deferLater(self._clock, _TRY_AGAIN)
