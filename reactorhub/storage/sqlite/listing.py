"""The SQL of lists of runs, whose pages cost the same however long the history is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reactorhub.model.run import Run, RunState
from reactorhub.storage import rows
from reactorhub.storage.ledger import Page, RunFilter
from reactorhub.storage.sqlite.sql import Database, one_of

# created_at grows with seq, except where the clock stepped back. run_clock has the largest such step: see
# 001.sql. So once a row lies outside the bounds by more than that step, all rows beyond it lie outside too.
_SINCE = """runs.created_at >= :since AND {seq} >= coalesce((
    SELECT early.seq FROM runs AS early WHERE early.created_at < :since - (SELECT backstep FROM run_clock)
    ORDER BY early.created_at DESC, early.seq DESC LIMIT 1), 0)"""
_UNTIL = """runs.created_at < :until AND {seq} <= coalesce((
    SELECT late.seq FROM runs AS late WHERE late.created_at > :until + (SELECT backstep FROM run_clock)
    ORDER BY late.created_at, late.seq LIMIT 1), 9223372036854775807)"""
_FILTERS = ("spider", "project", "schedule", "batch")
_WIDE = 2_000  # rows; of two leads that both have more, either will do


def leads(which: RunFilter) -> list[str]:
    """Return the indexes that can drive this query: ``runs_by_...`` or ``run_tags``.

    The query reads the rows of one index in order until enough of them pass the other filters.
    """
    given = [name for name in (*reversed(_FILTERS), "tag") if getattr(which, name) is not None]
    return ["tag", "state"] if given == ["tag"] and which.states else given


def _lead(db: Database, which: RunFilter) -> str | None:
    """Return the index with the fewest rows: if two filters never match together, at most these are read."""
    found = leads(which)
    return min(found, key=lambda lead: _width(db, which, lead)) if len(found) > 1 else None


def _width(db: Database, which: RunFilter, lead: str) -> int:
    rule = "TRUE" if lead == "state" else f"{lead} = :{lead}"
    source = "run_tags" if lead == "tag" else "runs"
    states = "" if lead == "tag" else f"AND state IN ({one_of(which.states or RunState)})"
    counted = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {rule} {states} LIMIT {_WIDE})"
    return int(db.execute(counted, {name: getattr(which, name, None) for name in leads(which)}).fetchone()[0])


def select_runs(
    which: RunFilter, limit: int, before: int | None, lead: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the statement that lists ``limit + 1`` runs, newest first, and its parameters.

    :param lead: one of :func:`leads`; None for the first.
    """
    arms = " UNION ALL ".join(_arms(which, before, lead or next(iter(leads(which)), None)))
    sql = f"SELECT seq, {rows.RUNS.columns} FROM runs WHERE seq IN ({arms}) ORDER BY seq DESC LIMIT :rows"
    return sql, {
        **{name: getattr(which, name) for name in (*_FILTERS, "tag")},
        "since": which.since and rows.to_number(which.since),
        "until": which.until and rows.to_number(which.until),
        "before": before,
        "rows": limit + 1,
    }


def _arms(which: RunFilter, before: int | None, lead: str | None) -> list[str]:
    """Return one query for each state, unless a tag drives the list.

    The rows of one state are one ordered part of an index. A page merged from these queries costs the same
    however long the history is.
    """
    rules = [f"runs.{name} = :{name}" for name in _FILTERS if getattr(which, name) is not None]
    bounds = {_SINCE: which.since, _UNTIL: which.until, "{seq} < :before": before}
    rules += [rule for rule, bound in bounds.items() if bound is not None]
    if lead == "tag":
        tagged = ["run_tags.tag = :tag", *rules, f"runs.state IN ({one_of(which.states or RunState)})"]
        return [_arm("run_tags CROSS JOIN runs USING (seq)", "run_tags.seq", tagged)]
    if which.tag is not None:
        rules.append("EXISTS (SELECT 1 FROM run_tags WHERE tag = :tag AND run_tags.seq = {seq})")
    if lead is None and not which.states:
        return [_arm("runs", "runs.seq", rules)]
    source = f"runs INDEXED BY runs_by_{lead or 'state'}"
    states = sorted(which.states or RunState)
    return [_arm(source, "runs.seq", [f"runs.state = '{state.value}'", *rules]) for state in states]


def _arm(source: str, seq: str, rules: Sequence[str]) -> str:
    where = f"WHERE {' AND '.join(rules)}".format(seq=seq) if rules else ""
    return f"SELECT * FROM (SELECT {seq} FROM {source} {where} ORDER BY {seq} DESC LIMIT :rows)"


def runs(db: Database, which: RunFilter, limit: int, before: int | None) -> Page[Run]:
    """Return a page of runs, newest first."""
    found = db.execute(*select_runs(which, limit, before, _lead(db, which))).fetchall()
    return rows.make_page("runs", [(seq, rows.RUNS.read(row)) for seq, *row in found], limit)
