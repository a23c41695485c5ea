"""What only the ledger on disk can show: grouping, durability, failing disks, its threads and its schema."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError
from reactorhub.model.run import RunState
from reactorhub.model.schedule import ScheduleProgress
from reactorhub.storage import rows
from reactorhub.storage.sqlite import pruning, sql
from reactorhub.storage.sqlite.file import schema_scripts, upgrade
from reactorhub.storage.sqlite.ledger import SqliteLedger
from tests.storage.ledger_cases import NOON, a_run, a_tick


def ledger_threads() -> list[str]:
    """The names of the threads that a ledger has started and that still live."""
    return [thread.name for thread in threading.enumerate() if "ledger" in thread.name]


@contextmanager
def looking_into(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as another program sees it."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        yield db


def kept_ids(path: Path) -> list[str]:
    """The ids of the runs in the file, in order; the file is proved sound on the way."""
    with looking_into(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [run_id for (run_id,) in db.execute("SELECT id FROM runs ORDER BY seq")]


class OnDisk(TestCase):
    """A ledger in a folder of its own, not open yet."""

    def setUp(self) -> None:
        """Make the folder."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "hub.db"
        self.ledger = SqliteLedger(self.path, reactor, busy_timeout=0)
        self.addCleanup(self.ledger.close)

    def on_writer(self, action: Callable[[sqlite3.Connection], Any]) -> Deferred[Any]:
        """Do something to the connection that writes, as a write among others."""
        return self.ledger._write(action)


class GroupCommitTests(OnDisk):
    """Writes that wait share a transaction."""

    async def traced(self) -> list[str]:
        """Open the ledger; every statement of its writer from here on arrives in the list."""
        statements: list[str] = []
        await self.ledger.open()
        await self.on_writer(lambda db: db.set_trace_callback(statements.append))
        statements.clear()
        return statements

    async def test_a_hundred_writes_take_few_commits(self) -> None:
        """Of writes asked for together the first may go alone, and all others share the next commit."""
        statements = await self.traced()
        await gatherResults([self.ledger.add_run(a_run(number)) for number in range(100)])
        self.assertIn(statements.count("COMMIT"), (1, 2))
        self.assertEqual(kept_ids(self.path), [f"run-{number}" for number in range(100)])

    async def test_what_an_answer_asks_for_is_grouped_too(self) -> None:
        """Writes asked for while a batch's Deferreds fire join one next batch."""
        statements = await self.traced()

        def go_on(_: None, number: int) -> Deferred[None]:
            return self.ledger.save_run(a_run(number, state=RunState.STARTING))

        await gatherResults([self.ledger.add_run(a_run(n)).addCallback(go_on, n) for n in range(10)])
        self.assertLessEqual(statements.count("COMMIT"), 4)
        self.assertEqual((await self.ledger.counts()).runs, {RunState.STARTING: 10})

    async def test_a_large_transaction_is_answered_in_turns(self) -> None:
        """Between the answers to a hundred writes that shared a commit the reactor turns several times."""
        await self.ledger.open()
        turns: list[int] = []

        def turned() -> None:
            turns.append(sum(write.called for write in asked))
            if turns[-1] < len(asked):
                reactor.callLater(0, turned)

        asked = [self.ledger.add_run(a_run(number)) for number in range(100)]
        turned()
        await gatherResults(asked)
        seen = sorted(set(turns))
        self.assertGreater(len(seen), 4)
        self.assertLessEqual(max(b - a for a, b in pairwise(seen)), 40)

    async def test_answers_that_take_long_come_in_turns(self) -> None:
        """Where each answer makes its asker busy, the next one waits for the reactor's next turn."""
        await self.ledger.open()
        turns: list[int] = []
        turn = LoopingCall(lambda: turns.append(0))
        turn.start(0)
        answered: list[int] = []

        def begin(_: None) -> None:
            answered.append(len(turns))
            end = time.monotonic() + 0.015
            while time.monotonic() < end:
                pass

        await gatherResults([self.ledger.add_run(a_run(n)).addCallback(begin) for n in range(5)])
        turn.stop()
        self.assertEqual(len(set(answered[1:])), 4)

    async def test_closing_answers_everybody(self) -> None:
        """When the ledger is closed, each write that was asked for has its answer."""
        await self.ledger.open()
        asked = [self.ledger.add_run(a_run(number)) for number in range(100)]
        await self.ledger.close()
        self.assertEqual([write.called for write in asked], [True] * 100)
        self.assertEqual(len(kept_ids(self.path)), 100)

    async def test_answers_come_in_order(self) -> None:
        """Deferreds fire in the order in which the writes were asked for."""
        await self.ledger.open()
        order: list[int] = []
        asked = [self.ledger.add_run(a_run(n)).addCallback(lambda _, n=n: order.append(n)) for n in range(20)]
        await gatherResults(asked)
        self.assertEqual(order, list(range(20)))

    async def test_an_odd_value_fails_alone(self) -> None:
        """A value that a column cannot hold fails its own write with a sentence, and no neighbour."""
        await self.ledger.open()
        asked = [
            self.ledger.add_run(run)
            for run in (
                a_run(1),
                a_run(2, priority=2**70),
                a_run(3, spider="\udcff"),
                a_run(4),
                replace(a_run(5), spec=None),
            )
        ]
        results = await DeferredList(asked, consumeErrors=True)
        self.assertEqual([success for success, _ in results], [True, False, False, True, False])
        for _, failure in (results[1], results[2], results[4]):
            failure.trap(LedgerError)
            self.assertRegex(str(failure.value), "cannot hold a value of this write")
        self.assertEqual(kept_ids(self.path), ["run-1", "run-4"])

    async def test_a_cancelled_wait_cancels_no_write(self) -> None:
        """Who stops waiting for a write does not disturb it, nor the others."""
        await self.ledger.open()
        asked = [self.ledger.add_run(a_run(number)) for number in range(3)]
        asked[1].addErrback(lambda failure: None).cancel()
        await gatherResults(asked)
        self.assertEqual(len(kept_ids(self.path)), 3)


