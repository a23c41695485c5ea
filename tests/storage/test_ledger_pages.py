"""Lists of runs and ticks, page by page, as every ledger gives them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from reactorhub.errors import InvalidRequest
from reactorhub.model.run import RunState
from reactorhub.model.schedule import ScheduleProgress
from reactorhub.storage.ledger import RunFilter
from tests.storage.ledger_cases import MINUTE, NOON, InMemory, LedgerSuite, OnDisk, a_run, a_tick, ended


class PageSuite(LedgerSuite):
    """Lists of runs and ticks, page by page, as every ledger gives them."""

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

    async def test_a_count_of_runs_ends_with_its_fingerprint(self) -> None:
        """Replacing a mark leaves the count of its runs as it is, unless the fingerprint is another one."""
        progress = ScheduleProgress(name="hourly", fingerprint="f", accounted_until=NOON)
        await self.ledger.set_progress([progress])
        await self.ledger.record_tick(a_tick(1))
        await self.ledger.set_progress([replace(progress, paused=True, runs=7)])
        self.assertEqual((await self.ledger.progress())["hourly"].runs, 1)
        await self.ledger.set_progress([replace(progress, fingerprint="g")])
        self.assertEqual((await self.ledger.progress())["hourly"].runs, 0)

    async def test_simultaneous_ticks(self) -> None:
        """Of several asked for at once exactly the first one wins."""
        asked = [self.ledger.record_tick(a_tick(1), a_run(number)) for number in range(5)]
        self.assertEqual(await gatherResults(asked), [True, False, False, False, False])
        self.assertEqual(await self.listed(), ["run-0"])

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


class MemoryPageTests(PageSuite, InMemory, TestCase):
    """In memory."""


class SqlitePageTests(PageSuite, OnDisk, TestCase):
    """On disk."""
