"""Runs and ticks to keep, and the two ledgers that every suite runs over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import gatherResults

from reactorhub.model.follow_up import ChainedTick
from reactorhub.model.isolation import Isolate
from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.model.schedule import Tick, TickOutcome
from reactorhub.storage.ledger import Ledger, Page, RunFilter
from reactorhub.storage.sqlite.ledger import SqliteLedger
from reactorhub.storage.sqlite.memory import MemoryLedger

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
    key="api:order-17",
    held=True,
)


class LedgerSuite:
    """What every suite over a ledger has; ``ledger`` is open when a test begins."""

    ledger: Ledger

    async def add(self, *runs: Run) -> None:
        """Keep these runs, in this order."""
        await gatherResults([self.ledger.add_run(run) for run in runs])

    async def listed(self, **which: Any) -> list[str]:
        """The ids of the first hundred runs that a filter lets through."""
        page = await self.ledger.runs(RunFilter(**which), 100)
        return [run.id for run in page.rows]

    async def pages(self, ask: Any) -> list[tuple[Any, ...]]:
        """All pages of a list, by following its cursors."""
        page: Page[Any] = await ask(None)
        found = [page.rows]
        while page.next_cursor is not None:
            self.assertRegex(page.next_cursor, r"\A[A-Za-z0-9_-]+\Z")
            page = await ask(page.next_cursor)
            found.append(page.rows)
        return found


class InMemory:
    """Runs a suite on the ledger in memory."""

    ledger: Ledger

    def setUp(self) -> None:
        """Begin with an empty ledger."""
        self.ledger = MemoryLedger()


class OnDisk:
    """Runs a suite on the ledger on disk."""

    ledger: Ledger

    def setUp(self) -> Any:
        """Begin with an empty file."""
        from twisted.internet import reactor

        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)  # type: ignore[attr-defined]  # the test case has it
        self.ledger = ledger = SqliteLedger(Path(folder.name) / "hub.db", reactor)
        self.addCleanup(ledger.close)  # type: ignore[attr-defined]
        return ledger.open()
