"""The rules of telling people: one notification for an incident, and what becomes of a notification."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.notification import (
    GIVE_UP_AFTER,
    SCHEDULE_KINDS,
    Incident,
    IncidentEvent,
    IncidentEventKind,
    Notification,
    NotificationKind,
    NotificationState,
    NotifyRule,
    retry_delay,
)
from reactorhub.policies.incidents import GATHERING, MAX_NAMED, MAX_WAITING, announce, next_incident
from reactorhub.storage.sqlite.memory import MemoryLedger
from reactorhub.storage.sqlite.notifications import (
    SqliteIncidentStore,
    next_notifications,
    notification_counts,
    try_notification,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_fact(
    event_kind: IncidentEventKind,
    number: int = 0,
    schedule: str = "prices",
    to: tuple[str, ...] = ("ops",),
    on: frozenset[NotificationKind] = SCHEDULE_KINDS,
    **about: Any,
) -> IncidentEvent:
    """A fact, so many seconds after noon. A missed tick says which it was."""
    at = NOON + number * SECOND
    if event_kind is IncidentEventKind.MISSED:
        when = f"tick {number}"
        about = {
            "missed": {"from": when, "until": when, "more": False, "reason": "the hub was down"},
            **about,
        }
    ids = tuple(f"{schedule}-{number}-{channel}" for channel in to)
    return IncidentEvent(
        event_kind=event_kind, schedule=schedule, at=at, rule=NotifyRule(to, on), ids=ids, about=about
    )


class Store(SqliteIncidentStore):
    """An empty store of incidents and notifications."""

    def __init__(self) -> None:
        self._ledger = MemoryLedger()
        self.db = self._ledger._db
        super().__init__(self.db)


def told(events: Iterable[IncidentEvent], store: Store | None = None) -> list[Notification]:
    """What waits in the end, oldest first in each channel."""
    store = store or Store()
    for event in events:
        announce(event, store)
    found = []
    while heads := next_notifications(store.db):
        found += heads
        for notification in heads:
            store.put(notification.delivered())
    return found


F, S, M, R = (
    IncidentEventKind.FAILED,
    IncidentEventKind.SUCCEEDED,
    IncidentEventKind.MISSED,
    IncidentEventKind.RAN,
)
P, U = IncidentEventKind.PAUSED, IncidentEventKind.RESUMED


@pytest.mark.parametrize(
    ("happenings", "kinds"),
    [
        ([F], ["failed"]),
        ([F, F, F], ["failed"]),
        ([S, S], []),
        ([F, F, S, S], ["failed", "recovered"]),
        ([F, S, F, S], ["failed", "recovered", "failed", "recovered"]),
        ([M, M, R, R], ["missed"]),
        ([P, P, U], ["paused"]),
        ([P, U, P], ["paused", "paused"]),
        ([F, M, P, R, U, S], ["failed", "missed", "paused", "recovered"]),
        ([R, U], []),
    ],
)
def test_one_notification_for_an_incident(happenings: list[IncidentEventKind], kinds: list[str]) -> None:
    """An incident that opens is notified, one that goes on is not; the end of a failure is notified too."""
    events = [a_fact(event_kind, number) for number, event_kind in enumerate(happenings)]
    assert [notification.kind.value for notification in told(events)] == kinds


def test_recovery_says_how_many_failed_since_when() -> None:
    """The notification of a recovery counts the runs that failed, from the first one on."""
    events = [a_fact(F, 1, run={"id": "a"}), a_fact(F, 2), a_fact(F, 3), a_fact(S, 4, run={"id": "b"})]
    failed, recovered = told(events)
    assert (failed.count, failed.since, failed.about) == (1, NOON + SECOND, {"run": {"id": "a"}})
    assert (recovered.count, recovered.since) == (3, NOON + SECOND)
    assert (recovered.about, recovered.created_at) == ({"run": {"id": "b"}}, NOON + 4 * SECOND)


def test_each_channel_has_its_own_notification() -> None:
    """A rule with two channels makes two notifications with ids of their own."""
    notifications = told([a_fact(F, to=("ops", "hook"))])
    assert [(notification.channel, notification.id) for notification in notifications] == [
        ("ops", "prices-0-ops"),
        ("hook", "prices-0-hook"),
    ]


@pytest.mark.parametrize(
    ("on", "kinds"),
    [
        ({NotificationKind.FAILED}, ["failed"]),
        ({NotificationKind.RECOVERED}, ["recovered"]),
        ({NotificationKind.MISSED}, ["missed"]),
        ({NotificationKind.PAUSED}, ["paused"]),
        (set(), []),
    ],
)
def test_only_what_was_asked_for(on: set[NotificationKind], kinds: list[str]) -> None:
    """``on`` chooses what is told; an incident is known all the same."""
    events = [a_fact(each, number, on=frozenset(on)) for number, each in enumerate([F, F, S, M, M, P])]
    assert [notification.kind.value for notification in told(events)] == kinds


def test_schedules_that_miss_together_share_a_message() -> None:
    """Missed ticks of several schedules share one notification per channel, which waits for them."""
    names = [f"s{number}" for number in range(MAX_NAMED + 5)]
    events = [a_fact(M, number, name) for name in names for number in (0, 1)]
    (notification,) = told(events)
    assert notification.not_before == NOON + GATHERING
    assert [entry["schedule"] for entry in notification.about["missed"]] == names[:MAX_NAMED]
    assert notification.about["others"] == 5
    assert notification.about["missed"][0] == {
        "schedule": "s0",
        "ticks": 2,
        "from": "tick 0",
        "until": "tick 1",
        "more": False,
        "reason": "the hub was down",
    }


def test_nothing_joins_a_notification_that_was_tried() -> None:
    """Once a notification was tried its text stays; later misses of other schedules make another one."""
    store = Store()
    announce(a_fact(M, 0, "a"), store)
    try_notification(store.db, "a-0-ops")
    for number in (1, 2):
        announce(a_fact(M, number, "a"), store)
    announce(a_fact(M, 3, "b"), store)
    first, second = told([], store)
    assert [entry["ticks"] for entry in first.about["missed"]] == [1]
    assert [entry["schedule"] for entry in second.about["missed"]] == ["b"]


def test_the_outbox_is_bounded() -> None:
    """Beyond a limit of waiting notifications a channel gives further ones up. Other channels do not."""
    store = Store()
    for number in range(MAX_WAITING + 3):
        announce(a_fact(F, number, f"s{number}"), store)
    announce(a_fact(F, 0, "other", to=("hook",)), store)
    assert (store.waiting("ops"), store.waiting("hook")) == (MAX_WAITING, 1)
    counts = notification_counts(store.db)
    assert counts.given_up == 3
    assert "ops: 1000 notifications already wait in this channel" in str(counts.last_error)


@given(st.lists(st.sampled_from(list(IncidentEventKind))))
def test_alerts_alternate(happenings: list[IncidentEventKind]) -> None:
    """However things go, failures and recoveries are told in turns, and a failure is told if one is open."""
    store, events = Store(), [a_fact(each, number) for number, each in enumerate(happenings)]
    kinds = [notification.kind for notification in told(events, store)]
    about_runs = [kind for kind in kinds if kind in (NotificationKind.FAILED, NotificationKind.RECOVERED)]
    assert about_runs == [NotificationKind.FAILED, NotificationKind.RECOVERED] * (len(about_runs) // 2) + (
        [NotificationKind.FAILED] * (len(about_runs) % 2)
    )
    assert (store.incident("prices", NotificationKind.FAILED) is not None) == bool(len(about_runs) % 2)


def test_judging_counts() -> None:
    """An incident that goes on is counted, and keeps when it began."""
    incident = Incident(schedule="prices", kind=NotificationKind.FAILED, since=NOON)
    assert next_incident(incident, a_fact(F, 9)) == (replace(incident, count=2), None)


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 10), (2, 20), (3, 40), (9, 2560), (10, 3600), (5000, 3600)]
)
def test_waits_grow(attempts: int, seconds: float) -> None:
    """A notification is tried again after 10 seconds, then twice as long each time, at most after an hour."""
    assert retry_delay(attempts) == seconds


def a_notification(**events: Any) -> Notification:
    """A notification of noon."""
    told = {"id": "1", "channel": "ops", "kind": NotificationKind.FAILED, "schedule": "prices"} | events
    return Notification(created_at=NOON, not_before=NOON, since=NOON, **told)


@pytest.mark.parametrize(
    ("age", "again", "after", "state", "waits"),
    [
        (timedelta(), True, None, NotificationState.WAITING, timedelta(seconds=10)),
        (timedelta(), True, 300.0, NotificationState.WAITING, timedelta(seconds=300)),
        (timedelta(), True, 1.0, NotificationState.WAITING, timedelta(seconds=10)),
        (timedelta(), True, 1e12, NotificationState.WAITING, GIVE_UP_AFTER),
        (timedelta(), False, None, NotificationState.GIVEN_UP, None),
        (GIVE_UP_AFTER - SECOND, True, None, NotificationState.WAITING, SECOND),
        (GIVE_UP_AFTER, True, None, NotificationState.GIVEN_UP, None),
    ],
)
def test_after_a_try_that_failed(
    age: timedelta, again: bool, after: float | None, state: NotificationState, waits: timedelta | None
) -> None:
    """A notification waits as long as it should, or was asked to. After a day it is given up."""
    notification = a_notification(attempts=1).failed("no answer", NOON + age, again, after)
    assert (notification.state, notification.error) == (state, "no answer")
    if waits is not None:
        assert notification.not_before == NOON + age + waits


def test_delivered() -> None:
    """A notification that has arrived has no error any more."""
    notification = a_notification(error="no answer").delivered()
    assert (notification.state, notification.error) == (NotificationState.DELIVERED, None)
