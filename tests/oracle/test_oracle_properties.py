"""What holds of the fires of any schedule: their order, over restarts, under jitter; shown by a whole hub."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.conftest import SOAKING
from tests.oracle.oracle_rules import SECOND, Rule, microseconds
from tests.oracle.oracle_strategies import OPTIONS, timed
from tests.support.deferreds import done
from tests.support.hubs import START
from tests.support.oracle_hub import Process

MINUTE = 60
PATIENT = settings(max_examples=1000 if SOAKING else 25, deadline=None)


def always(rule: Rule) -> bool:
    """Whether a schedule's ticks do not depend on when its runs end."""
    return rule.enabled and rule.runs is None


RULES = timed("a").filter(always)
TICKING = RULES.filter(lambda rule: rule.when[0] != "hand")
JITTERY = st.builds(replace, TICKING, jitter=OPTIONS["jitter"])


def fires(ledger: MemoryLedger) -> list[int]:
    """The nominal times of a schedule, oldest first, in microseconds."""
    rows = done(ledger.ticks("a", 100_000)).rows
    return [microseconds(row.nominal_time) for row in reversed(rows)]


def created(ledger: MemoryLedger) -> list[tuple[int, int]]:
    """The nominal time of each tick's first attempt, and when it was made, in the order of making."""
    rows = done(ledger.runs(RunFilter(), 100_000)).rows
    runs = [run for run in reversed(rows) if run.spec.attempt == 1 and run.spec.nominal_time is not None]
    return [(microseconds(run.spec.nominal_time or START), microseconds(run.created_at)) for run in runs]


@PATIENT
@given(rule=RULES)
def test_a_restart_after_every_tick_changes_nothing(rule: Rule) -> None:
    """A hub that dies after each tick and comes back at once fires at the same times as one that lives."""
    living, dying = MemoryLedger(), MemoryLedger()
    one, other = Process(living, [rule], 0), Process(dying, [rule], 0)
    seen = 0
    for second in range(1, 3 * MINUTE):
        one.let_pass(1)
        other.let_pass(1)
        if len(fires(dying)) > seen:
            seen = len(fires(dying))
            other = Process(dying, [rule], second * SECOND)
    assert fires(dying) == fires(living)


@PATIENT
@given(rule=RULES, downtime=st.integers(1, 3 * MINUTE))
def test_a_downtime_moves_no_tick(rule: Rule, downtime: int) -> None:
    """The nominal times are the same whether the hub was there or not; only what became of them differs."""
    living, away = MemoryLedger(), MemoryLedger()
    one, other = Process(living, [rule], 0), Process(away, [rule], 0)
    for process in (one, other):
        process.let_pass(10)
    one.let_pass(downtime + 40)
    Process(away, [rule], (10 + downtime) * SECOND).let_pass(40)
    assert fires(away) == fires(living)


@PATIENT
@given(rule=RULES)
def test_fires_rise_and_start_within_their_jitter(rule: Rule) -> None:
    """Nominal times rise strictly in UTC; each tick starts no earlier than its own and before the next one's,
    within the jitter."""
    ledger = MemoryLedger()
    Process(ledger, [rule], 0).let_pass(5 * MINUTE)
    times = fires(ledger)
    assert all(before < after for before, after in pairwise(times))
    following = dict(pairwise(times))
    for nominal, made in created(ledger):
        assert 0 <= made - nominal <= rule.jitter * SECOND
        assert made < following.get(nominal, made + 1)


@PATIENT
@given(rule=JITTERY, seconds=st.integers(1, MINUTE))
def test_jitter_is_the_same_after_a_restart(rule: Rule, seconds: int) -> None:
    """A tick that waits for its start, or comes later, starts at the same microsecond in another process."""
    living, restarted = MemoryLedger(), MemoryLedger()
    Process(living, [rule], 0).let_pass(3 * MINUTE)
    Process(restarted, [rule], 0).let_pass(seconds)
    Process(restarted, [rule], seconds * SECOND).let_pass(3 * MINUTE - seconds)
    alive, again = dict(created(living)), dict(created(restarted))
    assert all(again[nominal] == made for nominal, made in alive.items() if nominal in again)
    assert fires(restarted) == fires(living)


def test_a_clock_of_the_bench_is_exact() -> None:
    """The processes compared here wake at the microsecond that was asked for."""
    process = Process(MemoryLedger(), [], 0)
    woken: list[timedelta] = []
    process.clock.callLater(0.3, lambda: woken.append(process.now() - START))
    process.let_pass(1)
    assert (woken, process.now() - START) == ([timedelta(seconds=0.3)], timedelta(seconds=1))
