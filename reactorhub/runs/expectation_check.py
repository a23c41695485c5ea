"""Checks the expectations of a run that has succeeded, with earlier runs from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted.logger import Logger

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run, RunState
from reactorhub.policies.expectations import Expectation, read, unmet
from reactorhub.storage.ledger import Ledger, RunFilter

log = Logger()

_MAX_NAMED = 10  # unmet expectations that one reason lists; more would be unreadable


async def held_to_expectations(run: Run, ledger: Ledger) -> Run:
    """Return the run unchanged, or as failed if an expectation does not hold.

    Only runs that have succeeded are checked. If the ledger cannot return earlier runs, comparisons with
    earlier runs are treated as met, and the log says so.

    :param run: a run in its final state, before that state is written to the ledger.
    """
    if run.state is not RunState.SUCCEEDED or not run.spec.expect:
        return run
    try:
        expectations = read(run.spec.expect)
    except ValueError as error:
        return _failed(run, f"an expectation cannot be read: {error}")
    faults = unmet(expectations, run, await _history(expectations, run, ledger))
    return _failed(run, f"an expectation did not hold: {_told(faults)}") if faults else run


async def _history(expectations: Sequence[Expectation], run: Run, ledger: Ledger) -> Sequence[Run]:
    """Return the earlier runs that the expectations need; nothing if the ledger does not answer."""
    limit = max(each.history for each in expectations)
    if not limit or run.spec.schedule is None:
        return ()
    succeeded = RunFilter(schedule=run.spec.schedule, states=frozenset({RunState.SUCCEEDED}))
    try:
        page = await ledger.runs(succeeded, limit)
    except LedgerError as error:
        log.error("run {run_id} is not compared with earlier runs: {error}", run_id=run.id, error=error)
        return ()
    return page.rows


def _told(faults: Sequence[str]) -> str:
    rest = len(faults) - _MAX_NAMED
    return "; ".join([*faults[:_MAX_NAMED], *([f"and {rest} more"] if rest > 0 else [])])


def _failed(run: Run, reason: str) -> Run:
    return replace(run, state=RunState.FAILED, reason=reason)
