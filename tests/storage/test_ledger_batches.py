"""Batches as every ledger keeps them."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError, UnknownBatch
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import FollowUp
from reactorhub.model.run import RunState
from reactorhub.storage.ledger import RunFilter
from tests.storage.ledger_cases import MINUTE, NOON, InMemory, LedgerSuite, OnDisk, a_run


class BatchSuite(LedgerSuite):
    """Batches as every ledger keeps them."""

    async def test_the_last_end_completes_a_batch(self) -> None:
        """The run that a batch wants in the end is kept with the end of its last run, whichever that is."""
        batch = Batch(id="b", created_at=NOON, on_complete={"run": {"spider": "report"}})
        runs = [a_run(number, batch="b") for number in (1, 2, 3)]
        await self.ledger.add_batch(batch, runs)
        self.assertEqual(await self.ledger.waiting_runs(), runs)
        self.assertEqual(await self.ledger.open_batches(), [batch])
        ends = [replace(run, state=RunState.FAILED, finished_at=NOON + MINUTE) for run in runs]
        attempt = a_run(4, batch="b", retry_of="run-2")
        first = await self.ledger.finish_run(ends[0], FollowUp(completion=a_run(8)))
        second = await self.ledger.finish_run(ends[1], FollowUp(attempt=attempt))
        third = await self.ledger.finish_run(ends[2], FollowUp(completion=a_run(8)))
        self.assertEqual((first, second, third), (FollowUp(), FollowUp(attempt=attempt), FollowUp()))
        self.assertEqual(await self.ledger.batch("b"), (batch, {RunState.FAILED: 3, RunState.QUEUED: 1}))
        last = replace(attempt, state=RunState.SUCCEEDED, finished_at=NOON + 2 * MINUTE)
        done = await self.ledger.finish_run(last, FollowUp(completion=a_run(8)))
        self.assertEqual(done, FollowUp(completion=a_run(8), completes=True))
        self.assertEqual(await self.ledger.waiting_runs(), [a_run(8)])
        self.assertEqual(await self.ledger.open_batches(), [])
        finished = replace(batch, finished_at=NOON + 2 * MINUTE, completion="run-8")
        self.assertEqual((await self.ledger.batch("b"))[0], finished)

    async def test_a_batch_is_kept_whole_or_not_at_all(self) -> None:
        """Where one of its runs cannot be kept there is no batch, and none of its runs."""
        await self.add(a_run(2))
        with self.assertRaisesRegex(LedgerError, "run-2 is already in the ledger"):
            await self.ledger.add_batch(Batch(id="b", created_at=NOON), [a_run(1), a_run(2)])
        with self.assertRaisesRegex(UnknownBatch, "there is no batch 'b'"):
            await self.ledger.batch("b")
        self.assertEqual(await self.listed(), ["run-2"])

    async def test_runs_of_a_batch(self) -> None:
        """Runs can be listed by their batch."""
        await self.add(a_run(1, batch="b"), a_run(2), a_run(3, batch="b"))
        page = await self.ledger.runs(RunFilter(batch="b"), 9)
        self.assertEqual([run.id for run in page.rows], ["run-3", "run-1"])


class MemoryBatchTests(BatchSuite, InMemory, TestCase):
    """In memory."""


class SqliteBatchTests(BatchSuite, OnDisk, TestCase):
    """On disk."""
