"""How incidents and notices are written down: as flat rows, in the way of :mod:`reactorhub.storage.rows`."""

from __future__ import annotations

import json

from reactorhub.model.notification import Incident, Notification, NotificationKind, NotificationState
from reactorhub.storage.rows import Row, json_text, sound, to_moment, to_number

INCIDENT_COLUMNS = "schedule, kind, since, count"
NOTIFICATION_COLUMNS = (
    "id, channel, kind, schedule, created_at, not_before, since, count, about, state, attempts, error"
)


def write_incident(incident: Incident) -> Row:
    """Return an incident as the values of ``INCIDENT_COLUMNS``."""
    return incident.schedule, incident.kind.value, to_number(incident.since), incident.count


def read_incident(row: Row) -> Incident:
    """Return the incident that :func:`write_incident` wrote."""
    schedule, kind, since, count = row
    return Incident(schedule=schedule, kind=NotificationKind(kind), since=to_moment(since), count=count)


def write_notification(notification: Notification) -> Row:
    """Return a notice as the values of ``NOTICE_COLUMNS``."""
    return (
        notification.id,
        notification.channel,
        notification.kind.value,
        notification.schedule,
        to_number(notification.created_at),
        to_number(notification.not_before),
        to_number(notification.since),
        notification.count,
        json_text(notification.about),
        notification.state.value,
        notification.attempts,
        sound(notification.error),
    )


def read_notification(row: Row) -> Notification:
    """Return the notice that :func:`write_notice` wrote."""
    kept = dict(zip(NOTIFICATION_COLUMNS.split(", "), row, strict=True))
    moments = {name: to_moment(kept[name]) for name in ("created_at", "not_before", "since")}
    about, kind, state = (
        json.loads(kept["about"]),
        NotificationKind(kept["kind"]),
        NotificationState(kept["state"]),
    )
    return Notification(**{**kept, **moments, "about": about, "kind": kind, "state": state})
