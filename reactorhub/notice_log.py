"""What the hub's log is told of notices: that one has arrived, waits, or is given up."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger

from reactorhub.alerts import Notice, NoticeState

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
