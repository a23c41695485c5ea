"""Incidents and notifications in both ledgers: written with what they are about, and settled one by one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError
from reactorhub.model.follow_up import FollowUp
from reactorhub.model.notification import IncidentEventKind, Notification, NotificationKind, NotificationState
from reactorhub.model.run import RunState
from reactorhub.model.schedule import ScheduleProgress, TickOutcome
from reactorhub.policies.incidents import MAX_SETTLED, MAX_WAITING
from reactorhub.storage.ledger import Ledger
from reactorhub.storage.outbox import NotificationCounts
from reactorhub.storage.rows import NOTIFICATIONS
from reactorhub.storage.sqlite.ledger import SqliteLedger
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.policies.test_incidents import a_fact
from tests.storage.ledger_cases import NOON, a_run, a_tick
from tests.support.hubs import hub_log

FULL = Notification(
    id="1",
    channel="ops",
    kind=NotificationKind.RECOVERED,
    schedule="prices",
    created_at=NOON,
    not_before=NOON + timedelta(seconds=10),
    since=NOON - timedelta(hours=1),
    count=3,
    about={"run": {"stats": {"a": [1, None]}, "reason": "ü"}},
    state=NotificationState.GIVEN_UP,
    attempts=4,
    error="no answer",
)


def test_every_field_comes_back() -> None:
    """A notification that was written down reads back the same."""
    assert NOTIFICATIONS.read(NOTIFICATIONS.write(FULL)) == FULL


class OutboxSuite:
    """What an outbox does, whatever it is made of."""

    ledger: Ledger

    async def waiting(self) -> list[str]:
        """The ids of the oldest waiting notifications, by channel."""
        return [notification.id for notification in await self.ledger.next_notifications()]

    async def fail(self, number: int, schedule: str = "prices", **choices: Any) -> None:
        """Let a run of a schedule fail, which is told."""
        await self.ledger.add_run(a_run(number, state=RunState.RUNNING))
        incident_event = a_fact(
            IncidentEventKind.FAILED, number, schedule, run={"id": f"run-{number}"}, **choices
        )
        await self.ledger.finish_run(
            a_run(number, state=RunState.FAILED), FollowUp(incident_event=incident_event)
        )

    async def test_a_runs_end_is_told(self) -> None:
        """A notification comes with the end of the run that it is about, and reads back whole."""
        await self.fail(1)
        (notification,) = await self.ledger.next_notifications()
        self.assertEqual(
            notification,
            Notification(
                id="prices-1-ops",
                channel="ops",
                kind=NotificationKind.FAILED,
                schedule="prices",
                created_at=NOON + timedelta(seconds=1),
                not_before=NOON + timedelta(seconds=1),
                since=NOON + timedelta(seconds=1),
                about={"run": {"id": "run-1"}},
            ),
        )

    async def test_an_end_that_is_not_kept_is_not_told(self) -> None:
        """Where the end of a run is refused there is no notification, and no incident either."""
        incident_event = a_fact(IncidentEventKind.FAILED, 1)
        with self.assertRaises(LedgerError):
            await self.ledger.finish_run(
                a_run(1, state=RunState.FAILED), FollowUp(incident_event=incident_event)
            )
        self.assertEqual(await self.waiting(), [])
        await self.fail(2)
        self.assertEqual(await self.waiting(), ["prices-2-ops"])

    async def test_ticks_are_told_once(self) -> None:
        """A missed tick is told with its row; one that has its row already tells nothing again."""
        tick = a_tick(1, schedule="prices", outcome=TickOutcome.MISSED)
        for number in (1, 2):
            await self.ledger.record_tick(tick, None, a_fact(IncidentEventKind.MISSED, number))
        (notification,) = await self.ledger.next_notifications()
        self.assertEqual([entry["ticks"] for entry in notification.about["missed"]], [1])

    async def test_a_tick_that_runs_ends_a_downtime(self) -> None:
        """After a tick that ran, missed ticks are told anew."""
        for minute, event_kind in enumerate(
            [IncidentEventKind.MISSED, IncidentEventKind.RAN, IncidentEventKind.MISSED]
        ):
            incident_event = a_fact(event_kind, minute)
            await self.ledger.record_tick(a_tick(minute, schedule="prices"), None, incident_event)
            for notification in await self.ledger.next_notifications():
                await self.ledger.settle_notification(notification.delivered())
        await self.ledger.record_tick(a_tick(4, schedule="x"), None, a_fact(IncidentEventKind.MISSED, 4, "x"))
        self.assertEqual(await self.waiting(), ["x-4-ops"])
        self.assertEqual((await self.ledger.notification_counts()).waiting, 1)

    async def test_pauses_are_told(self) -> None:
        """A pause is told with the mark that it is kept in."""
        progress = ScheduleProgress(name="prices", fingerprint="f", accounted_until=NOON, paused=True)
        await self.ledger.set_progress([progress], incident_event=a_fact(IncidentEventKind.PAUSED, 1))
        self.assertEqual(await self.waiting(), ["prices-1-ops"])
        self.assertTrue((await self.ledger.progress())["prices"].paused)

    async def test_incidents_are_kept(self) -> None:
        """A failure that goes on is not told again after the ledger was opened anew; its end is."""
        await self.fail(1)
        await self.ledger.close()
        await self.ledger.open()
        await self.fail(2)
        self.assertEqual((await self.ledger.notification_counts()).waiting, 1)
        await self.ledger.add_run(a_run(3, state=RunState.RUNNING))
        incident_event = a_fact(IncidentEventKind.SUCCEEDED, 3)
        await self.ledger.finish_run(
            a_run(3, state=RunState.SUCCEEDED), FollowUp(incident_event=incident_event)
        )
        (first,) = await self.ledger.next_notifications()
        await self.ledger.settle_notification(first.delivered())
        (second,) = await self.ledger.next_notifications()
        self.assertEqual((second.kind, second.count), (NotificationKind.RECOVERED, 2))

    async def test_order_in_each_channel(self) -> None:
        """The oldest that waits comes first, in each channel by itself."""
        await self.fail(1, "a", to=("ops", "hook"))
        await self.fail(2, "b", to=("ops",))
        self.assertEqual(await self.waiting(), ["a-1-ops", "a-1-hook"])
        first = (await self.ledger.next_notifications())[0]
        await self.ledger.settle_notification(first.delivered())
        self.assertEqual(sorted(await self.waiting()), ["a-1-hook", "b-2-ops"])

    async def test_tries_are_counted(self) -> None:
        """A try is counted before it is made. Its result is stored, and the notification still waits."""
        await self.fail(1)
        tried = await self.ledger.try_notification("prices-1-ops")
        self.assertEqual(tried.attempts, 1)
        failed = tried.failed("no answer", NOON, True)
        await self.ledger.settle_notification(failed)
        self.assertEqual(await self.ledger.next_notifications(), [failed])
        self.assertEqual(await self.ledger.notification_counts(), NotificationCounts(1, 0, "ops: no answer"))

    async def test_what_is_not_there_cannot_be_tried(self) -> None:
        """An unknown notification is refused."""
        with self.assertRaises(LedgerError):
            await self.ledger.try_notification("nothing")

    async def test_only_the_newest_settled_are_kept(self) -> None:
        """Notifications that are settled do not pile up for ever."""
        for number in range(MAX_SETTLED + 2):
            settled = replace(FULL, id=str(number), channel="hook")
            await self.ledger.settle_notification(settled)
        self.assertEqual((await self.ledger.notification_counts()).given_up, MAX_SETTLED)

    async def test_tidying(self) -> None:
        """Incidents of schedules that tell nobody any more are forgotten; without a channel nothing waits."""
        await self.fail(1, "a")
        await self.fail(2, "b", to=("old",))
        await self.ledger.forget_removed(["b"], ["ops"])
        self.assertEqual(await self.waiting(), ["a-1-ops"])
        counts = await self.ledger.notification_counts()
        self.assertEqual((counts.waiting, counts.given_up), (1, 1))
        self.assertEqual(counts.last_error, "old: the schedule file has no such channel any more")
        await self.fail(3, "a")
        await self.fail(4, "b")
        self.assertEqual((await self.ledger.notification_counts()).waiting, 2)

    async def test_what_is_given_up_is_in_the_log(self) -> None:
        """A notification in a full channel, or without its channel, is given up with a line in the log."""
        with hub_log() as events:
            for number in range(MAX_WAITING + 1):
                await self.ledger.settle_notification(
                    replace(FULL, id=str(number), state=NotificationState.WAITING, channel="hook")
                )
            await self.fail(1, to=("hook", "ops"))
            await self.ledger.forget_removed([], ["hook"])
        lost = [event for event in events if "given up" in event.get("log_format", "")]
        self.assertEqual([event["id"] for event in lost], ["prices-1-hook", "prices-1-ops"])
        self.assertIn("1000 notifications already wait", lost[0]["error"])

    async def test_tidying_keeps_only_the_newest(self) -> None:
        """A channel that was removed keeps as many notifications as any other."""
        for number in range(MAX_SETTLED):
            await self.ledger.settle_notification(replace(FULL, id=str(number), channel="old"))
        await self.fail(1, to=("old",))
        await self.ledger.forget_removed([], ["ops"])
        self.assertEqual((await self.ledger.notification_counts()).given_up, MAX_SETTLED)

    async def test_a_mistake_in_the_rules_costs_the_notification_alone(self) -> None:
        """Where the rules themselves go wrong the run's end is kept all the same, and the log says so."""
        await self.ledger.add_run(a_run(1, state=RunState.RUNNING))
        broken = replace(a_fact(IncidentEventKind.FAILED, 1), ids=())
        with hub_log() as events:
            await self.ledger.finish_run(a_run(1, state=RunState.FAILED), FollowUp(incident_event=broken))
        self.assertIs((await self.ledger.run("run-1")).state, RunState.FAILED)
        self.assertIn("no notification is sent", str([event.get("log_format") for event in events]))
        self.flushLoggedErrors(ValueError)  # type: ignore[attr-defined]