class FailingDiskTests(OnDisk):
    """What a disk may do to a ledger."""

    async def failing_adds(self, expected: str, *numbers: int) -> None:
        """Ask for these runs to be added at once, and see each fail with a sentence that names the file."""
        asked = [self.ledger.add_run(a_run(number)) for number in numbers]
        for success, failure in await DeferredList(asked, consumeErrors=True):
            self.assertFalse(success)
            failure.trap(LedgerError)
            self.assertIn(str(self.path), str(failure.value))
            self.assertRegex(str(failure.value), expected)

    async def test_commit_fails(self) -> None:
        """A commit that fails undoes its whole batch, fails all of it, and the next one works."""
        await self.ledger.open()
        broken = {"COMMIT"}

        def refuse(action: int, name: str | None, *_: Any) -> int:
            return sqlite3.SQLITE_DENY if name in broken else sqlite3.SQLITE_OK

        arming = self.on_writer(lambda db: db.set_authorizer(refuse))
        await DeferredList([arming], consumeErrors=True)
        await self.failing_adds("not authorized", 1, 2, 3)
        broken.clear()
        await self.ledger.add_run(a_run(4))
        self.assertEqual(kept_ids(self.path), ["run-4"])

    async def test_disk_full(self) -> None:
        """A full disk fails the writes that need room, leaves the file sound, and passes."""
        await self.ledger.open()
        await self.ledger.add_run(a_run(1))

        def fill(db: sqlite3.Connection) -> None:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages + 2}")

        await self.on_writer(fill)
        big = replace(a_run(2), stats={"long": "x" * 100_000})
        with self.assertRaisesRegex(LedgerError, "hub.db cannot be used: .*full: free some space"):
            await self.ledger.add_run(big)
        self.assertEqual(kept_ids(self.path), ["run-1"])
        self.assertEqual((await self.ledger.counts()).runs, {RunState.QUEUED: 1})
        await self.on_writer(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        await self.ledger.add_run(big)
        self.assertEqual(kept_ids(self.path), ["run-1", "run-2"])

    async def test_the_whole_transaction_undone(self) -> None:
        """Where SQLite undoes the transaction under a write, all of its batch fails and none is kept."""
        await self.ledger.open()

        def fall(db: sqlite3.Connection) -> None:
            db.execute("ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")

        first = self.ledger.add_run(a_run(1))
        asked = [self.ledger.add_run(a_run(2)), self.on_writer(fall), self.ledger.add_run(a_run(3))]
        await first
        results = await DeferredList(asked, consumeErrors=True)
        self.assertEqual([success for success, _ in results], [False] * 3)
        await self.ledger.add_run(a_run(4))
        self.assertEqual(kept_ids(self.path), ["run-1", "run-4"])

    async def test_locked(self) -> None:
        """While another program holds the file writes fail, reads go on; afterwards all is well."""
        await self.ledger.open()
        await self.ledger.add_run(a_run(1))
        with looking_into(self.path) as other:
            other.execute("BEGIN IMMEDIATE")
            await self.failing_adds("database is locked: end the other program", 2, 3)
            self.assertEqual((await self.ledger.run("run-1")).id, "run-1")
        await self.ledger.add_run(a_run(4))
        self.assertEqual(kept_ids(self.path), ["run-1", "run-4"])

    async def refused(self, expected: str) -> None:
        """See opening fail with a sentence, with no thread left and no later order taken."""
        with self.assertRaisesRegex(LedgerError, expected):
            await self.ledger.open()
        self.assertEqual(ledger_threads(), [])
        with self.assertRaisesRegex(LedgerError, "not open"):
            await self.ledger.counts()

    async def test_garbage_file(self) -> None:
        """A file that is not a database is refused and left alone."""
        self.path.write_bytes(b"garbage " * 1000)
        await self.refused("hub.db cannot be used: file is not a database: move the file away")
        self.assertEqual(self.path.read_bytes(), b"garbage " * 1000)

    async def test_folder_in_its_place(self) -> None:
        """A folder where the file should be is refused."""
        self.path.mkdir()
        await self.refused("hub.db cannot be used: unable to open database file: let the hub's user")

    async def test_absent_folder(self) -> None:
        """A data folder that is not there is refused; making it is not the ledger's business."""
        self.ledger = SqliteLedger(self.path.parent / "absent" / "hub.db", reactor)
        await self.refused("unable to open database file")

    async def test_newer_schema(self) -> None:
        """A file that a newer hub has written is refused with the way out."""
        newer = len(schema_scripts()) + 1
        with looking_into(self.path) as db:
            db.execute(f"PRAGMA user_version = {newer}")
        await self.refused(f"a newer reactorhub wrote it .schema {newer}.*: upgrade reactorhub")

    async def test_mended(self) -> None:
        """A ledger that could not open opens once the cause is gone."""
        self.path.mkdir()
        await self.refused("unable to open")
        self.path.rmdir()
        await self.ledger.open()
        await self.ledger.add_run(a_run(1))
        self.assertEqual(kept_ids(self.path), ["run-1"])


class LifeTests(OnDisk):
    """Threads and files come with open and go with close."""

    async def test_nothing_before_open(self) -> None:
        """A ledger that is only built has neither file nor thread, and takes no order."""
        self.assertEqual((list(self.path.parent.iterdir()), ledger_threads()), ([], []))
        with self.assertRaisesRegex(LedgerError, "not open"):
            await self.ledger.add_run(a_run(1))
        with self.assertRaisesRegex(LedgerError, "not open"):
            await self.ledger.run("run-1")

    async def test_pragmas(self) -> None:
        """Commits are forced to the disk, foreign keys hold, and readers cannot write."""
        await self.ledger.open()
        asked = ["journal_mode", "synchronous", "foreign_keys"]
        found = await self.on_writer(
            lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
        )
        self.assertEqual(found, ["wal", 2, 1])
        with self.assertRaisesRegex(LedgerError, "readonly"):
            await self.ledger._read(lambda db: db.execute("DELETE FROM runs"))

    async def test_close_finishes_what_was_asked_for(self) -> None:
        """Writes and reads under way at close are answered; then one file is left and no thread."""
        await self.ledger.open()
        writes = [self.ledger.add_run(a_run(number)) for number in range(30)]
        reads = [self.ledger.counts() for _ in range(10)]
        await self.ledger.close()
        self.assertTrue(all(asked.called for asked in (*writes, *reads)))
        await gatherResults([*writes, *reads])
        self.assertEqual(ledger_threads(), [])
        self.assertEqual([entry.name for entry in self.path.parent.iterdir()], ["hub.db"])
        self.assertEqual(len(kept_ids(self.path)), 30)

    async def test_reads_see_what_has_fired(self) -> None:
        """A read asked for once a write has fired sees it, on whichever connection it lands."""
        await self.ledger.open()
        for number in range(20):
            await self.ledger.add_run(a_run(number))
            runs = await gatherResults([self.ledger.run(f"run-{number}") for _ in range(4)])
            self.assertEqual({run.id for run in runs}, {f"run-{number}"})

    async def test_counters_are_true(self) -> None:
        """The counters and tags that triggers keep agree with the rows, also after rows were deleted."""
        await self.ledger.open()
        runs = [a_run(n, state=state, tags=("t", str(n))) for n, state in enumerate([*RunState, *RunState])]
        await gatherResults([self.ledger.record_tick(a_tick(n), run) for n, run in enumerate(runs)])
        await self.on_writer(lambda db: db.execute("DELETE FROM runs WHERE seq % 3 = 0"))
        await self.on_writer(lambda db: db.execute("DELETE FROM ticks WHERE nominal_time % 7 = 0"))
        with looking_into(self.path) as db:
            rows = dict(db.execute("SELECT state, count(*) FROM runs GROUP BY state"))
            tags = db.execute("SELECT count(*), count(DISTINCT seq) FROM run_tags").fetchone()
            (ticks,) = db.execute("SELECT count(*) FROM ticks").fetchone()
        counts = await self.ledger.counts()
        self.assertEqual({state.value: amount for state, amount in counts.runs.items()}, rows)
        self.assertEqual((counts.ticks, tags), (ticks, (24, 12)))


def schema_of(scripts: list[str], *, at_once: bool) -> list[tuple[str, ...]]:
    """The schema of an empty database after these scripts."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for end in [len(scripts)] if at_once else range(len(scripts) + 1):
            upgrade(db, scripts[:end])
        assert db.execute("PRAGMA user_version").fetchone() == (len(scripts),)
        return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def test_upgraded_equals_fresh() -> None:
    """A file brought up to date one version at a time has the schema of a fresh one."""
    scripts = [*schema_scripts(), "CREATE TABLE next (a);", "ALTER TABLE next ADD COLUMN b;"]
    assert schema_of(scripts, at_once=False) == schema_of(scripts, at_once=True)


def test_what_version_1_wrote_reads_the_same() -> None:
    """Runs and marks of a file from before there were retries come back, without any."""
    progress = ScheduleProgress(
        name="hourly", fingerprint="f", accounted_until=NOON, paused=True, paused_reason="by hand"
    )
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, schema_scripts()[:1])
        for table, columns, row in (
            (
                "runs",
                rows.RUNS.columns.partition(", retry,")[0],
                rows.RUNS.write(a_run(1))[:25],
            ),
            (
                "marks",
                rows.PROGRESS.columns.removesuffix(", resumed_at, runs"),
                rows.PROGRESS.write(progress)[:5],
            ),
        ):
            db.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", row)
        upgrade(db, schema_scripts())
        assert sql.find_run(db, "run-1") == a_run(1)
        assert sql.progress(db) == {"hourly": progress}


def test_upgrade_is_whole_or_not_at_all() -> None:
    """A script that fails midway leaves the file at the version before, and the next attempt works."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError):
            upgrade(db, ["CREATE TABLE one (a);", "CREATE TABLE two (a); CREATE TABLE one (a);"])
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert not db.in_transaction
        upgrade(db, ["CREATE TABLE one (a);", "CREATE TABLE two (a);"])
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_no_prune_reads_history() -> None:
    """What is to go is read from an index in the order in which it goes: no scan, no sort."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, schema_scripts())
        steps: list[str] = []
        for statement in (
            pruning.ENDED,
            pruning.WITHOUT_RUN,
            pruning.DONE_BATCHES,
            pruning.FORGET_ITS_TICK,
        ):
            values: Any = ("s", 1, "r") if "DELETE" in statement else {"before": 7, "rows": 200}
            steps += [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert steps == [
        "SEARCH runs USING INDEX runs_by_end (finished_at<?)",
        "SEARCH ticks USING INDEX ticks_without_run (recorded_at<?)",
        "SEARCH batches USING COVERING INDEX batches_by_end (finished_at<?)",
        "SEARCH ticks USING PRIMARY KEY (schedule=? AND nominal_time=?)",
    ]


WRITER = """
import sys
from pathlib import Path
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet import reactor
from reactorhub.storage.sqlite import SqliteLedger
from tests.storage.ledger_cases import a_run, a_tick

def add(_, number):
    adding = ledger.record_tick(a_tick(number), a_run(number))
    adding.addCallback(lambda _: print(f"run-{number}", flush=True))
    adding.addCallback(add, number + 16)

ledger = SqliteLedger(Path(sys.argv[1]), reactor)
opening = ledger.open()
for number in range(16):
    opening.addCallback(lambda _, n=number: add(None, n))
reactor.run()
"""


def test_what_has_fired_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 amid writes the file is sound and holds every run and tick whose Deferred had fired."""
    path = tmp_path / "hub.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(300)]
        writer.kill()
        told += writer.stdout.read().splitlines()[:-1]  # the last line may be torn
    assert set(told) <= set(kept_ids(path))
    with looking_into(path) as db:
        (ticks,) = db.execute("SELECT count(*) FROM ticks").fetchone()
        assert ticks == len(kept_ids(path)) >= 300
        assert db.execute("SELECT amount FROM counters WHERE name = 'queued'").fetchone() == (ticks,)
