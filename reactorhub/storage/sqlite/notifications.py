"""The SQL of incidents and notifications."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from twisted.logger import Logger

from reactorhub.errors import LedgerError
from reactorhub.model.notification import (
    Incident,
    IncidentEvent,
    Notification,
    NotificationKind,
    NotificationState,
)
from reactorhub.policies.incidents import MAX_SETTLED, NO_CHANNEL, OWN_MISTAKES, announce
from reactorhub.storage import rows
from reactorhub.storage.outbox import NotificationCounts, log_changes
from reactorhub.storage.sqlite.sql import Database, insert

_log = Logger()

_ALL = rows.NOTIFICATIONS.columns
_CHANGING = ", ".join(f"{name} = excluded.{name}" for name in rows.NOTIFICATIONS.names if name != "id")
_PUT = f"{insert('notices', rows.NOTIFICATIONS)} ON CONFLICT (id) DO UPDATE SET {_CHANGING}"
_WAITING = NotificationState.WAITING.value


class SqliteIncidentStore:
    """A :class:`reactorhub.policies.incidents.IncidentStore` over the transaction under way."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def incident(self, schedule: str, kind: NotificationKind) -> Incident | None:
        """See IncidentStore.incident."""
        row = self._db.execute(
            f"SELECT {rows.INCIDENTS.columns} FROM incidents WHERE schedule = ? AND kind = ?",
            (schedule, kind.value),
        ).fetchone()
        return None if row is None else rows.INCIDENTS.read(row)

    def open_incident(self, incident: Incident) -> None:
        """See IncidentStore.open_incident."""
        self._db.execute(
            f"REPLACE INTO incidents ({rows.INCIDENTS.columns}) VALUES ({rows.INCIDENTS.places})",
            rows.INCIDENTS.write(incident),
        )

    def close_incident(self, schedule: str, kind: NotificationKind) -> None:
        """See IncidentStore.close_incident."""
        self._db.execute("DELETE FROM incidents WHERE schedule = ? AND kind = ?", (schedule, kind.value))

    def untried(self, channel: str, kind: NotificationKind) -> Notification | None:
        """See IncidentStore.untried."""
        row = self._db.execute(
            f"SELECT {_ALL} FROM notices WHERE channel = ? AND state = ? AND kind = ? AND attempts = 0"
            " ORDER BY seq DESC LIMIT 1",
            (channel, _WAITING, kind.value),
        ).fetchone()
        return None if row is None else rows.NOTIFICATIONS.read(row)

    def waiting(self, channel: str) -> int:
        """See IncidentStore.waiting."""
        sql = "SELECT count(*) FROM notices WHERE channel = ? AND state = ?"
        (amount,) = self._db.execute(sql, (channel, _WAITING)).fetchone()
        return int(amount)

    def put(self, notification: Notification) -> None:
        """See IncidentStore.put."""
        self._db.execute(_PUT, rows.NOTIFICATIONS.write(notification))
        if notification.state is not NotificationState.WAITING:
            _forget_settled(self._db, notification.channel)


def store_notifications(db: Database, incident_event: IncidentEvent | None) -> None:
    """Store the notifications about an event, if there is one.

    A bug in the rules costs the notification, but not the write of which it is a part.
    """
    if incident_event is None:
        return
    try:
        log_changes(announce(incident_event, SqliteIncidentStore(db)))
    except OWN_MISTAKES:
        _log.failure(
            "no notification is sent about {name} ({event_kind}) because of a bug in the hub",
            name=incident_event.schedule,
            event_kind=incident_event.event_kind.value,
        )


def next_notifications(db: Database) -> list[Notification]:
    """Return the oldest waiting notification of each channel. The index leads from channel to channel."""
    found = db.execute(f"""
        WITH RECURSIVE channels (name) AS (
            SELECT min(channel) FROM notices
            UNION ALL
            SELECT (SELECT min(channel) FROM notices WHERE channel > channels.name)
            FROM channels WHERE name IS NOT NULL
        )
        SELECT {_ALL} FROM notices WHERE seq IN (
            SELECT (SELECT min(seq) FROM notices WHERE channel = channels.name AND state = '{_WAITING}')
            FROM channels WHERE name IS NOT NULL
        ) ORDER BY seq
    """).fetchall()
    return [rows.NOTIFICATIONS.read(row) for row in found]


def try_notification(db: Database, notification_id: str) -> Notification:
    """Count one more try of a notification, and return the notification.

    :raises LedgerError: if there is no such notification.
    """
    db.execute("UPDATE notices SET attempts = attempts + 1 WHERE id = ?", (notification_id,))
    row = db.execute(f"SELECT {_ALL} FROM notices WHERE id = ?", (notification_id,)).fetchone()
    if row is None:
        raise LedgerError(f"notification {notification_id} is no longer in the ledger")
    return rows.NOTIFICATIONS.read(row)


def settle_notification(db: Database, notification: Notification) -> None:
    """Store a notification, or replace the stored one."""
    SqliteIncidentStore(db).put(notification)


def _forget_settled(db: Database, channel: str) -> None:
    """Delete all settled notifications of a channel except the newest."""
    for state in NotificationState:
        if state is not NotificationState.WAITING:
            db.execute(
                "DELETE FROM notices WHERE channel = :channel AND state = :state AND seq <= (SELECT seq"
                " FROM notices WHERE channel = :channel AND state = :state"
                " ORDER BY seq DESC LIMIT 1 OFFSET :kept)",
                {"channel": channel, "state": state.value, "kept": MAX_SETTLED},
            )


def notification_counts(db: Database) -> NotificationCounts:
    """Count the notifications that wait and were given up, and return the newest error."""
    amounts = dict(db.execute("SELECT state, count(*) FROM notices GROUP BY state").fetchall())
    newest = db.execute(
        "SELECT channel, error FROM notices WHERE error IS NOT NULL ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return NotificationCounts(
        waiting=amounts.get(_WAITING, 0),
        given_up=amounts.get(NotificationState.GIVEN_UP.value, 0),
        last_error=newest and f"{newest[0]}: {newest[1]}",
    )


def forget_removed(db: Database, schedules: Collection[str], channels: Collection[str]) -> None:
    """See Outbox.forget_removed."""
    open_ones = {name for (name,) in db.execute("SELECT DISTINCT schedule FROM incidents").fetchall()}
    db.executemany("DELETE FROM incidents WHERE schedule = ?", [(name,) for name in open_ones - {*schedules}])
    used = {name for (name,) in db.execute("SELECT DISTINCT channel FROM notices").fetchall()}
    for channel in used - {*channels}:
        waiting = db.execute(
            f"SELECT {_ALL} FROM notices WHERE channel = ? AND state = ?", (channel, _WAITING)
        )
        lost = [rows.NOTIFICATIONS.read(row) for row in waiting.fetchall()]
        db.execute(
            "UPDATE notices SET state = ?, error = ? WHERE channel = ? AND state = ?",
            (NotificationState.GIVEN_UP.value, NO_CHANNEL, channel, _WAITING),
        )
        log_changes(replace(each, state=NotificationState.GIVEN_UP, error=NO_CHANNEL) for each in lost)
        _forget_settled(db, channel)
