"""Ticks as every ledger keeps them: each one once, with its run."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError
from reactorhub.model.schedule import ScheduleProgress, TickOutcome
from tests.storage.ledger_cases import MINUTE, NOON, InMemory, LedgerSuite, OnDisk, a_run, a_tick


class TickSuite(LedgerSuite):
    """Ticks as every ledger keeps them: each one once, with its run."""

    async def test_ticks_come_back(self) -> None:
        """A schedule's ticks read back the same, newest nominal time first, in whatever order they came."""
        ticks = [
            a_tick(2, run_id="run-2"),
            a_tick(1, outcome=TickOutcome.MISSED, reason="The hub was down.", until=NOON + 2 * MINUTE),
            a_tick(3, outcome=TickOutcome.SKIPPED, reason="paused", recorded_at=NOON + MINUTE),
        ]
        for tick in (*ticks, a_tick(9, schedule="daily")):
            self.assertTrue(await self.ledger.record_tick(tick))
        pages = await self.pages(lambda cursor: self.ledger.ticks("hourly", 2, cursor))
        self.assertEqual(pages, [(ticks[2], ticks[0]), (ticks[1],)])

    async def test_a_tick_is_recorded_once(self) -> None:
        """A second row for the same schedule and nominal time writes nothing: no tick, no run, no mark."""
        progress = ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON)
        await self.ledger.set_progress([progress])
        self.assertTrue(await self.ledger.record_tick(a_tick(1, run_id="run-1"), a_run(1)))
        again = a_tick(1, run_id="run-2", until=NOON + 9 * MINUTE)
        self.assertFalse(await self.ledger.record_tick(again, a_run(2)))
        self.assertEqual(await self.listed(), ["run-1"])
        self.assertEqual((await self.ledger.ticks("hourly", 5)).rows, (a_tick(1, run_id="run-1"),))
        self.assertEqual((await self.ledger.progress())["hourly"].accounted_until, NOON + MINUTE)

    async def test_a_tick_and_its_run_are_one(self) -> None:
        """Where the run is refused the tick is not kept either, and the mark does not move."""
        await self.add(a_run(1))
        await self.ledger.set_progress(
            [ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON)]
        )
        with self.assertRaises(LedgerError):
            await self.ledger.record_tick(a_tick(1), a_run(1))
        self.assertEqual((await self.ledger.ticks("hourly", 5)).rows, ())
        self.assertEqual((await self.ledger.progress())["hourly"].accounted_until, NOON)
        self.assertTrue(await self.ledger.record_tick(a_tick(1), a_run(2)))

    async def test_a_missed_tick_gives_way(self) -> None:
        """A tick missed under a clock that was ahead may still be run or skipped when its time does come."""
        missed = a_tick(1, outcome=TickOutcome.MISSED, reason="The hub was down.")
        await self.ledger.record_tick(missed)
        self.assertFalse(await self.ledger.record_tick(replace(missed, reason="It was down again.")))
        self.assertEqual((await self.ledger.ticks("hourly", 5)).rows, (missed,))
        self.assertTrue(await self.ledger.record_tick(a_tick(1, run_id="run-1"), a_run(1)))
        self.assertFalse(await self.ledger.record_tick(a_tick(1, run_id="run-2"), a_run(2)))
        self.assertEqual((await self.ledger.ticks("hourly", 5)).rows, (a_tick(1, run_id="run-1"),))
        self.assertEqual((await self.ledger.counts()).ticks, 1)

    async def test_only_single_missed_ticks_give_way(self) -> None:
        """A row that stands for several missed ticks stays, and so does one that was skipped."""
        several = a_tick(1, outcome=TickOutcome.MISSED, until=NOON + 5 * MINUTE)
        skipped = a_tick(7, outcome=TickOutcome.SKIPPED, reason="paused")
        for minute, kept in ((1, several), (7, skipped)):
            await self.ledger.record_tick(kept)
            self.assertFalse(await self.ledger.record_tick(a_tick(minute), a_run(minute)))
        self.assertEqual((await self.ledger.ticks("hourly", 5)).rows, (skipped, several))
        self.assertEqual(await self.listed(), [])


class MemoryTickTests(TickSuite, InMemory, TestCase):
    """In memory."""


class SqliteTickTests(TickSuite, OnDisk, TestCase):
    """On disk."""
