"""The promises of every ledger, made to both: the one on disk and the one in memory."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from reactorhub.errors import InvalidRequest, LedgerError, UnknownBatch, UnknownRun
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import ChainedTick, FollowUp
from reactorhub.model.isolation import Isolate
from reactorhub.model.run import ACTIVE, RetryRule, Run, RunSpec, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick, TickOutcome
from reactorhub.storage import rows
from reactorhub.storage.ledger import Ledger, LedgerCounts, Page, RunFilter
from reactorhub.storage.sqlite import listing, sql
from reactorhub.storage.sqlite.file import schema_scripts, upgrade
from reactorhub.storage.sqlite.ledger import SqliteLedger
from reactorhub.storage.sqlite.memory import MemoryLedger
from reactorhub.storage.sqlite.pruning import prune

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_run(number: int, *, state: RunState = RunState.QUEUED, **spec: Any) -> Run:
    """Run ``number``, created that many minutes after noon."""
    chosen = {"spider": "prices", "project": "shop"} | spec
    return Run(id=f"run-{number}", spec=RunSpec(**chosen), created_at=NOON + number * MINUTE, state=state)


def ended(number: int, *, after: int = 0, **spec: Any) -> Run:
    """Run ``number``, which ended so many minutes after it was created."""
    run = a_run(number, state=RunState.SUCCEEDED, **spec)
    return replace(run, finished_at=run.created_at + after * MINUTE)


def a_tick(minute: int, *, schedule: str = "hourly", **facts: Any) -> Tick:
    """The tick of a schedule that many minutes after noon."""
    told = {"outcome": TickOutcome.RUN, "reason": None, "run_id": None, "recorded_at": NOON} | facts
    return Tick(schedule=schedule, nominal_time=NOON + minute * MINUTE, **told)


def a_start(number: int) -> ChainedTick:
    """A tick three minutes after noon and its run of this number."""
    run = a_run(number, schedule="after", upstream="run-1", nominal_time=NOON + 3 * MINUTE)
    return ChainedTick(tick=a_tick(3, schedule="after", run_id=run.id), run=run)


FULL_RUN = Run(
    id="run-0",
    spec=RunSpec(
        spider="prices",
        project="shop",
        args={"category": "laptops", "empty": ""},
        settings={"DOWNLOAD_DELAY": 0.5, "nested": {"list": [1, None, True, "ü"]}},
        queue="heavy",
        priority=-3,
        timeout=7200.5,
        stop_grace=12.0,
        not_before=NOON + MINUTE,
        tags=("nightly", "de"),
        schedule="hourly",
        nominal_time=NOON,
        attempt=2,
        retry_of="run-before",
        batch="batch-1",
        expect={"items": ">= 100", "fields": {"price": ">= 95%"}},
        upstream="run-upstream",
        isolate=Isolate.PROCESS,
        memory_limit=512 << 20,
        retry=RetryRule(
            max_retries=3, delay=1.5, backoff=1.0, max_delay=60.0, jitter=5.0, on=frozenset({RunState.FAILED})
        ),
    ),
    created_at=NOON + timedelta(microseconds=1),
    state=RunState.FAILED,
    reason="It failed.",
    started_at=NOON + MINUTE,
    finished_at=NOON + 2 * MINUTE,
    finish_reason="start_error",
    errors=3,
    error="ValueError: no",
    stats={"item_scraped_count": 7, "elapsed_time_seconds": 1.25},
    pid=4711,
)


class LedgerSuite:
    """What a ledger does, whatever it is made of."""

    ledger: Ledger

    async def add(self, *runs: Run) -> None:
        """Keep these runs, in this order."""
        await gatherResults([self.ledger.add_run(run) for run in runs])

    async def listed(self, **which: Any) -> list[str]:
        """The ids of the first hundred runs that a filter lets through."""
        page = await self.ledger.runs(RunFilter(**which), 100)
        return [run.id for run in page.rows]

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

    async def test_runs_come_newest_first(self) -> None:
        """Runs are listed in the reverse of the order in which they were added, whatever their clock said."""
        await self.add(a_run(5), a_run(3), a_run(4))
        self.assertEqual(await self.listed(), ["run-4", "run-3", "run-5"])

    async def test_filters(self) -> None:
        """Each field of a filter narrows the list, and all of them together do."""
        await self.add(
            a_run(1, schedule="hourly", tags=("a", "b")),
            a_run(2, spider="sitemap", state=RunState.RUNNING, tags=("b", "b")),
            a_run(3, project="news", schedule="daily", state=RunState.FAILED),
            a_run(4, schedule="hourly", state=RunState.FAILED, tags=("a",)),
        )
        table: list[tuple[dict[str, Any], list[int]]] = [
            ({}, [4, 3, 2, 1]),
            ({"states": {RunState.FAILED}}, [4, 3]),
            ({"states": {RunState.RUNNING, RunState.QUEUED}}, [2, 1]),
            ({"states": {RunState.CANCELLED}}, []),
            ({"spider": "prices"}, [4, 3, 1]),
            ({"spider": "price"}, []),
            ({"project": "news"}, [3]),
            ({"schedule": "hourly"}, [4, 1]),
            ({"tag": "a"}, [4, 1]),
            ({"tag": "b"}, [2, 1]),
            ({"tag": "a,b"}, []),
            ({"since": NOON + 3 * MINUTE}, [4, 3]),
            ({"until": NOON + 3 * MINUTE}, [2, 1]),
            ({"since": NOON + 2 * MINUTE, "until": NOON + 3 * MINUTE}, [2]),
            ({"tag": "a", "states": {RunState.FAILED}}, [4]),
            ({"tag": "a", "since": NOON + 2 * MINUTE, "schedule": "hourly"}, [4]),
            ({"spider": "prices", "project": "shop", "states": {RunState.QUEUED}}, [1]),
            ({"spider": "prices", "schedule": "daily", "until": NOON}, []),
        ]
        for which, expected in table:
            if "states" in which:
                which["states"] = frozenset(which["states"])
            self.assertEqual(await self.listed(**which), [f"run-{number}" for number in expected], which)

    async def test_filters_follow_a_save(self) -> None:
        """A saved run is found by what it is now, not by what it was."""
        await self.add(a_run(1, tags=("old", "both")))
        await self.ledger.save_run(a_run(1, state=RunState.FAILED, tags=("new", "both")))
        self.assertEqual(await self.listed(tag="old"), [])
        self.assertEqual(await self.listed(tag="new", states=frozenset({RunState.FAILED})), ["run-1"])
        self.assertEqual(await self.listed(tag="both"), ["run-1"])
        self.assertEqual(await self.listed(states=frozenset({RunState.QUEUED})), [])

    async def test_pages(self) -> None:
        """Cursors lead through all runs once, and the last page has none, full or not."""
        await self.add(*(a_run(number, schedule="hourly") for number in range(1, 7)))
        for which in (RunFilter(), RunFilter(schedule="hourly")):
            for limit, sizes in ((1, [1] * 6), (2, [2, 2, 2]), (4, [4, 2]), (6, [6]), (7, [6])):
                pages = await self.pages(lambda cursor, w=which, n=limit: self.ledger.runs(w, n, cursor))
                self.assertEqual([len(page) for page in pages], sizes)
                self.assertEqual(
                    [run.id for page in pages for run in page], [f"run-{n}" for n in range(6, 0, -1)]
                )

    async def pages(self, ask: Any) -> list[tuple[Any, ...]]:
        """All pages of a list, by following its cursors."""
        page: Page[Any] = await ask(None)
        found = [page.rows]
        while page.next_cursor is not None:
            self.assertRegex(page.next_cursor, r"\A[A-Za-z0-9_-]+\Z")
            page = await ask(page.next_cursor)
            found.append(page.rows)
        return found

    async def test_pages_stand_while_runs_arrive(self) -> None:
        """A run added between two pages neither repeats nor hides one."""
        await self.add(a_run(1), a_run(2), a_run(3))
        first = await self.ledger.runs(RunFilter(), 2)
        await self.add(a_run(4))
        second = await self.ledger.runs(RunFilter(), 2, first.next_cursor)
        self.assertEqual([run.id for run in (*first.rows, *second.rows)], ["run-3", "run-2", "run-1"])

    async def test_malformed_cursors(self) -> None:
        """A cursor that this list did not give is an invalid request that names the field."""
        await self.ledger.record_tick(a_tick(1))
        await self.ledger.record_tick(a_tick(2))
        foreign = (await self.ledger.ticks("hourly", 1)).next_cursor
        for cursor in ("", "x", "ü", "cnVuczoxMA==", "cnVuczow\n", "cnVuczotMTcKMTA", "9" * 99, foreign):
            with self.assertRaises(InvalidRequest) as caught:
                await self.ledger.runs(RunFilter(), 5, cursor)
            self.assertEqual(list(caught.exception.fields), ["cursor"], cursor)
        with self.assertRaises(InvalidRequest):
            await self.ledger.ticks("hourly", 5, "cnVuczox")

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

    async def test_a_count_of_runs_ends_with_its_fingerprint(self) -> None:
        """Replacing a mark leaves the count of its runs as it is, unless the fingerprint is another one."""
        progress = ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON)
        await self.ledger.set_progress([progress])
        await self.ledger.record_tick(a_tick(1))
        await self.ledger.set_progress([replace(progress, paused=True, runs=7)])
        self.assertEqual((await self.ledger.progress())["hourly"].runs, 1)
        await self.ledger.set_progress([replace(progress, fingerprint="g")])
        self.assertEqual((await self.ledger.progress())["hourly"].runs, 0)

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

    async def test_simultaneous_ticks(self) -> None:
        """Of several asked for at once exactly the first one wins."""
        asked = [self.ledger.record_tick(a_tick(1), a_run(number)) for number in range(5)]
        self.assertEqual(await gatherResults(asked), [True, False, False, False, False])
        self.assertEqual(await self.listed(), ["run-0"])

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

    async def test_pages_stand_while_runs_go(self) -> None:
        """A cursor leads on from where it stood, though runs around that place have gone and come."""
        await self.add(*(ended(number, after=10 - number) for number in range(1, 7)))
        first = await self.ledger.runs(RunFilter(), 2)
        await self.ledger.prune(NOON + 10 * MINUTE, 100)  # none: all ended at that moment or later
        await self.add(a_run(7))
        self.assertEqual(await self.ledger.prune(NOON + 11 * MINUTE, 3), 2)
        await self.add(a_run(8))
        second = await self.ledger.runs(RunFilter(), 9, first.next_cursor)
        self.assertEqual(await self.listed(), ["run-8", "run-7", "run-6", "run-5", "run-4", "run-3"])
        self.assertEqual([run.id for run in second.rows], ["run-4", "run-3"])

    async def test_what_was_forgotten_is_not_counted_anywhere(self) -> None:
        """No list finds a run that has gone, by tag or by anything else."""
        await self.add(ended(1, tags=("a", "b"), schedule="hourly"), a_run(2, tags=("a",)))
        await self.ledger.prune(NOON + timedelta(days=1), 100)
        self.assertEqual(await self.listed(tag="a"), ["run-2"])
        self.assertEqual(await self.listed(tag="b"), [])
        self.assertEqual((await self.ledger.runs(RunFilter(schedule="hourly"), 5)).rows, ())
        self.assertEqual(await self.ledger.last_runs(), {})

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


class MemoryLedgerTests(LedgerSuite, TestCase):
    """The promises, kept in memory."""

    def setUp(self) -> None:
        """Begin with an empty ledger."""
        self.ledger = MemoryLedger()


class SqliteLedgerTests(LedgerSuite, TestCase):
    """The promises, kept on disk."""

    def setUp(self) -> Any:
        """Begin with an empty file."""
        from twisted.internet import reactor

        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.ledger = SqliteLedger(Path(folder.name) / "hub.db", reactor)
        self.addCleanup(self.ledger.close)
        return self.ledger.open()


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


numbers = st.integers(-(2**63), 2**63 - 1)
moments = st.datetimes(timezones=st.just(UTC))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
specs = st.builds(
    RunSpec,
    spider=st.text(),
    project=st.text(),
    args=st.dictionaries(st.text(), st.text(), max_size=3),
    settings=st.dictionaries(st.text(), plain, max_size=3),
    queue=st.text(),
    priority=numbers,
    timeout=st.none() | st.floats(allow_nan=False),
    stop_grace=st.floats(allow_nan=False),
    not_before=st.none() | moments,
    tags=st.lists(st.text(), max_size=3).map(tuple),
    schedule=st.none() | st.text(),
    nominal_time=st.none() | moments,
    attempt=numbers,
    retry_of=st.none() | st.text(),
    batch=st.none() | st.text(),
)
runs = st.builds(
    Run,
    id=st.text(),
    spec=specs,
    created_at=moments,
    state=st.sampled_from(RunState),
    reason=st.none() | st.text(),
    started_at=st.none() | moments,
    finished_at=st.none() | moments,
    finish_reason=st.none() | st.text(),
    errors=st.none() | numbers,
    error=st.none() | st.text(),
    stats=st.dictionaries(st.text(), plain, max_size=3),
)
ticks = st.builds(
    Tick,
    schedule=st.text(),
    nominal_time=moments,
    outcome=st.sampled_from(TickOutcome),
    reason=st.none() | st.text(),
    run_id=st.none() | st.text(),
    recorded_at=moments,
    until=st.none() | moments,
)
brief = settings(deadline=None, max_examples=60)


def empty_database() -> Any:
    """A database of its own, in memory, with the schema."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    upgrade(db, schema_scripts())
    return closing(db)


