"""The rules of notifications: one notification for each incident of a schedule, not one for each run.

What happens to a schedule is an :class:`IncidentEvent`. Some events open an incident, others close it. An
incident that opens and a failure that is over each lead to a notification. A ledger calls :func:`announce`
in the transaction that writes the event, so that neither is ever stored without the other.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from reactorhub.model.notification import (
    Incident,
    IncidentEvent,
    IncidentEventKind,
    Notification,
    NotificationKind,
    NotificationState,
)

MAX_WAITING = 1000
"""At most this many notifications wait in one channel. Further ones are given up at once."""

MAX_SETTLED = 1000
"""How many delivered and how many given-up notifications of one channel are kept: the newest."""

MAX_NAMED = 20
"""A notification of missed ticks names this many schedules, and counts the others."""

GATHERING = timedelta(seconds=5)
"""How long a notification of missed ticks waits for other schedules that the same downtime hit."""

NO_CHANNEL = "the schedule file has no such channel any more"
"""The reason for giving up a notification whose channel is gone."""


def next_incident(
    incident: Incident | None, event: IncidentEvent
) -> tuple[Incident | None, NotificationKind | None]:
    """Return the incident after an event, and the kind of notification to send. Either may be None.

    :param incident: the open incident of the event's kind.
    """
    if event.opens:
        if incident is not None:
            return replace(incident, count=incident.count + 1), None
        return Incident(schedule=event.schedule, kind=event.incident, since=event.at), event.incident
    over = incident is not None and event.event_kind is IncidentEventKind.SUCCEEDED
    return None, NotificationKind.RECOVERED if over else None


OWN_MISTAKES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors that mean a bug in these rules. The ledger drops the notification and keeps the run."""


class IncidentStore(Protocol):
    """The part of a ledger that these rules use, within one transaction."""

    def incident(self, schedule: str, kind: NotificationKind) -> Incident | None:
        """The open incident of this kind."""

    def open_incident(self, incident: Incident) -> None:
        """Store an incident, or replace the stored one."""

    def close_incident(self, schedule: str, kind: NotificationKind) -> None:
        """Delete an incident, if there is one."""

    def untried(self, channel: str, kind: NotificationKind) -> Notification | None:
        """The newest notification of this kind that waits in a channel and was not tried yet."""

    def waiting(self, channel: str) -> int:
        """The number of notifications that wait in a channel."""

    def put(self, notification: Notification) -> None:
        """Store a notification, or replace the stored one."""


def announce(event: IncidentEvent, store: IncidentStore) -> list[Notification]:
    """Update the incident that an event opens or closes, and store the notifications.

    :return: the notifications that were given up at once because too many wait.
    """
    before = store.incident(event.schedule, event.incident)
    after, told = next_incident(before, event)
    if after is not None:
        store.open_incident(after)
    elif before is not None:
        store.close_incident(event.schedule, event.incident)
    lost = []
    for channel, notification_id in zip(event.rule.to, event.ids, strict=True):
        if event.event_kind is IncidentEventKind.MISSED:
            lost += _gather(event, channel, notification_id, told, store)
        elif told is not None and told in event.rule.on and (incident := before or after):
            lost += _put(_notification(event, channel, notification_id, told, incident), store)
    return lost


def _gather(
    event: IncidentEvent,
    channel: str,
    notification_id: str,
    told: NotificationKind | None,
    store: IncidentStore,
) -> list[Notification]:
    """Add a missed tick to the notification that already waits, even if it is about other schedules."""
    if NotificationKind.MISSED not in event.rule.on:
        return []
    waiting = store.untried(channel, NotificationKind.MISSED)
    if waiting is not None and (told is not None or event.schedule in _named(waiting)):
        store.put(joined(waiting, event))
    elif told is not None:
        opened = Incident(schedule=event.schedule, kind=told, since=event.at)
        first = joined(replace(_notification(event, channel, notification_id, told, opened), about={}), event)
        return _put(replace(first, not_before=event.at + GATHERING), store)
    return []


def _named(notification: Notification) -> list[str]:
    return [entry["schedule"] for entry in notification.about.get("missed", ())]


def joined(notification: Notification, event: IncidentEvent) -> Notification:
    """Return a notification of missed ticks with the tick of this event added."""
    entries, others = list(notification.about.get("missed", ())), notification.about.get("others", 0)
    names, entry = _named(notification), {"schedule": event.schedule, "ticks": 1, **event.about["missed"]}
    if event.schedule in names:
        known = entries[place := names.index(event.schedule)]
        more = known["more"] or entry["more"]
        entries[place] = {**known, "ticks": known["ticks"] + 1, "until": entry["until"], "more": more}
    elif len(entries) < MAX_NAMED:
        entries.append(entry)
    else:
        others += 1
    return replace(notification, about={"hub": event.about.get("hub"), "missed": entries, "others": others})


def _notification(
    event: IncidentEvent, channel: str, notification_id: str, kind: NotificationKind, incident: Incident
) -> Notification:
    return Notification(
        id=notification_id,
        channel=channel,
        kind=kind,
        schedule=event.schedule,
        created_at=event.at,
        not_before=event.at,
        since=incident.since,
        count=incident.count,
        about=event.about,
    )


def _put(notification: Notification, store: IncidentStore) -> list[Notification]:
    full = store.waiting(notification.channel) >= MAX_WAITING
    if full:
        reason = f"{MAX_WAITING} notifications already wait in this channel"
        notification = replace(notification, state=NotificationState.GIVEN_UP, error=reason)
    store.put(notification)
    return [notification] if full else []
