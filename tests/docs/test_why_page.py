"""The page on why a schedule did not run tells every answer there is, and every reason in the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reactorhub.model.run import FINAL, Run, RunSpec, RunState
from reactorhub.model.schedule import Catchup, Overlap, Schedule
from reactorhub.policies.agenda import plan
from reactorhub.policies.overlap import PAUSED, skip_reason
from reactorhub.triggers.rules import Interval
from tests.docs.docs_runner import matches
from tests.docs.test_docs import first_column, section
from tests.support.deferreds import done
from tests.support.hubs import HubHarness

PAGE = "why.md"
SOURCES = Path(__file__).parents[2] / "reactorhub"
NOW = datetime(2026, 11, 22, 12, 20, tzinfo=UTC)
SPEC = RunSpec(spider="prices", project="shop", schedule="every")


def kinds(module: str, pattern: str) -> set[str]:
    """The kinds of answers that a module names."""
    return set(re.findall(pattern, (SOURCES / module).read_text("utf-8")))


def test_every_finding_is_on_the_page() -> None:
    """The table of what is in the way has each kind that the rules can find, and no other."""
    ends = {f"last_{state.value}" for state in FINAL - {RunState.SUCCEEDED}} | {"last_skipped", "last_missed"}
    found = kinds("diagnosis/findings.py", r'Finding\(\s*"(\w+)"')
    assert first_column(section(PAGE, "Why it does not run")) == found | ends


def test_every_answer_for_a_moment_is_on_the_page() -> None:
    """The table of why there is no row has each kind that a moment can have, and no other."""
    found = kinds("diagnosis/moment.py", r'return "(\w+)", ') | kinds(
        "diagnosis/moment.py", r'Answer\(moment, "(\w+)"'
    )
    assert first_column(section(PAGE, "Why there is no row at all")) == found


def refusals() -> Iterator[str]:
    """The reasons of skipped ticks that the overlap rule gives."""
    retry = replace(SPEC, attempt=2, retry_of="r0")
    schedule = Schedule(name="every", spec=SPEC)
    for policy in Overlap:
        for most in (None, 1, 2):
            for spec, state in ((SPEC, RunState.RUNNING), (SPEC, RunState.QUEUED), (retry, RunState.QUEUED)):
                runs = [Run(id=f"r{n}", spec=spec, created_at=NOW, state=state) for n in range(2)]
                reason = skip_reason(replace(schedule, overlap=policy, max_instances=most), runs)
                yield from [reason] if reason else []


def of_the_hub() -> Iterator[str]:
    """The reasons of ticks that a paused schedule and a full hub skip."""
    harness = HubHarness()
    harness.ledger.open()
    done(harness.book.open(harness.config.schedules))
    schedule = harness.config.schedules["every"]
    harness.dispatcher.limit_waiting(0)
    done(harness.dispatcher.tick(schedule, NOW))
    done(harness.book.pause("every", "maintenance"))
    done(harness.dispatcher.tick(schedule, NOW + timedelta(minutes=1)))
    rows = harness.ledger.ticks("every", 9)
    seen: list[str] = []
    rows.addCallback(lambda page: seen.extend(tick.reason or "" for tick in page.rows))
    yield from seen


@pytest.mark.parametrize("reason", sorted({*refusals(), *of_the_hub()}))
def test_every_reason_of_a_skipped_tick_is_on_the_page(reason: str) -> None:
    """A row of the table is the reason, but for the names and numbers in it."""
    rows = first_column(section(PAGE, "Why a tick was skipped"))
    assert [row for row in rows if matches(row, reason)], reason


def test_the_reason_of_a_pause_begins_as_is_looked_for() -> None:
    """Ticks that were skipped for a pause are known by how their reason begins."""
    assert [reason for reason in of_the_hub() if reason.startswith(PAUSED)] == [f"{PAUSED}maintenance"]


@pytest.mark.parametrize("catchup", list(Catchup))
@pytest.mark.parametrize("down", [timedelta(minutes=3), timedelta(days=2)])
def test_every_reason_of_a_missed_tick_is_on_the_page(catchup: Catchup, down: timedelta) -> None:
    """A row of the table is the reason, but for the times and numbers in it."""
    schedule = Schedule(
        name="every", spec=SPEC, trigger=Interval(timedelta(minutes=1)), catchup=catchup, max_catchup=1
    )
    rows = first_column(section(PAGE, "Why a tick was missed"))
    reasons = {missed.reason for missed in plan([(schedule, NOW - down)], NOW).missed}
    assert reasons
    assert not [reason for reason in reasons if not any(matches(row, reason) for row in rows)]
