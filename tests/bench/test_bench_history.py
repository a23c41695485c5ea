"""The bench of a long past: it is true, small ones can be measured, and the figures are judged."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Growth, History, history_targets
from bench.ledgers import CALLS, PAGE
from bench.past import SCHEDULES, make_past
from bench.table import as_json, history_markdown, markdown
from reactorhub.model.run import RunState
from reactorhub.model.schedule import TickOutcome
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite import listing, sql
from reactorhub.storage.sqlite.file import schema_scripts
from tests.bench.test_bench import a_report
from tests.integration.hubs import CHECKOUT

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def a_history(*, many_ms: float = 1.5, pruned_ms: float = 20.0) -> History:
    """Return a history with these figures, and nothing else to remark."""
    calls = [Growth(name=name, few=[0.001] * 3, many=[0.001] * 3) for name in ("open", "runs by state")]
    calls.append(Growth(name="runs by tag", few=[0.001], many=[many_ms / 1000]))
    delays = {"few": [0.02] * 10, "many": [0.02] * 10, "pruned": [pruned_ms / 1000] * 10}
    return History(few=1000, many=1_000_000, calls=calls, prune=[0.005] * 99 + [0.03] * 2, delays=delays)


def test_a_past_is_what_a_hub_would_have_written(tmp_path: Path) -> None:
    """Rows read back as runs and ticks that name each other; counters and tags agree; the newest is now."""
    make_past(tmp_path / "hub.db", 2000, NOW)
    with closing(sqlite3.connect(tmp_path / "hub.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(schema_scripts()),)
        counts = sql.counts(db)
        assert (sum(counts.runs.values()), counts.ticks) == (2000, 2000)
        assert counts.runs.keys() == {RunState.SUCCEEDED, RunState.FAILED}
        (newest,) = listing.runs(db, RunFilter(), 1, None).rows
        assert 0 <= (NOW - newest.created_at).total_seconds() < 365 * 86_400 / 1000
        ticks = sql.ticks(db, "schedule-3", 100, None).rows
        assert {tick.outcome for tick in ticks} == {TickOutcome.RUN}
        run = sql.find_run(db, ticks[0].run_id or "")
        assert (run.spec.schedule, run.spec.nominal_time) == ("schedule-3", ticks[0].nominal_time)
        assert len(sql.last_runs(db)) == SCHEDULES * 9 // 10
        skipped = sql.ticks(db, "schedule-10", 1, None).rows[0]
        assert (skipped.outcome, skipped.run_id) == (TickOutcome.SKIPPED, None)
        assert len(listing.runs(db, RunFilter(tag="rare"), 10, None).rows) == 2


def test_two_small_ledgers_can_be_measured(tmp_path: Path) -> None:
    """Each call is made of both, and each is answered; the second one is pruned."""
    for name, rows in (("few", 1000), ("many", 1500)):
        make_past(tmp_path / name, rows, datetime.now(UTC))
    command = [sys.executable, "-m", "bench.ledgers", str(tmp_path / "few"), str(tmp_path / "many"), "2"]
    said = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    found = json.loads(said)
    assert found["calls"].keys() == {"open", *CALLS}
    for name in CALLS:
        few, many = found["calls"][name]
        assert len(few) == len(many) == 2
        assert min(*few, *many) > 0
    assert min(found["prune"]) > 0
    left = {}
    for name in ("few", "many"):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            left[name] = sum(sql.counts(db).runs.values())
            assert len(listing.runs(db, RunFilter(schedule="schedule-3"), PAGE, None).rows) == PAGE
    assert left["few"] == 1000 + 4
    assert left["many"] < 500


def test_a_history_is_judged_by_what_it_adds_and_by_what_pruning_costs() -> None:
    """Both targets have their own limit, and the call that grew most decides."""
    assert a_history().worst.name == "runs by tag"
    assert [target.reached for target in history_targets(a_history())] == [True, True]
    assert [target.reached for target in history_targets(a_history(many_ms=7.0))] == [False, True]
    assert [target.reached for target in history_targets(a_history(pruned_ms=30.1))] == [True, False]
    assert history_targets(None) == []


def test_the_table_of_a_history() -> None:
    """Lists of runs share a row, the slowest one's; every figure has its column."""
    text = history_markdown(a_history())
    assert "| ms, median | 1,000 runs and ticks | 1,000,000 runs and ticks |" in text
    assert "| a page of runs: the slowest of 2 filters (runs by tag) | 1.00 | 1.50 |" in text
    assert "| the same while old rows are removed |  | 20.0 / 20.0 |" in text
    assert "| a step that removes old rows: median / p99 |  | 5.00 / 30.0 |" in text
    assert "| what 1,000,000 rows add to a ledger call | 0.50 ms | ≤ 5 ms | pass |" in text
    assert "FAIL" in history_markdown(replace(a_history(), delays={**a_history().delays, "pruned": [0.2]}))


def test_a_history_is_part_of_the_report() -> None:
    """The report shows its table before the notes, judges it with all else, and keeps every figure."""
    report = replace(a_report(), history=a_history())
    text = markdown(report)
    assert text.index("| ms, median |") < text.index("The site runs on the same machine")
    assert "| what 1,000,000 rows add to a ledger call |" in text
    value = json.loads(json.dumps(as_json(report)))
    assert value["history"]["calls"][2] == {"name": "runs by tag", "few": [0.001], "many": [0.0015]}
    assert len(value["targets"]) == 7