@brief
@given(runs, ticks)
def test_any_run_and_tick_come_back(run: Run, tick: Tick) -> None:
    """Whatever values a run and a tick hold, they read back equal from a database and from a list."""
    with empty_database() as db:
        assert sql.record_tick(db, tick, run)
        assert sql.find_run(db, run.id) == run
        listed = listing.runs(db, RunFilter(spider=run.spec.spider, schedule=run.spec.schedule), 5, None)
        assert listed.rows == (run,)
        assert sql.ticks(db, tick.schedule, 5, None).rows == (tick,)


@brief
@given(st.from_type(object) | plain)
def test_json_text_never_raises(value: Any) -> None:
    """Anything at all becomes JSON, and what is JSON already comes back equal."""
    assert isinstance(json.loads(rows.json_text({"stat": value})), dict)


@brief
@given(plain)
def test_json_text_keeps_json(value: Any) -> None:
    """A value that JSON can hold comes back equal."""
    assert json.loads(rows.json_text(value)) == value


@given(moments)
def test_moments_are_exact(moment: datetime) -> None:
    """A moment survives to the microsecond, in every year there is."""
    assert rows.to_moment(rows.to_number(moment)) == moment


few = st.sampled_from(["a", "b"])
minutes = st.integers(0, 20).map(lambda number: NOON + number * MINUTE)
short_runs = st.builds(
    lambda spider, project, schedule, tags, created_at, state, span: Run(
        id="",
        spec=RunSpec(spider=spider, project=project, schedule=schedule, tags=tags),
        created_at=created_at,
        state=state,
        finished_at=created_at + span * MINUTE if state.final else None,
    ),
    few,
    few,
    st.none() | few,
    st.lists(few, max_size=2).map(tuple),
    minutes,
    st.sampled_from(RunState),
    st.integers(0, 9),
)
filters = st.builds(
    RunFilter,
    states=st.frozensets(st.sampled_from(RunState), max_size=3),
    spider=st.none() | few,
    project=st.none() | few,
    schedule=st.none() | few,
    tag=st.none() | few,
    since=st.none() | minutes,
    until=st.none() | minutes,
)


@brief
@given(
    st.lists(short_runs, max_size=25),
    st.lists(filters, min_size=3, max_size=8),
    st.integers(1, 5),
    st.none() | minutes,
)
def test_both_list_the_same(
    runs: list[Run], wanted: list[RunFilter], limit: int, before: datetime | None
) -> None:
    """For any history, pruned or not, though its clock stepped back, and any filter both ledgers give the
    same pages."""
    memory = MemoryLedger()
    with empty_database() as db:
        for number, run in enumerate(runs):
            sql.add_run(db, replace(run, id=str(number)))
            memory.add_run(replace(run, id=str(number)))
        if before is not None:
            assert prune(db, before, 100) == memory.prune(before, 100).result
        for which in wanted:
            cursor = None
            while True:
                page = listing.runs(db, which, limit, rows.read_cursor("runs", cursor))
                assert page == memory.runs(which, limit, cursor).result
                cursor = page.next_cursor
                if cursor is None:
                    break
        assert sql.last_runs(db) == memory.last_runs().result
        assert sql.waiting_runs(db) == memory.waiting_runs().result
        assert sql.counts(db) == memory.counts().result
