"""What every ledger forgets of what is old, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from twisted.trial.unittest import TestCase

from reactorhub.errors import UnknownBatch, UnknownRun
from reactorhub.model.batch import Batch
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import ScheduleProgress, TickOutcome
from reactorhub.storage.ledger import LedgerCounts, RunFilter
from tests.storage.ledger_cases import MINUTE, NOON, InMemory, LedgerSuite, OnDisk, a_run, a_tick, ended


class PruningSuite(LedgerSuite):
    """What every ledger forgets of what is old, and what it keeps."""

    async def over(self, *runs: Run) -> None:
        """Keep final runs of the schedule ``hourly``, each with the tick it was made of."""
        for run in runs:
            spec = replace(run.spec, schedule="hourly", nominal_time=run.created_at)
            tick = replace(a_tick(0, run_id=run.id), nominal_time=run.created_at, recorded_at=run.created_at)
            await self.ledger.record_tick(tick, replace(run, spec=spec))

    async def test_prune_forgets_what_was_over_before(self) -> None:
        """Final runs that ended before the moment go with their ticks; one that ended just then stays."""
        await self.over(*(ended(number) for number in range(1, 6)))
        self.assertEqual(await self.ledger.prune(NOON + 4 * MINUTE, 100), 6)
        self.assertEqual(await self.listed(), ["run-5", "run-4"])
        ticks = (await self.ledger.ticks("hourly", 100)).rows
        self.assertEqual([tick.run_id for tick in ticks], ["run-5", "run-4"])
        self.assertEqual(await self.ledger.counts(), LedgerCounts(runs={RunState.SUCCEEDED: 2}, ticks=2))
        self.assertEqual(await self.ledger.prune(NOON + 4 * MINUTE, 100), 0)

    async def test_prune_keeps_every_run_that_is_not_final(self) -> None:
        """However old, a run that waits or goes on stays, and so does its tick."""
        unfinished = [state for state in RunState if not state.final]
        await self.over(*(a_run(number, state=state) for number, state in enumerate(unfinished)))
        self.assertEqual(await self.ledger.prune(NOON + timedelta(days=999), 100), 0)
        self.assertEqual(len(await self.listed()), len(unfinished))
        self.assertEqual((await self.ledger.counts()).ticks, len(unfinished))

    async def test_prune_forgets_ticks_without_a_run_by_when_they_were_recorded(self) -> None:
        """A skipped or missed tick goes once its row is old, whatever time it stands for."""
        skipped = {"outcome": TickOutcome.SKIPPED, "reason": "paused"}
        for minute in range(1, 5):
            recorded = NOON + (10 - minute) * MINUTE
            await self.ledger.record_tick(a_tick(minute, recorded_at=recorded, **skipped))
        self.assertEqual(await self.ledger.prune(NOON + 8 * MINUTE, 100), 2)
        rows = (await self.ledger.ticks("hourly", 100)).rows
        self.assertEqual([tick.nominal_time for tick in rows], [NOON + 2 * MINUTE, NOON + MINUTE])

    async def test_prune_goes_in_steps_oldest_first(self) -> None:
        """No step takes more than it may; runs go in the order of their ends, then ticks without a run."""
        ends = {1: 30, 2: 10, 3: 20}
        await self.over(*(ended(number, after=after) for number, after in ends.items()))
        await self.add(ended(4, after=40))
        for minute in (1, 2, 3):
            await self.ledger.record_tick(a_tick(minute, schedule="daily"))
        left, steps = [], []
        while gone := await self.ledger.prune(NOON + timedelta(days=1), 3):
            steps.append(gone)
            left.append(await self.listed())
        self.assertEqual(left[:4], [["run-4", "run-3", "run-1"], ["run-4", "run-1"], ["run-4"], []])
        self.assertEqual((sum(steps), max(steps)), (10, 3))
        self.assertEqual(await self.ledger.counts(), LedgerCounts(runs={}, ticks=0))

    async def test_prune_keeps_marks_and_overrides(self) -> None:
        """Where a schedule stands, whether it is paused, and the limits outlive their history."""
        progress = ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON, paused=True)
        await self.ledger.set_progress([progress])
        await self.ledger.set_override("limits", 1)
        await self.over(ended(5))
        await self.ledger.prune(NOON + timedelta(days=1), 100)
        self.assertEqual(
            await self.ledger.progress(),
            {"hourly": replace(progress, accounted_until=NOON + 5 * MINUTE, runs=1)},
        )
        self.assertEqual(await self.ledger.overrides(), {"limits": 1})

    async def test_prune_forgets_a_batch_after_its_runs(self) -> None:
        """A batch that was done before the moment goes once its runs have; one under way stays."""
        for name, numbers in (("done", (1, 2)), ("open", (3, 4))):
            runs = [a_run(number, batch=name) for number in numbers]
            await self.ledger.add_batch(Batch(id=name, created_at=NOON), runs)
        for number, name in ((1, "done"), (2, "done"), (3, "open")):
            await self.ledger.finish_run(ended(number, batch=name))
        later = NOON + timedelta(days=1)
        self.assertEqual([await self.ledger.prune(later, 3) for _ in range(3)], [2, 2, 0])
        with self.assertRaises(UnknownBatch):
            await self.ledger.batch("done")
        self.assertEqual((await self.ledger.batch("open"))[1], {RunState.QUEUED: 1})

    async def test_an_attempt_outlives_the_one_before(self) -> None:
        """A retry that is kept still names the attempt that is gone, and the tick is gone with that one."""
        await self.over(ended(1))
        retry = replace(ended(9, retry_of="run-1", attempt=2, schedule="hourly", nominal_time=NOON + MINUTE))
        await self.add(retry)
        self.assertEqual(await self.ledger.prune(NOON + 5 * MINUTE, 100), 2)
        self.assertEqual((await self.ledger.run("run-9")), retry)
        self.assertEqual(await self.ledger.last_runs(), {"hourly": retry})
        with self.assertRaises(UnknownRun):
            await self.ledger.run("run-1")
        self.assertEqual(await self.ledger.prune(NOON + 10 * MINUTE, 100), 1)

    async def test_what_was_forgotten_is_not_counted_anywhere(self) -> None:
        """No list finds a run that has gone, by tag or by anything else."""
        await self.add(ended(1, tags=("a", "b"), schedule="hourly"), a_run(2, tags=("a",)))
        await self.ledger.prune(NOON + timedelta(days=1), 100)
        self.assertEqual(await self.listed(tag="a"), ["run-2"])
        self.assertEqual(await self.listed(tag="b"), [])
        self.assertEqual((await self.ledger.runs(RunFilter(schedule="hourly"), 5)).rows, ())
        self.assertEqual(await self.ledger.last_runs(), {})


class MemoryPruningTests(PruningSuite, InMemory, TestCase):
    """In memory."""


class SqlitePruningTests(PruningSuite, OnDisk, TestCase):
    """On disk."""
