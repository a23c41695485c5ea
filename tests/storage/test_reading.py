"""A look at the ledger from outside: what it answers, of which files, and that it changes none of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick, TickOutcome
from reactorhub.storage import rows
from reactorhub.storage.sqlite import sql
from reactorhub.storage.sqlite.file import SqliteFile, schema_scripts, upgrade
from reactorhub.storage.sqlite.reading import NEWEST_RUNS, open_snapshot
from tests.storage.ledger_cases import NOON, a_run, a_tick

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is to be."""
    return tmp_path / "hub.db"


@pytest.fixture
def hub(path: Path) -> Iterator[SqliteFile]:
    """The ledger's file, open as a hub has it."""
    file = SqliteFile(path, 1.0, 1)
    file.open()
    yield file
    file.close()


def succeeded(number: int, seconds: float, schedule: str | None = "hourly") -> Run:
    """A run that took so long."""
    run = a_run(number, state=RunState.SUCCEEDED, schedule=schedule)
    return replace(run, started_at=NOON, finished_at=NOON + seconds * SECOND)


def keep(file: SqliteFile, *runs: Run) -> None:
    """Write runs down."""
    file.commit([lambda db, run=run: sql.add_run(db, run) for run in runs])  # type: ignore[misc]


def test_durations_are_those_of_the_newest_successes(hub: SqliteFile, path: Path) -> None:
    """Only succeeded runs of the schedules asked for count, the newest first and no more than twenty."""
    keep(hub, *(succeeded(n, n) for n in range(30)), succeeded(30, 99, "other"), succeeded(31, 99, None))
    keep(hub, replace(succeeded(32, 99), state=RunState.FAILED), a_run(33, schedule="hourly"))
    with open_snapshot(path) as found:
        durations = found.durations(["hourly", "fresh"])
    assert durations == {"hourly": tuple(n * SECOND for n in range(29, 29 - NEWEST_RUNS, -1))}


