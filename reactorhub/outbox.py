"""The seams of telling people: the part of a ledger that holds notices, and the channels they leave by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from reactorhub.alerts import Notice


@dataclass(frozen=True, slots=True)
class NoticeCounts:
    """How many notices wait, how many of those kept were given up, and what the newest trouble was."""

    waiting: int = 0
    given_up: int = 0
    last_error: str | None = None


class Outbox(Protocol):
    """The part of a ledger that holds the notices on their way. Its calls behave as those of a ledger.

    Notices come in with the facts that they follow from, in the writes of those.
    """

    def next_notices(self) -> Deferred[list[Notice]]:
        """The oldest waiting notice of each channel that has one."""

    def try_notice(self, notice_id: str) -> Deferred[Notice]:
        """Count one more try of a notice, before it; fires with the notice. Nothing joins it from then on."""

    def settle_notice(self, notice: Notice) -> Deferred[None]:
        """Replace what is kept of a notice. Of those settled only the newest of each channel are kept."""

    def notice_counts(self) -> Deferred[NoticeCounts]:
        """How the notices fare."""

    def tidy_alerts(self, schedules: Collection[str], channels: Collection[str]) -> Deferred[None]:
        """Forget the incidents of all other schedules; give up what waits in channels that are no more."""


class Channel(Protocol):
    """A way to tell people: a mailbox, a webhook, a chat."""

    def send(self, notice: Notice) -> Deferred[None]:
        """Deliver a notice; fires once the other side has taken it.

        Fails with :exc:`reactorhub.errors.DeliveryError`, within a bounded time. Cancelling gives up at once.
        A notice may be sent again with the same id: the hub cannot know whether a try that was cut off
        arrived.
        """
