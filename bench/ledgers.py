"""Asks two ledgers the same things in turns: ``python -m bench.ledgers FEW MANY REPEATS`` prints the seconds.

What is printed is a JSON object: under ``calls``, by what was asked, two lists of seconds; under ``prune``,
what each step took that made room in the second ledger.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from bench.past import SPAN
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Tick, TickOutcome
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.retention import AT_ONCE
from reactorhub.storage.sqlite.ledger import SqliteLedger

NOW = datetime.now(UTC)
PAGE = 5  # rows; each ledger has at least as many of everything that is asked for
OPENINGS = 10
PRUNINGS = 100
Ask = Callable[[SqliteLedger, int], Deferred[Any]]


def run(number: int) -> Run:
    """Return a run that is new to a ledger."""
    spec = RunSpec(spider="spider-3", project="shop", schedule="schedule-3", tags=("nightly",))
    return Run(id=f"new-{number}", spec=spec, created_at=NOW + timedelta(seconds=number))


def finish(ledger: SqliteLedger, number: int) -> Deferred[None]:
    """Write down the end of a run that was added before."""
    added = run(number)
    return ledger.finish_run(replace(added, state=RunState.SUCCEEDED, finished_at=added.created_at))


def tick(ledger: SqliteLedger, number: int) -> Deferred[bool]:
    """Write down a tick with its run."""
    made = run(-1 - number)
    return ledger.record_tick(
        Tick(
            schedule="schedule-3",
            nominal_time=made.created_at,
            outcome=TickOutcome.RUN,
            reason=None,
            run_id=made.id,
            recorded_at=made.created_at,
        ),
        made,
    )


def page(**which: Any) -> Ask:
    """Return what asks for the newest runs that a filter lets through."""
    return lambda ledger, _: ledger.runs(RunFilter(**which), PAGE)


FAILED = frozenset({RunState.FAILED})
CALLS: dict[str, Ask] = {
    "a run is added": lambda ledger, number: ledger.add_run(run(number)),
    "a run ends": finish,
    "a tick and its run": tick,
    "runs": page(),
    "runs by state": page(states=FAILED),
    "runs by spider": page(spider="spider-3"),
    "runs by project": page(project="shop"),
    "runs by schedule": page(schedule="schedule-3"),
    "runs by tag": page(tag="nightly"),
    "runs since a moment": page(since=NOW - SPAN / 2),
    "runs until a moment": page(until=NOW - SPAN / 2),
    "runs by tag and state": page(tag="nightly", states=FAILED),
    "runs by tag and spider": page(tag="nightly", spider="spider-3"),
    "runs by tag and no spider": page(tag="nightly", spider="none"),
    "runs by spider and schedule": page(spider="spider-3", schedule="schedule-3", states=FAILED),
    "ticks of a schedule": lambda ledger, _: ledger.ticks("schedule-3", PAGE),
    "the last run of each schedule": lambda ledger, _: ledger.last_runs(),
    "what is under way": lambda ledger, _: ledger.active_runs(),
    "counts": lambda ledger, _: ledger.counts(),
}


async def seconds(asked: Callable[[], Deferred[Any]]) -> float:
    """Return how long an answer takes."""
    start = time.perf_counter()
    await asked()
    return time.perf_counter() - start


async def measure(few: SqliteLedger, many: SqliteLedger, repeats: int) -> dict[str, Any]:
    """Return all there is to find out; the ledgers are not open before, nor after."""
    both = (few, many)
    calls: dict[str, list[list[float]]] = {name: [[], []] for name in ("open", *CALLS)}
    for _ in range(OPENINGS):
        for index, ledger in enumerate(both):
            calls["open"][index].append(await seconds(ledger.open))
            await ledger.close()
    for ledger in both:
        await ledger.open()
    for number in range(repeats):
        for name, ask in CALLS.items():
            for index in (0, 1) if number % 2 else (1, 0):
                asked = await seconds(lambda a=ask, i=index, n=number: a(both[i], n))  # type: ignore[misc]
                calls[name][index].append(asked)
    before = NOW - SPAN / 12
    prune = [await seconds(lambda: many.prune(before, AT_ONCE)) for _ in range(PRUNINGS)]
    for ledger in both:
        await ledger.close()
    return {"calls": calls, "prune": prune}


def main(reactor: Any, few: str, many: str, repeats: str) -> Deferred[None]:
    """Measure and print."""
    ledgers = [SqliteLedger(Path(path), reactor) for path in (few, many)]
    measured = Deferred.fromCoroutine(measure(*ledgers, int(repeats)))
    return measured.addCallback(lambda found: print(json.dumps(found)))


if __name__ == "__main__":
    react(main, sys.argv[1:])
