"""What people read, and what programs get."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reactorhub.model.notification import Notification, NotificationKind
from reactorhub.notifications.messages import notification_view, text, title
from tests.notifications.channel_cases import NOON, RUN, a_notification

LATER = NOON + timedelta(hours=2)


def missed(*names: str, others: int = 0, ticks: int = 1, more: bool = False) -> Notification:
    """A notification of ticks that these schedules missed."""
    entries = [
        {"schedule": name, "ticks": ticks, "from": "1:00", "until": "9:00", "more": more, "reason": "down"}
        for name in names
    ]
    return a_notification(
        NotificationKind.MISSED, schedule=names[0], about={"missed": entries, "others": others}
    )


@pytest.mark.parametrize(
    ("notification", "line"),
    [
        (a_notification(), "[lab] prices failed"),
        (a_notification(about={"run": {**RUN, "state": "timed_out"}}), "prices timed out"),
        (
            a_notification(NotificationKind.RECOVERED, count=1),
            "[lab] prices succeeded again after 1 run that failed",
        ),
        (
            a_notification(NotificationKind.RECOVERED, count=3),
            "[lab] prices succeeded again after 3 runs that failed",
        ),
        (a_notification(NotificationKind.PAUSED), "[lab] prices is paused"),
        (a_notification(NotificationKind.TEST), "[lab] a test message"),
        (missed("prices"), "prices missed ticks"),
        (missed("prices", "news", others=3), "5 schedules missed ticks"),
    ],
)
def test_titles(notification: Notification, line: str) -> None:
    """One line says which schedule, and what."""
    assert title(notification) == line


@pytest.mark.parametrize(
    ("notification", "expected"),
    [
        (a_notification(), "error: ValueError: größer\nattempt: 3\n"),
        (
            a_notification(),
            "log: /api/runs/01a200e6-efb3-7007-b5e3-bd2624e9c3cc/log\n\nFurther failures are not reported",
        ),
        (
            a_notification(NotificationKind.RECOVERED, count=3),
            "3 runs had failed since 2026-03-01 12:00:00 UTC.\n",
        ),
        (
            a_notification(NotificationKind.PAUSED, about={"schedule": {"paused_reason": "why"}}),
            "prices is paused: why\n",
        ),
        (a_notification(NotificationKind.TEST), "notifications arrive"),
        (missed("prices"), "prices: 1 tick, 1:00 to 9:00: down\n"),
        (
            missed("prices", "news", others=3, ticks=7),
            "news: 7 ticks, 1:00 to 9:00: down\nand 3 more schedules",
        ),
        (missed("prices", ticks=7, more=True), "prices: more than 7 ticks, 1:00"),
    ],
)
def test_texts(notification: Notification, expected: str) -> None:
    """The text says what there is to know, and no word where nothing is known."""
    assert expected in text(notification)
    assert "None" not in text(notification)


def test_what_others_wrote_is_shown_plainly() -> None:
    """Text from a spider or a site cannot add lines, cannot hide anything, and is cut where it is long."""
    reason = "a\r\nrun: forged\x00\x1b[31m\u202eno\ud800\u2028b\tc é\xa0€" + "x" * 5000
    lines = text(a_notification(about={"run": {"reason": reason}})).splitlines()
    assert lines[1:4] == ["reason: a", "  run: forged\\x00\\x1b[31m\\u202eno\\ud800", lines[3]]
    assert lines[3].startswith("  b\tc é\xa0€xxx")
    assert lines[3].endswith("x…")
    assert sum(map(len, lines)) < 2500
    paused = a_notification(NotificationKind.PAUSED, about={"schedule": {"paused_reason": "a\nb\x07"}})
    assert "is paused: a\n  b\\x07\n" in text(paused)


def test_view() -> None:
    """Programs get the type, the time, and in ``data`` all that is known."""
    view = notification_view(a_notification(NotificationKind.RECOVERED, count=2, created_at=LATER))
    assert view["type"] == "schedule.recovered"
    assert view["timestamp"] == "2026-03-01T14:00:00.000000Z"
    assert view["data"].keys() == {"name", "title", "text", "since", "count", "hub", "run"}
    assert (view["data"]["since"], view["data"]["count"]) == ("2026-03-01T12:00:00.000000Z", 2)


def test_view_of_a_test() -> None:
    """A test is about no schedule and no incident."""
    data = notification_view(a_notification(NotificationKind.TEST, schedule="", about={"hub": "lab"}))["data"]
    assert (data["name"], data["since"], data["count"], data["hub"]) == (None, None, None, "lab")
