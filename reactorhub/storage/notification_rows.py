"""How incidents and notices are written down: as flat rows, in the way of :mod:`reactorhub.storage.rows`."""

from __future__ import annotations

import json

from reactorhub.model.notification import Incident, Notice, NoticeKind, NoticeState
from reactorhub.storage.rows import Row, json_text, sound, to_moment, to_number

INCIDENT_COLUMNS = "schedule, kind, since, count"
NOTICE_COLUMNS = (
    "id, channel, kind, schedule, created_at, not_before, since, count, about, state, attempts, error"
)


def write_incident(incident: Incident) -> Row:
    """Return an incident as the values of ``INCIDENT_COLUMNS``."""
    return incident.schedule, incident.kind.value, to_number(incident.since), incident.count


def read_incident(row: Row) -> Incident:
    """Return the incident that :func:`write_incident` wrote."""
    schedule, kind, since, count = row
    return Incident(schedule=schedule, kind=NoticeKind(kind), since=to_moment(since), count=count)


def write_notice(notice: Notice) -> Row:
    """Return a notice as the values of ``NOTICE_COLUMNS``."""
    return (
        notice.id,
        notice.channel,
        notice.kind.value,
        notice.schedule,
        to_number(notice.created_at),
        to_number(notice.not_before),
        to_number(notice.since),
        notice.count,
        json_text(notice.about),
        notice.state.value,
        notice.attempts,
        sound(notice.error),
    )


def read_notice(row: Row) -> Notice:
    """Return the notice that :func:`write_notice` wrote."""
    kept = dict(zip(NOTICE_COLUMNS.split(", "), row, strict=True))
    moments = {name: to_moment(kept[name]) for name in ("created_at", "not_before", "since")}
    about, kind, state = json.loads(kept["about"]), NoticeKind(kept["kind"]), NoticeState(kept["state"])
    return Notice(**{**kept, **moments, "about": about, "kind": kind, "state": state})
