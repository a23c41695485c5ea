"""What every ledger promises as a whole: counts, and being closed and opened again."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase, TestCase

from reactorhub.errors import LedgerError
from reactorhub.model.batch import Batch
from reactorhub.model.run import RunState
from reactorhub.storage.ledger import LedgerCounts, Page, RunFilter
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.storage.ledger_cases import FULL_RUN, NOON, InMemory, LedgerSuite, OnDisk, a_run, a_tick


class WholeSuite(LedgerSuite):
    """What every ledger promises as a whole: counts, and being closed and opened again."""

    async def test_nothing_kept(self) -> None:
        """An empty ledger answers everything, with nothing."""
        self.assertEqual(await self.ledger.runs(RunFilter(spider="prices"), 5), Page((), None))
        self.assertEqual(await self.ledger.ticks("hourly", 5), Page((), None))
        self.assertEqual((await self.ledger.waiting_runs(), await self.ledger.last_runs()), ([], {}))
        self.assertEqual((await self.ledger.progress(), await self.ledger.overrides()), ({}, {}))
        self.assertEqual(await self.ledger.counts(), LedgerCounts(runs={}, ticks=0))

    async def test_counts(self) -> None:
        """The counts follow adds, saves, ticks and ends, and leave out states that do not occur."""
        await self.add(a_run(1), a_run(2), a_run(3, state=RunState.RUNNING))
        await self.ledger.record_tick(a_tick(4), a_run(4))
        await self.ledger.record_tick(a_tick(4), a_run(5))
        await self.ledger.save_run(a_run(2, state=RunState.SUCCEEDED))
        await self.ledger.save_run(a_run(2, state=RunState.SUCCEEDED))
        await self.ledger.finish_run(a_run(3, state=RunState.INTERRUPTED))
        expected = {RunState.QUEUED: 2, RunState.SUCCEEDED: 1, RunState.INTERRUPTED: 1}
        self.assertEqual(await self.ledger.counts(), LedgerCounts(runs=expected, ticks=1))

    async def test_nothing_kept_can_be_changed_from_outside(self) -> None:
        """Changing the mappings of a run after it was added, or those of an answer, changes nothing kept."""
        stats = {"count": 1}
        await self.add(replace(a_run(1), stats=stats))
        stats["count"] = 2
        answer = await self.ledger.run("run-1")
        self.assertEqual(answer.stats, {"count": 1})

    async def test_closed(self) -> None:
        """After close every call fails with LedgerError, and another close does nothing."""
        await self.ledger.close()
        calls = [
            lambda: self.ledger.add_run(a_run(1)),
            lambda: self.ledger.save_run(a_run(1)),
            lambda: self.ledger.record_tick(a_tick(1)),
            lambda: self.ledger.finish_run(a_run(1)),
            lambda: self.ledger.set_progress([]),
            lambda: self.ledger.set_override("x", 1),
            lambda: self.ledger.prune(NOON, 2),
            lambda: self.ledger.run("run-1"),
            lambda: self.ledger.runs(RunFilter(), 1),
            lambda: self.ledger.add_batch(Batch(id="b", created_at=NOON), []),
            lambda: self.ledger.batch("b"),
            self.ledger.open_batches,
            self.ledger.waiting_runs,
            self.ledger.last_runs,
            lambda: self.ledger.ticks("hourly", 1),
            self.ledger.counts,
            self.ledger.progress,
            self.ledger.overrides,
        ]
        for call in calls:
            with self.assertRaises(LedgerError):
                await call()
        self.assertIsNone(await self.ledger.close())

    async def test_opened_again(self) -> None:
        """What was kept is there after closing and opening again."""
        await self.ledger.record_tick(a_tick(0, run_id="run-0"), FULL_RUN)
        await self.ledger.close()
        await self.ledger.open()
        self.assertEqual(await self.ledger.run("run-0"), FULL_RUN)
        self.assertEqual((await self.ledger.counts()).ticks, 1)


class MemoryWholeTests(WholeSuite, InMemory, TestCase):
    """In memory."""


class SqliteWholeTests(WholeSuite, OnDisk, TestCase):
    """On disk."""


class FailingMemoryTests(SynchronousTestCase):
    """The switch of the double."""

    def test_fail_writes(self) -> None:
        """With ``fail_writes`` set each write fails with it and changes nothing, while reads go on."""
        ledger = MemoryLedger()
        self.successResultOf(ledger.add_run(a_run(1)))
        ledger.fail_writes = LedgerError("the disk is full")
        for asked in (ledger.add_run(a_run(2)), ledger.record_tick(a_tick(1)), ledger.set_override("x", 1)):
            self.assertEqual(str(self.failureResultOf(asked, LedgerError).value), "the disk is full")
        self.assertEqual(
            self.successResultOf(ledger.counts()), LedgerCounts(runs={RunState.QUEUED: 1}, ticks=0)
        )
        ledger.fail_writes = None
        self.successResultOf(ledger.add_run(a_run(2)))
