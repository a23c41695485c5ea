"""What the hub's log is told of notices: that one has arrived, waits, or is given up."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from reactorhub.model.notification import Notice, NoticeState

_log = Logger()


def say(notices: Iterable[Notice]) -> None:
    """Write a line about each notice, as it stands now."""
    for notice in notices:
        facts = {
            "id": notice.id,
            "kind": notice.kind.value,
            "channel": notice.channel,
            "error": notice.error,
        }
        if notice.state is NoticeState.DELIVERED:
            _log.info("notice {id} ({kind}) is delivered by {channel}", **facts)
        elif notice.state is NoticeState.GIVEN_UP:
            _log.error("notice {id} ({kind}) is given up by {channel}: {error}", **facts)
        else:
            _log.warn("notice {id} ({kind}) waits in {channel}: {error}", **facts)


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