def test_durations_cost_the_same_with_any_history(hub: SqliteFile, path: Path) -> None:
    """The newest runs of one state of one schedule are one stretch of an index: no scan, no sort."""
    keep(hub, succeeded(1, 1))
    with open_snapshot(path) as found:
        statements: list[str] = []
        found._db.set_trace_callback(statements.append)
        found.durations(["hourly"])
        found.newest_run("hourly")
        found.ticks("hourly", 10)
        found.tick("hourly", NOON)
        found.first_tick("hourly")
        found._db.set_trace_callback(None)
        for statement in statements:
            plan = [row[3] for row in found._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            assert not [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN runs")], plan
    assert len(statements) == 5


def test_marks_ticks_and_runs_come_back(hub: SqliteFile, path: Path) -> None:
    """A pause with its reason, ticks newest first, the newest run and the unfinished ones are told."""
    progress = ScheduleProgress(
        name="hourly", fingerprint="f", accounted_until=NOON, paused=True, paused_reason="by hand"
    )
    runs = [succeeded(1, 5), a_run(2, schedule="hourly", state=RunState.RUNNING), a_run(3, schedule=None)]
    ticks = [replace(a_tick(n), schedule="hourly", nominal_time=NOON + n * HOUR) for n in range(3)]
    keep(hub, *runs)
    hub.commit([lambda db: sql.set_progress(db, [progress], [])])
    hub.commit([lambda db, tick=tick: sql.record_tick(db, tick, None) for tick in ticks])  # type: ignore[misc]
    hub.commit([lambda db: sql.set_override(db, "limits", {"max_concurrent_runs": 3})])
    with open_snapshot(path) as found:
        assert found.progress() == {"hourly": replace(progress, accounted_until=NOON + 2 * HOUR, runs=3)}
        assert found.ticks("hourly", 2) == ticks[:0:-1]
        assert (found.first_tick("hourly"), found.first_tick("other")) == (ticks[0], None)
        assert (found.newest_run("hourly"), found.newest_run("other")) == (runs[1], None)
        assert (found.run("run-1"), found.run("gone")) == (runs[0], None)
        assert found.unfinished() == runs[1:]
        assert found.overrides() == {"limits": {"max_concurrent_runs": 3}}


def test_a_moment_is_found_in_a_row_that_stands_for_many(hub: SqliteFile, path: Path) -> None:
    """A row accounts for its own time, and one with an end for all times up to that."""
    single = replace(a_tick(1), schedule="hourly", nominal_time=NOON)
    many = Tick(
        schedule="hourly",
        nominal_time=NOON + HOUR,
        outcome=TickOutcome.MISSED,
        reason="many",
        run_id=None,
        recorded_at=NOON,
        until=NOON + 5 * HOUR,
    )
    for tick in (single, many):
        hub.commit([lambda db, tick=tick: sql.record_tick(db, tick, None)])  # type: ignore[misc]
    with open_snapshot(path) as found:
        whose = {n: found.tick("hourly", NOON + n * HOUR) for n in (-1, 0, 0.5, 1, 3, 5, 6)}
    assert whose == {-1: None, 0: single, 0.5: None, 1: many, 3: many, 5: many, 6: None}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a folder, with its text and when it was written."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def test_after_a_clean_stop_nothing_is_created(path: Path) -> None:
    """Reading a ledger that nobody has open leaves the folder as it is, to the byte."""
    file = SqliteFile(path, 1.0, 1)
    file.open()
    keep(file, succeeded(1, 5))
    file.close()
    before = contents(path.parent)
    assert before.keys() == {"hub.db"}
    with open_snapshot(path) as found:
        assert found.durations(["hourly"]) == {"hourly": (5 * SECOND,)}
    assert contents(path.parent) == before


def test_what_a_killed_hub_left_in_the_wal_is_read(hub: SqliteFile, path: Path, tmp_path: Path) -> None:
    """After kill -9 the newest rows are in the WAL only: they are told, and both files stay as they are."""
    keep(hub, succeeded(1, 5))
    folder = tmp_path / "copy"
    folder.mkdir()
    for each in path.parent.glob("hub.db*"):
        (folder / each.name).write_bytes(each.read_bytes())
    before = contents(folder)
    with open_snapshot(folder / "hub.db") as found:
        assert found.newest_run("hourly") == succeeded(1, 5)
    after = contents(folder)
    assert after.keys() == before.keys()
    assert {name: after[name] for name in ("hub.db", "hub.db-wal")} == {
        name: before[name] for name in ("hub.db", "hub.db-wal")
    }


def test_all_answers_are_of_one_moment(hub: SqliteFile, path: Path) -> None:
    """What the hub writes meanwhile neither waits for the reader nor shows before its next look."""
    keep(hub, succeeded(1, 5))
    with open_snapshot(path) as found:
        assert found.run("run-2") is None and found.run("run-1") is not None
        keep(hub, succeeded(2, 5))
        assert found.run("run-2") is None
    with open_snapshot(path) as found:
        assert found.run("run-2") == succeeded(2, 5)


def test_nothing_can_be_written(hub: SqliteFile, path: Path) -> None:
    """The connection takes no write, and says so in a sentence that names the file."""
    with (
        pytest.raises(LedgerError, match=r"hub\.db cannot be used: attempt to write"),
        open_snapshot(path) as found,
    ):
        found._db.execute("DELETE FROM marks")


def test_an_older_file_reads_as_the_upgrade_would_leave_it(path: Path) -> None:
    """What version 1 did not know yet has its default, and the file stays at version 1."""
    progress = ScheduleProgress(
        name="hourly", fingerprint="f", accounted_until=NOON, paused=True, paused_reason="by hand"
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        upgrade(db, schema_scripts()[:1])
        there = {table: columns_of(db, table) for table in ("runs", "marks")}
        for table, columns, row in (
            ("runs", rows.RUNS.columns, rows.RUNS.write(succeeded(1, 5))),
            ("marks", rows.PROGRESS.columns, rows.PROGRESS.write(progress)),
        ):
            old = {name: v for name, v in zip(columns.split(", "), row, strict=True) if name in there[table]}
            places = ", ".join("?" * len(old))
            db.execute(f"INSERT INTO {table} ({', '.join(old)}) VALUES ({places})", tuple(old.values()))
    with open_snapshot(path) as found:
        assert (found.newest_run("hourly"), found.progress()) == (succeeded(1, 5), {"hourly": progress})
        assert found._db.execute("PRAGMA user_version").fetchone() == (1,)


def columns_of(db: sqlite3.Connection, table: str) -> set[str]:
    """The names of a table's columns."""
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def test_what_cannot_be_read_is_said(path: Path) -> None:
    """No file, an empty one, a newer one, a WAL without its index, and no database: each has its sentence."""
    cases = {
        "there is no such file yet; start the hub once": None,
        "is still empty; start the hub once": b"",
    }
    for sentence, text in cases.items():
        if text is not None:
            path.write_bytes(text)
        with pytest.raises(LedgerError, match=sentence), open_snapshot(path):
            pass
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError, match="move the file away"), open_snapshot(path):
        pass
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(LedgerError, match="a newer reactorhub wrote it"), open_snapshot(path):
        pass
    path.with_name("hub.db-wal").write_bytes(b"")
    with pytest.raises(LedgerError, match=r"hub\.db-shm is missing beside hub\.db-wal"), open_snapshot(path):
        pass