class MemoryOutboxTests(OutboxSuite, TestCase):
    """The outbox of the double."""

    def setUp(self) -> None:
        """Begin with nothing."""
        self.ledger = MemoryLedger()


class SqliteOutboxTests(OutboxSuite, TestCase):
    """The outbox on disk."""

    def setUp(self) -> Any:
        """Begin with an empty file."""
        from twisted.internet import reactor

        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "hub.db"
        self.ledger = SqliteLedger(self.path, reactor)
        self.addCleanup(self.ledger.close)
        return self.ledger.open()

    async def test_the_next_notification_costs_no_search(self) -> None:
        """The oldest waiting notifications are found along the index, however many are settled."""
        from reactorhub.storage.sqlite import notifications

        seen: list[str] = []

        class Watched:
            """A database that explains instead of asking."""

            def __init__(self, db: sqlite3.Connection) -> None:
                self.db = db

            def execute(self, sql: str) -> Any:
                seen.extend(row[3] for row in self.db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
                return self.db.execute(sql)

        with closing(sqlite3.connect(self.path)) as db:
            self.assertEqual(notifications.next_notifications(Watched(db)), [])  # type: ignore[arg-type]
        scans = [step for step in seen if step.startswith("SCAN") and "channels" not in step]
        self.assertEqual(scans, [])
