"""Incidents and notices in memory: what the double of the ledger keeps them in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from reactorhub.errors import LedgerError
from reactorhub.model.notification import Incident, Notice, NoticeKind, NoticeState
from reactorhub.policies.incidents import MOST_SETTLED, NO_CHANNEL
from reactorhub.storage import notification_rows as rows
from reactorhub.storage.outbox import NoticeCounts


class MemoryIncidentStore:
    """A :class:`reactorhub.policies.incidents.IncidentStore`, and what a ledger needs beside it."""

    def __init__(self) -> None:
        self._incidents: dict[tuple[str, NoticeKind], Incident] = {}
        self._notices: dict[str, Notice] = {}  # in the order of adding

    def incident(self, schedule: str, kind: NoticeKind) -> Incident | None:
        """The open incident of this kind."""
        return self._incidents.get((schedule, kind))

    def open_incident(self, incident: Incident) -> None:
        """Keep an incident, or replace what is kept of it."""
        kept = rows.read_incident(rows.write_incident(incident))
        self._incidents[incident.schedule, incident.kind] = kept

    def close_incident(self, schedule: str, kind: NoticeKind) -> None:
        """Forget an incident, if there is one."""
        self._incidents.pop((schedule, kind), None)

    def untried(self, channel: str, kind: NoticeKind) -> Notice | None:
        """The newest notice of this kind that waits in a channel and was never tried."""
        found = [each for each in self._in(channel, NoticeState.WAITING) if each.kind is kind]
        return next((notice for notice in reversed(found) if not notice.attempts), None)

    def waiting(self, channel: str) -> int:
        """How many notices wait in a channel."""
        return len(self._in(channel, NoticeState.WAITING))

    def put(self, notice: Notice) -> None:
        """Keep a notice, or replace what is kept of it."""
        self._notices[notice.id] = rows.read_notice(rows.write_notice(notice))
        if notice.state is not NoticeState.WAITING:
            for old in self._in(notice.channel, notice.state)[:-MOST_SETTLED]:
                del self._notices[old.id]

    def next_notices(self) -> list[Notice]:
        """The oldest waiting notice of each channel."""
        found: dict[str, Notice] = {}
        for notice in self._notices.values():
            if notice.state is NoticeState.WAITING:
                found.setdefault(notice.channel, notice)
        return list(found.values())

    def try_notice(self, notice_id: str) -> Notice:
        """Count one more try of a notice and return it.

        :raises LedgerError: if there is no notice with this id.
        """
        if notice_id not in self._notices:
            raise LedgerError(f"notice {notice_id} is not in the ledger any more")
        tried = replace(self._notices[notice_id], attempts=self._notices[notice_id].attempts + 1)
        self._notices[notice_id] = tried
        return tried

    def counts(self) -> NoticeCounts:
        """How many notices wait and were given up, and what the newest trouble was."""
        states = [notice.state for notice in self._notices.values()]
        troubles = [f"{each.channel}: {each.error}" for each in self._notices.values() if each.error]
        return NoticeCounts(
            waiting=states.count(NoticeState.WAITING),
            given_up=states.count(NoticeState.GIVEN_UP),
            last_error=troubles[-1] if troubles else None,
        )

    def tidy(self, schedules: Collection[str], channels: Collection[str]) -> list[Notice]:
        """Forget the incidents of all other schedules; give up what waits in channels that are no more.

        :return: what is given up.
        """
        self._incidents = {key: each for key, each in self._incidents.items() if key[0] in schedules}
        lost = [
            replace(notice, state=NoticeState.GIVEN_UP, error=NO_CHANNEL)
            for notice in self._notices.values()
            if notice.channel not in channels and notice.state is NoticeState.WAITING
        ]
        for notice in lost:
            self.put(notice)
        return lost

    def _in(self, channel: str, state: NoticeState) -> list[Notice]:
        return [each for each in self._notices.values() if (each.channel, each.state) == (channel, state)]
