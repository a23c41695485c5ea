"""A list of runs is read from an index in order, whatever it is asked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import product

from reactorhub.model.run import RunState
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite import listing, sql
from reactorhub.storage.sqlite.file import schema_scripts, upgrade
from tests.storage.ledger_cases import NOON, a_run


def test_no_list_reads_history() -> None:
    """For every combination of filters a page is read from an index in order: no scan, no sort."""
    states = [frozenset(), frozenset({RunState.FAILED}), frozenset({RunState.FAILED, RunState.RUNNING})]
    choices = product(states, *[(None, "x")] * 5, *[(None, NOON)] * 2, [None, 7])
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, schema_scripts())
        for chosen, spider, project, schedule, batch, tag, since, until, before in choices:
            which = RunFilter(
                states=chosen,
                spider=spider,
                project=project,
                schedule=schedule,
                batch=batch,
                tag=tag,
                since=since,
                until=until,
            )
            for lead in listing.leads(which) or [None]:
                statement, values = listing.select_runs(which, 50, before, lead)
                plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
                assert not [step for step in plan if "TEMP B-TREE" in step], (which, plan)
                scans = [step for step in plan if step.startswith(("SCAN runs", "SCAN run_tags"))]
                assert not scans or which == RunFilter(), (which, plan)
                index = {"tag": "PRIMARY KEY (tag=?", "state": "runs_by_state"}.get(
                    str(lead), f"runs_by_{lead}"
                )
                assert lead is None or [step for step in plan if index in step], (which, lead, plan)


def test_the_narrowest_filter_leads() -> None:
    """Where one filter lets few runs through, these are read, however many another one lets through."""
    few, many = {"spider": "few"}, {"spider": "many", "schedule": "all", "tags": ("all",)}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, schema_scripts())
        for number in range(50):
            sql.add_run(db, a_run(number, state=RunState.SUCCEEDED, **(many if number else {**many, **few})))
        failed = frozenset({RunState.FAILED})
        for which, lead in (
            (RunFilter(spider="few", schedule="all"), "spider"),
            (RunFilter(spider="few", tag="all"), "spider"),
            (RunFilter(spider="many", tag="none"), "tag"),
            (RunFilter(tag="all", states=failed), "state"),
            (RunFilter(spider="many", schedule="all", tag="all"), "spider"),
            (RunFilter(spider="many", schedule="all", states=failed), "schedule"),
            (RunFilter(spider="many"), None),
        ):
            assert listing._lead(db, which) == lead, which
