"""Whatever values runs and ticks hold, every ledger gives them back, and lists them alike."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Tick, TickOutcome
from reactorhub.storage import rows
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite import listing, sql
from reactorhub.storage.sqlite.file import schema_scripts, upgrade
from reactorhub.storage.sqlite.memory import MemoryLedger
from reactorhub.storage.sqlite.pruning import prune
from tests.storage.ledger_cases import MINUTE, NOON

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
