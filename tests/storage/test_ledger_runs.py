"""Runs as every ledger keeps them: fields, changes, ends and what follows an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError, UnknownRun
from reactorhub.model.follow_up import ChainedTick, FollowUp
from reactorhub.model.run import ACTIVE, RunState
from reactorhub.model.schedule import ScheduleProgress, TickOutcome
from tests.storage.ledger_cases import (
    FULL_RUN,
    NOON,
    InMemory,
    LedgerSuite,
    OnDisk,
    a_run,
    a_start,
    a_tick,
)


class RunSuite(LedgerSuite):
    """Runs as every ledger keeps them: fields, changes, ends and what follows an end."""

    async def test_every_field_comes_back(self) -> None:
        """A run that was added reads back the same, in each of its fields."""
        await self.add(FULL_RUN)
        self.assertEqual(await self.ledger.run("run-0"), FULL_RUN)

    async def test_defaults_come_back(self) -> None:
        """A run with nothing but defaults reads back the same."""
        await self.add(a_run(1))
        self.assertEqual(await self.ledger.run("run-1"), a_run(1))

    async def test_local_times_become_utc(self) -> None:
        """A moment given in another zone comes back as the same moment in UTC."""
        local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
        await self.add(replace(a_run(1), created_at=local))
        kept = (await self.ledger.run("run-1")).created_at
        self.assertEqual((kept, kept.tzinfo), (NOON, UTC))

    async def test_naive_times_are_refused(self) -> None:
        """A moment without a zone means nothing here, and the write that holds one fails."""
        with self.assertRaises(LedgerError):
            await self.ledger.add_run(replace(a_run(1), created_at=NOON.replace(tzinfo=None)))
        self.assertEqual(await self.listed(), [])

    async def test_unknown_run(self) -> None:
        """Looking up an id that nobody added fails with UnknownRun."""
        with self.assertRaisesRegex(UnknownRun, "nobody"):
            await self.ledger.run("nobody")

    async def test_ids_are_unique(self) -> None:
        """A second run with the same id is refused, and the first stays as it is."""
        await self.add(a_run(1))
        with self.assertRaisesRegex(LedgerError, "run-1 is already in the ledger"):
            await self.ledger.add_run(a_run(1, state=RunState.FAILED))
        self.assertEqual(await self.ledger.run("run-1"), a_run(1))

    async def test_one_refusal_leaves_the_neighbours(self) -> None:
        """Of writes asked for together only the refused one fails."""
        done = [self.ledger.add_run(run) for run in (a_run(1), a_run(2), a_run(1), a_run(3))]
        with self.assertRaises(LedgerError):
            await done[2]
        await gatherResults([done[0], done[1], done[3]])
        self.assertEqual(await self.listed(), ["run-3", "run-2", "run-1"])

    async def test_save_replaces(self) -> None:
        """Saving a run replaces all that is kept of it."""
        await self.add(a_run(0), a_run(1))
        changed = replace(FULL_RUN, created_at=a_run(0).created_at)
        await self.ledger.save_run(changed)
        self.assertEqual(await self.ledger.run("run-0"), changed)

    async def test_save_keeps_the_place(self) -> None:
        """A saved run stays where it was in the order, with the moment at which it was created."""
        await self.add(a_run(1), a_run(2))
        await self.ledger.save_run(replace(a_run(1), created_at=NOON + timedelta(days=9)))
        self.assertEqual(await self.listed(), ["run-2", "run-1"])
        self.assertEqual((await self.ledger.run("run-1")).created_at, a_run(1).created_at)

    async def test_save_needs_a_known_run(self) -> None:
        """Saving a run that nobody added is refused and adds nothing."""
        with self.assertRaisesRegex(LedgerError, "run-1 is not in the ledger"):
            await self.ledger.save_run(a_run(1))
        self.assertEqual(await self.listed(), [])

    async def test_writes_keep_their_order(self) -> None:
        """Of writes to one run asked for at once the last one counts."""
        states = [RunState.STARTING, RunState.RUNNING, RunState.STOPPING, RunState.CANCELLED]
        asked = [self.ledger.add_run(a_run(1))]
        asked += [self.ledger.save_run(a_run(1, state=state)) for state in states]
        await gatherResults(asked)
        self.assertIs((await self.ledger.run("run-1")).state, RunState.CANCELLED)

    async def test_awkward_stats_become_text(self) -> None:
        """A stat that JSON lacks is kept as text, even one whose repr raises; the others stay."""

        class Broken:
            def __repr__(self) -> str:
                raise RuntimeError("no text for you")

        stats = {
            "start_time": NOON.astimezone(timezone(timedelta(hours=2))),
            "nan": float("nan"),
            "infinite": float("inf"),
            "nested": {"object": object()},
            "long": type("Long", (), {"__repr__": lambda self: "x" * 5000})(),
            "broken": Broken(),
            "half a character": "\udcff",
            "count": 7,
        }
        await self.add(replace(a_run(1), stats=stats))
        kept = (await self.ledger.run("run-1")).stats
        self.assertEqual(kept["start_time"], "2026-03-01T12:00:00.000000Z")
        self.assertEqual((kept["nan"], kept["infinite"], kept["count"]), ("nan", "inf", 7))
        self.assertRegex(kept["nested"]["object"], "<object object")
        self.assertEqual(kept["long"], "x" * 1000)
        self.assertRegex(kept["broken"], "Broken.*RuntimeError")
        self.assertEqual(kept["half a character"], "\udcff")

    async def test_endless_stats_become_text(self) -> None:
        """A stat that holds itself is kept as text too."""
        endless: list[Any] = []
        endless.append(endless)
        await self.add(replace(a_run(1), stats={"endless": endless, "count": 7}))
        kept = (await self.ledger.run("run-1")).stats
        self.assertRegex(kept["endless"], "list")
        self.assertEqual(kept["count"], 7)

    async def test_error_texts_may_hold_anything(self) -> None:
        """An error with half a character in it, as of a file name, is kept with that part escaped."""
        await self.add(replace(a_run(1), error="OSError: \udcff.txt", reason="zero \0 byte"))
        kept = await self.ledger.run("run-1")
        self.assertEqual((kept.error, kept.reason), ("OSError: \\udcff.txt", "zero \0 byte"))

    async def test_waiting_runs(self) -> None:
        """The queued runs come in the order in which they were added, whatever their moments say."""
        await self.add(a_run(3), a_run(1, state=RunState.RUNNING), a_run(2), a_run(4, state=RunState.FAILED))
        self.assertEqual(await self.ledger.waiting_runs(), [a_run(3), a_run(2)])

    async def test_active_runs(self) -> None:
        """The runs that hold a slot come in the order in which they were added."""
        runs = [a_run(9 - number, state=state) for number, state in enumerate(RunState)]
        await self.add(*runs)
        self.assertEqual(await self.ledger.active_runs(), [run for run in runs if run.state in ACTIVE])

    async def test_finish_run(self) -> None:
        """A run that has ended is saved; without a next attempt nothing else is kept."""
        await self.add(a_run(1))
        await self.ledger.finish_run(a_run(1, state=RunState.SUCCEEDED))
        self.assertEqual(await self.listed(), ["run-1"])
        self.assertIs((await self.ledger.run("run-1")).state, RunState.SUCCEEDED)

    async def test_finish_run_with_a_next_attempt(self) -> None:
        """The end of a run and its next attempt are kept together."""
        await self.add(a_run(1), a_run(2))
        following = a_run(3, attempt=2, retry_of="run-1", not_before=NOON)
        await self.ledger.finish_run(a_run(1, state=RunState.FAILED), FollowUp(attempt=following))
        self.assertEqual(await self.ledger.waiting_runs(), [a_run(2), following])
        self.assertIs((await self.ledger.run("run-1")).state, RunState.FAILED)

    async def test_finish_run_is_whole_or_not_at_all(self) -> None:
        """Where the next attempt cannot be kept the run has not ended, and the other way round."""
        await self.add(a_run(1, state=RunState.RUNNING), a_run(2))
        with self.assertRaisesRegex(LedgerError, "run-2 is already in the ledger"):
            await self.ledger.finish_run(a_run(1, state=RunState.FAILED), FollowUp(attempt=a_run(2)))
        with self.assertRaisesRegex(LedgerError, "run-9 is not in the ledger"):
            await self.ledger.finish_run(a_run(9, state=RunState.FAILED), FollowUp(attempt=a_run(3)))
        self.assertIs((await self.ledger.run("run-1")).state, RunState.RUNNING)
        self.assertEqual(await self.listed(), ["run-2", "run-1"])

    async def test_finish_run_with_starts(self) -> None:
        """Ticks that a run's end brings about are kept with it; two of one instant come after each other."""
        progress = ScheduleProgress(name="after", fingerprint="f", accounted_until=NOON)
        await self.ledger.set_progress([progress])
        await self.add(a_run(1), a_run(2))
        starts = [a_start(number) for number in (3, 4)]
        first = await self.ledger.finish_run(a_run(1, state=RunState.FAILED), FollowUp(starts=(starts[0],)))
        again = await self.ledger.finish_run(a_run(2, state=RunState.FAILED), FollowUp(starts=(starts[1],)))
        self.assertEqual((first.starts, again.starts), ((starts[0],), (starts[1].later(),)))
        self.assertEqual(await self.ledger.waiting_runs(), [starts[0].run, starts[1].later().run])
        page = await self.ledger.ticks("after", 9)
        self.assertEqual(list(page.rows), [starts[1].later().tick, starts[0].tick])
        self.assertEqual((await self.ledger.progress())["after"].runs, 2)

    async def test_a_skipped_start_is_no_run(self) -> None:
        """A tick that a run's end brings about may be skipped: its row is kept, and no run is counted."""
        await self.ledger.set_progress(
            [ScheduleProgress(name="after", fingerprint="f", accounted_until=NOON)]
        )
        await self.add(a_run(1))
        skipped = ChainedTick(
            tick=a_tick(3, schedule="after", outcome=TickOutcome.SKIPPED, reason="busy"), run=None
        )
        await self.ledger.finish_run(a_run(1, state=RunState.FAILED), FollowUp(starts=(skipped,)))
        self.assertEqual(list((await self.ledger.ticks("after", 9)).rows), [skipped.tick])
        self.assertEqual((await self.ledger.progress())["after"].runs, 0)

    async def test_last_runs(self) -> None:
        """The newest run of each schedule is the one added last, in whatever state."""
        await self.add(
            a_run(1, schedule="a", state=RunState.FAILED),
            a_run(2, schedule="b"),
            a_run(3),
            a_run(5, schedule="a"),
            a_run(4, schedule="a", state=RunState.CANCELLED),
        )
        self.assertEqual(
            await self.ledger.last_runs(),
            {"a": a_run(4, schedule="a", state=RunState.CANCELLED), "b": a_run(2, schedule="b")},
        )


class MemoryRunTests(RunSuite, InMemory, TestCase):
    """In memory."""


class SqliteRunTests(RunSuite, OnDisk, TestCase):
    """On disk."""
