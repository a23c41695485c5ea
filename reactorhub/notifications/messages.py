"""The content of a notification: a title, a text for people, and JSON for programs."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reactorhub.errors import shortened
from reactorhub.model.notification import Notification, NotificationKind
from reactorhub.model.values import View, time_text

EVENT = "schedule."
"""The type of a notification about a schedule begins with this."""


MAX_LENGTH = 2000
"""Characters of a reason, or of any other text that the hub did not write. The rest is cut off."""

_ODD = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories of invisible characters, and of those that change how others look. They are escaped."""


def plain(text: str, limit: int = MAX_LENGTH) -> str:
    """Return a text by a spider, a site or a server in a form that is safe to show.

    All lines but the first are indented, so that none of them looks like a line of the hub.
    """
    return "\n  ".join(_without_tricks(line) for line in shortened(text, limit).splitlines())


def _without_tricks(line: str) -> str:
    return "".join(
        ascii(each)[1:-1] if each != "\t" and unicodedata.category(each) in _ODD else each for each in line
    )


def notification_view(notification: Notification) -> View:
    """Return a notification as JSON values: ``id``, and the ``type``, ``timestamp`` and ``data`` that the
    Standard Webhooks specification advises."""
    test = notification.kind is NotificationKind.TEST
    return {
        "id": notification.id,
        "type": "test" if test else f"{EVENT}{notification.kind.value}",
        "timestamp": time_text(notification.created_at),
        "data": {
            "name": notification.schedule or None,
            "title": title(notification),
            "text": text(notification),
            "since": None if test else time_text(notification.since),
            "count": None if test else notification.count,
            **notification.about,
        },
    }


def title(notification: Notification) -> str:
    """Return the title of a notification, one line."""
    hub = notification.about.get("hub")
    return f"[{hub}] {_title(notification)}" if hub else _title(notification)


def _title(notification: Notification) -> str:
    match notification.kind:
        case NotificationKind.FAILED:
            how = "timed out" if _run(notification).get("state") == "timed_out" else "failed"
            return f"{notification.schedule} {how}"
        case NotificationKind.RECOVERED:
            return f"{notification.schedule} succeeded again after {_runs(notification.count)} that failed"
        case NotificationKind.PAUSED:
            return f"{notification.schedule} is paused"
        case NotificationKind.MISSED:
            missing = len(_missed(notification)) + notification.about.get("others", 0)
            who = f"{missing} schedules" if missing > 1 else notification.schedule
            return f"{who} missed ticks"
    return "a test message"


def text(notification: Notification) -> str:
    """Return the text of a notification, for people."""
    match notification.kind:
        case NotificationKind.FAILED:
            lines = [
                *_about_run(notification),
                "",
                "Further failures are not reported until a run of this schedule succeeds.",
            ]
        case NotificationKind.RECOVERED:
            failed = f"{_runs(notification.count)} had failed since {_clock(notification.since)}."
            lines = [failed, "", *_about_run(notification)]
        case NotificationKind.MISSED:
            lines = [
                *(_missing(entry) for entry in _missed(notification)),
                *([f"and {others} more schedules"] if (others := notification.about.get("others")) else []),
                "",
                "Missed ticks do not run. Further ones are not reported until a tick of the schedule runs.",
            ]
        case NotificationKind.PAUSED:
            reason = notification.about.get("schedule", {}).get("paused_reason")
            lines = [
                f"{notification.schedule} is paused: {plain(str(reason))}",
                "",
                "Its ticks are skipped until it is resumed: "
                f"POST /api/schedules/{notification.schedule}/resume",
            ]
        case NotificationKind.TEST:
            lines = ["If you can read this, notifications arrive."]
    return "\n".join(lines)


def _about_run(notification: Notification) -> list[str]:
    run = _run(notification)
    facts = {
        "schedule": notification.schedule,
        "time": run.get("nominal_time"),
        "state": run.get("state"),
        "reason": run.get("reason"),
        "error": run.get("error"),
        "attempt": run.get("attempt"),
        "finished": run.get("finished_at"),
        "run": run.get("id"),
        "log": (run.get("links") or {}).get("log"),
    }
    return [f"{name}: {plain(str(value))}" for name, value in facts.items() if value is not None]


def _missing(entry: Mapping[str, Any]) -> str:
    span = entry["from"] if entry["from"] == entry["until"] else f"{entry['from']} to {entry['until']}"
    ticks = "1 tick" if entry["ticks"] == 1 else f"{entry['ticks']} ticks"
    ticks = f"more than {ticks}" if entry["more"] else ticks
    return f"{entry['schedule']}: {ticks}, {span}: {entry['reason']}"


def _missed(notification: Notification) -> list[Mapping[str, Any]]:
    return list(notification.about.get("missed", ()))


def _run(notification: Notification) -> Mapping[str, Any]:
    return notification.about.get("run") or {}


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
