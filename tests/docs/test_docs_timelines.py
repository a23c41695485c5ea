"""The timelines on the pages about policies are those that the rules bring about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from twisted.internet.task import Clock

from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.model.schedule import Tick
from reactorhub.policies.agenda import Due, Missed, Plan, plan
from reactorhub.policies.retries import failures_in_a_row
from reactorhub.storage.ledger import RunFilter
from tests.docs.docs_runner import blocks
from tests.integration.hubs import CHECKOUT
from tests.support.deferreds import done
from tests.support.hubs import START, HubHarness, config

POLICIES = CHECKOUT / "docs" / "policies"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MIDNIGHT = START - 12 * HOUR
TICKS = range(0, 50, 10)  # the minutes at which the overlap pages let a tick come
TAKES = 25  # minutes that their runs take
Row = list[str]


def table(page: Path) -> list[Row]:
    """Return the rows of the table below the heading that every page on a policy has."""
    text = page.read_text("utf-8").partition("\n## On the clock\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[1:]]


def harness(page: Path) -> HubHarness:
    """Return a hub with the schedule that the page shows, its spider aside."""
    rule = next(block for block in blocks(page) if block.options.get("fragment") == "schedule")
    keys = re.sub(r"^spider: .*\n", "", dedent(rule.text), flags=re.MULTILINE)
    lines = "".join(f"    {line}\n" for line in keys.splitlines())
    made = HubHarness(config(f"schedules:\n  a:\n    spider: prices\n    project: default\n{lines}"), Clock())
    done(made.hub.recover())
    return made


def clock_time(moment: datetime | None) -> str:
    """Return how long after the beginning a moment is: ``1:05``, or with seconds ``1:05:30``."""
    if moment is None:
        return ""
    minutes, seconds = divmod((moment - START).total_seconds(), 60)
    text = f"{minutes // 60:.0f}:{minutes % 60:02.0f}"
    return f"{text}:{seconds:02.0f}" if seconds else text


def runs(subject: HubHarness) -> list[Run]:
    """Return all runs, oldest first."""
    found: list[Run] = []
    subject.ledger.runs(RunFilter(), 1000).addCallback(lambda page: found.extend(reversed(page.rows)))
    return found


def end_old_crawls(subject: HubHarness, minutes: float, **end: str) -> None:
    """Let the crawls end whose run started so many minutes ago."""
    started = {run.id: run.started_at for run in runs(subject)}
    for crawl in [each for each in subject.engine.crawls if not each.done.called]:
        begin = started[crawl.run_id]
        if begin is not None and subject.now() - begin >= minutes * MINUTE:
            crawl.finish(**end)
            subject.turn()


def overlapped(subject: HubHarness) -> Iterator[Row]:
    """Let the ticks come, and return what became of them."""
    schedule = subject.book.get("a")
    for minute in range(180):
        end_old_crawls(subject, TAKES)
        if minute in TICKS:
            done(subject.hub.tick(schedule, subject.now()))
            subject.turn()
        subject.clock.advance(60)
        subject.turn()
    ticks: list[Tick] = []
    subject.ledger.ticks("a", 100).addCallback(lambda page: ticks.extend(reversed(page.rows)))
    of_tick = {run.spec.nominal_time: run for run in runs(subject)}
    for tick in ticks:
        run = of_tick.get(tick.nominal_time)
        told = [clock_time(run.started_at), clock_time(run.finished_at), run.state.value] if run else [""] * 3
        yield [clock_time(tick.nominal_time), tick.outcome.value, *told]


@pytest.mark.parametrize(
    "page", [*sorted(POLICIES.glob("overlap-*.md")), POLICIES / "timeout.md"], ids=lambda page: page.stem
)
def test_overlap(page: Path) -> None:
    """Ticks ten minutes apart, whose runs take 25 minutes, become what the page's table says."""
    assert list(overlapped(harness(page))) == table(page)


def test_retries() -> None:
    """Attempts that fail a minute after they began follow each other as the page's table says."""
    page = POLICIES / "retries.md"
    subject = harness(page)
    done(subject.hub.trigger("a"))
    for _ in range(3600):
        subject.turn()
        end_old_crawls(subject, 1, finish_reason="shutdown")
        subject.clock.advance(1)
    rows = [
        [f"{run.spec.attempt}", clock_time(run.started_at), clock_time(run.finished_at), run.state.value]
        for run in runs(subject)
    ]
    assert rows == table(page)


def test_catch_up() -> None:
    """A hub that was down runs and misses what the page's table says, under each value and window."""
    for keys, ran, missed in table(POLICIES / "catch-up.md"):
        planned = after_a_night(", ".join(re.findall("`(.+?)`", keys)))
        assert [hours(planned.due), hours(planned.missed)] == [ran, missed], keys


def after_a_night(keys: str) -> Plan:
    """Return what an hourly schedule with these keys has to do after a hub was down from 1:30 to 7:05."""
    text = f"schedules:\n  a: {{spider: a, project: default, interval: 1h, {keys}}}"
    down, up = MIDNIGHT + 1.5 * HOUR, MIDNIGHT + 7 * HOUR + 5 * MINUTE
    return plan([(config(text).schedules["a"], down)], up)


def hours(ticks: Sequence[Due | Missed]) -> str:
    """Return ``2:00 to 6:00`` for ticks in several hours in a row, and ``none`` for none."""
    found = [(tick.nominal_time - MIDNIGHT) // HOUR for tick in ticks]
    if not found:
        return "none"
    assert found == list(range(found[0], found[-1] + 1))
    return f"{found[0]}:00" if len(found) == 1 else f"{found[0]}:00 to {found[-1]}:00"


def test_pause_on_failure() -> None:
    """The failures in a row after each tick are as many as the page's table says."""
    ended: list[Run] = []
    rule = RetryRule(max_retries=1)
    for tick, attempts, count in table(POLICIES / "pause-on-failure.md")[:-1]:
        for number, state in enumerate(attempts.replace(" ", "_").split(",_"), 1):
            spec = RunSpec(spider="a", project="b", attempt=number, retry=rule)
            ended.append(Run(id=f"{tick}-{number}", spec=spec, created_at=START, state=RunState(state)))
        assert failures_in_a_row(reversed(ended), None) == int(count[0]), tick


def test_limits() -> None:
    """Schedules that are due together get their slots when the page's table says."""
    page = POLICIES / "limits.md"
    text = next(block.text for block in blocks(page) if block.options.get("save") == "schedule.yaml")
    subject = HubHarness(config(text), Clock())
    done(subject.hub.recover())
    for schedule in subject.book.schedules.values():
        done(subject.hub.tick(schedule, subject.now()))
    for _ in range(60):
        subject.turn()
        end_old_crawls(subject, TAKES)
        subject.clock.advance(60)
    six = 6 * HOUR
    rows = [
        [
            f"`{run.spec.schedule}`",
            *(clock_time(each and each + six) for each in (run.started_at, run.finished_at)),
        ]
        for run in runs(subject)
    ]
    assert rows == table(page)
