"""How far schedules are accounted for, and what was set by hand, as every ledger keeps it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from twisted.trial.unittest import TestCase

from reactorhub.model.schedule import ScheduleProgress, TickOutcome
from tests.storage.ledger_cases import MINUTE, NOON, InMemory, LedgerSuite, OnDisk, a_run, a_tick


class MarkSuite(LedgerSuite):
    """How far schedules are accounted for, and what was set by hand, as every ledger keeps it."""

    async def test_ticks_move_the_mark_forward_only(self) -> None:
        """A tick moves its schedule's mark to its time, or its ``until``, never back and no other mark."""
        progress = [
            ScheduleProgress(name=name, fingerprint="f", accounted_until=NOON, paused=True)
            for name in ("hourly", "daily")
        ]
        await self.ledger.set_progress(progress)
        since = []
        for tick in (a_tick(5), a_tick(3), a_tick(6, until=NOON + 8 * MINUTE), a_tick(7)):
            await self.ledger.record_tick(tick)
            since.append((await self.ledger.progress())["hourly"].accounted_until)
        self.assertEqual(since, [NOON + minutes * MINUTE for minutes in (5, 5, 8, 8)])
        self.assertEqual(
            await self.ledger.progress(),
            {"hourly": replace(progress[0], accounted_until=since[-1], runs=4), "daily": progress[1]},
        )

    async def test_a_misled_mark_follows_the_tick_back(self) -> None:
        """A mark more than a day ahead of the clock came of a wrong one: the next tick puts it right."""
        for days, expected in ((1, NOON + timedelta(days=1)), (2, NOON + MINUTE)):
            progress = ScheduleProgress(
                name=f"{days}", fingerprint="f", accounted_until=NOON + timedelta(days=days)
            )
            await self.ledger.set_progress([progress])
            await self.ledger.record_tick(a_tick(1, schedule=progress.name))
            self.assertEqual((await self.ledger.progress())[progress.name].accounted_until, expected)

    async def test_a_mark_follows_a_tick_that_has_its_row(self) -> None:
        """A tick told again moves the mark to its own time, a range of ticks no further than to its first."""
        await self.ledger.set_progress(
            [ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON - MINUTE)]
        )
        for minute in (0, 1):
            await self.ledger.record_tick(a_tick(minute, outcome=TickOutcome.MISSED))
        await self.ledger.set_progress(
            [ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON - MINUTE)]
        )
        again = a_tick(0, outcome=TickOutcome.MISSED, until=NOON + 9 * MINUTE)
        self.assertFalse(await self.ledger.record_tick(again))
        self.assertEqual((await self.ledger.progress())["hourly"].accounted_until, NOON)
        self.assertFalse(await self.ledger.record_tick(a_tick(1, outcome=TickOutcome.MISSED)))
        self.assertEqual((await self.ledger.progress())["hourly"].accounted_until, NOON + MINUTE)

    async def test_a_mark_does_not_pass_a_tick_that_is_not_accounted_for(self) -> None:
        """A tick told after one whose write failed has its row, but the mark waits for that other one."""
        progress = ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON)
        for since in (NOON, NOON + timedelta(days=2)):
            await self.ledger.set_progress([replace(progress, accounted_until=since)])
            for _ in range(2):
                await self.ledger.record_tick(a_tick(2), after=NOON + MINUTE)
                self.assertEqual((await self.ledger.progress())["hourly"].accounted_until, since)
        await self.ledger.set_progress([progress])
        await self.ledger.record_tick(a_tick(1))
        await self.ledger.record_tick(a_tick(2), after=NOON + MINUTE)
        self.assertEqual((await self.ledger.progress())["hourly"].accounted_until, NOON + 2 * MINUTE)

    async def test_a_misled_mark_follows_a_tick_that_is_known(self) -> None:
        """It does so too where the tick ran before: else the next downtime would not be accounted for."""
        await self.ledger.record_tick(a_tick(1))
        progress = ScheduleProgress(
            name="hourly", fingerprint="f", accounted_until=NOON + timedelta(days=2), runs=3
        )
        await self.ledger.set_progress([progress])
        self.assertFalse(await self.ledger.record_tick(a_tick(1), a_run(1)))
        self.assertEqual(
            (await self.ledger.progress())["hourly"], replace(progress, accounted_until=NOON + MINUTE)
        )

    async def test_a_tick_makes_no_mark(self) -> None:
        """A tick of a schedule without a mark leaves it without one."""
        await self.ledger.record_tick(a_tick(1))
        self.assertEqual(await self.ledger.progress(), {})

    async def test_marks_are_replaced_and_forgotten(self) -> None:
        """Marks named to be kept are replaced whole, those to be forgotten go, all others stay."""
        kept = [
            ScheduleProgress(name=name, fingerprint="1", accounted_until=NOON) for name in ("a", "b", "c")
        ]
        await self.ledger.set_progress(kept)
        paused = ScheduleProgress(
            name="a", fingerprint="2", accounted_until=NOON, paused=True, paused_reason="by hand"
        )
        await self.ledger.set_progress([paused], forget=["b", "unknown"])
        self.assertEqual(await self.ledger.progress(), {"a": paused, "c": kept[2]})

    async def test_overrides(self) -> None:
        """An override is any JSON value; the last one counts, and None removes it."""
        await self.ledger.set_override("limits", {"max_concurrent_runs": 4})
        await self.ledger.set_override("limits", {"queues": {"heavy": [1, None]}})
        await self.ledger.set_override("other", 0)
        self.assertEqual(
            await self.ledger.overrides(), {"limits": {"queues": {"heavy": [1, None]}}, "other": 0}
        )
        await self.ledger.set_override("limits", None)
        await self.ledger.set_override("unknown", None)
        self.assertEqual(await self.ledger.overrides(), {"other": 0})


class MemoryMarkTests(MarkSuite, InMemory, TestCase):
    """In memory."""


class SqliteMarkTests(MarkSuite, OnDisk, TestCase):
    """On disk."""
