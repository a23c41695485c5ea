"""Kill -9 between any two writes: whatever was on disk by then, the next start makes all of it good.

The process dies before one of its writes, or after it and before it has heard of it. What the ledger holds
half a minute after the next start is then held to the promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred

from reactorhub.model.run import UNFINISHED, Run, RunState
from reactorhub.model.schedule import Tick
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.conftest import SOAKING
from tests.oracle.oracle_rules import SECOND, Rule
from tests.support.deferreds import done
from tests.support.hubs import START
from tests.support.oracle_hub import Process

LIVES = 25  # seconds for which a hub lives, at most
PERIODS = {"a": 3, "b": 4, "c": 5, "d": 2}
TIMEOUT = 4_321_000
RULES = [
    Rule(name="a", when=("interval", 3, None), retries=2, failures=2, timeout=TIMEOUT),
    Rule(
        name="b", when=("interval", 4, None), overlap="buffer_all", catchup="all", retries=1, timeout=TIMEOUT
    ),
    Rule(name="c", when=("interval", 5, None), overlap="cancel_other", retries=1),
    Rule(name="d", when=("interval", 2, None), overlap="allow_all", instances=3, runs=9, on_start=True),
    Rule(name="f", when=("after", ["a", "b", "c"], ["any"]), overlap="buffer_one", timeout=TIMEOUT),
]
BAD_ENDS = (RunState.FAILED, RunState.TIMED_OUT)
R = TypeVar("R")


class Mortal(MemoryLedger):
    """A ledger whose process dies at one of its writes: nothing is written or answered from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.live(None)

    @property
    def dead(self) -> bool:
        """Whether the process has died."""
        return self.dies_at is not None and self.writes >= self.dies_at

    def live(self, dies_at: int | None, written: bool = True) -> None:
        """Take writes (again), so many less one.

        :param written: whether the last one still reaches the disk.
        """
        self.writes, self.dies_at, self.written = 0, dies_at, written

    def _write(self, change: Callable[[], R]) -> Deferred[R]:
        was_dead, self.writes = self.dead, self.writes + 1
        if not self.dead:
            return super()._write(change)
        if not was_dead and self.written:
            super()._write(change)
        return Deferred()


class Aftermath:
    """What there is to be seen after a hub has died at a write, come back, and lived on."""

    def __init__(self, dies_at: int | None, written: bool, again_at: int | None = None) -> None:
        """:param again_at: at which write of its next start it dies once more."""
        self.ledger, self.seconds = Mortal(), 0
        self.process = Process(self.ledger, RULES, 0)
        self.ledger.live(dies_at, written)
        self.pass_time()
        self.writes, live_runs = self.ledger.writes, [self.process]
        if again_at is not None:
            self.ledger.live(again_at, written)
            with pytest.raises(AssertionError, match="still waits"):  # it never comes up
                Process(self.ledger, RULES, self.seconds * SECOND)
        self.ledger.live(None)
        self.process = Process(self.ledger, RULES, self.seconds * SECOND)
        self.pass_time()
        crawls = [crawl for process in (*live_runs, self.process) for crawl in process.engine.crawls]
        self.launched = Counter(crawl.run_id for crawl in crawls)

    def pass_time(self) -> None:
        """Let the hub live until it dies, but not too long."""
        for _ in range(LIVES):
            if self.ledger.dead:
                return
            self.process.let_pass(1)
            self.seconds += 1

    def runs(self, name: str | None = None) -> list[Run]:
        """The runs, oldest first."""
        page = done(self.ledger.runs(RunFilter(schedule=name), 100_000))
        return list(reversed(page.rows))

    def ticks(self, name: str) -> list[Tick]:
        """The ticks of a schedule, oldest first."""
        return list(reversed(done(self.ledger.ticks(name, 100_000)).rows))

    def check(self) -> None:
        """Hold the ledger to the promises."""
        self.each_tick_is_accounted_for()
        self.nothing_starts_twice()
        self.each_end_has_what_it_brings_about()
        self.all_that_is_not_over_goes_on()
        self.who_failed_twice_is_paused()

    def each_tick_is_accounted_for(self) -> None:
        for name, period in PERIODS.items():
            moments = [tick.nominal_time for tick in self.ticks(name)]
            all_of_them = [
                START + timedelta(seconds=each) for each in range(period, self.seconds + 1, period)
            ]
            assert moments == (all_of_them[: len(moments)] if name == "d" else all_of_them), name
        assert sum(tick.outcome.value == "run" for tick in self.ticks("d")) == 9

    def nothing_starts_twice(self) -> None:
        assert set(self.launched.values()) == {1}
        firsts = Counter(
            (run.spec.schedule, run.spec.nominal_time) for run in self.runs() if run.spec.attempt == 1
        )
        assert [key for key, number in firsts.items() if number > 1 and key[1] is not None] == []
        ran = {
            tick.run_id for name in (*PERIODS, "f") for tick in self.ticks(name) if tick.run_id is not None
        }
        assert ran == {
            run.id for run in self.runs() if run.spec.attempt == 1 and run.spec.nominal_time is not None
        }

    def each_end_has_what_it_brings_about(self) -> None:
        attempts = Counter(run.spec.retry_of for run in self.runs())
        over = 0
        for run in self.runs():
            rule = run.spec.retry
            again = rule is not None and run.state in rule.on and run.spec.attempt <= rule.max_retries
            assert attempts[run.id] == again, run
            over += run.state.final and not again and run.spec.schedule in ("a", "b", "c")
        assert len(self.ticks("f")) == over

    def all_that_is_not_over_goes_on(self) -> None:
        unfinished = done(self.ledger.runs(RunFilter(states=UNFINISHED), 100_000)).rows
        assert {run.id for run in unfinished} == set(self.process.dispatcher.live_runs)
        holding = sum(run.state.active for run in unfinished)
        assert holding == sum(not crawl.done.called for crawl in self.process.engine.crawls)

    def who_failed_twice_is_paused(self) -> None:
        followed = {run.spec.retry_of for run in self.runs()}
        ends = [run.state for run in self.runs("a") if run.id not in followed]
        telling = [state in BAD_ENDS for state in ends if state in (*BAD_ENDS, RunState.SUCCEEDED)]
        twice = any(one and other for one, other in pairwise(telling))
        assert (self.process.book.paused("a") is not None) == twice


ALL_WRITES = Aftermath(None, written=True).writes
BUSY = 71  # a write at which every schedule has runs that wait or go on
STARTING_WRITES = 8  # of the start after that


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("dies_at", range(1, ALL_WRITES, 1 if SOAKING else 7))
def test_whenever_it_dies_all_is_made_good(dies_at: int, written: bool) -> None:
    """Nothing is lost and nothing happens twice, at whichever write the hub is killed."""
    Aftermath(dies_at, written).check()


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("again_at", range(1, STARTING_WRITES + 1))
def test_it_may_die_in_its_start_too(again_at: int, written: bool) -> None:
    """A start that is killed half way is made good by the next one."""
    Aftermath(BUSY, written, again_at).check()


def test_there_is_much_to_be_killed() -> None:
    """The hub that is killed makes writes of every kind, and keeps the promises if it lives."""
    whole = Aftermath(None, written=True)
    whole.check()
    states = {run.state.value for run in whole.runs()}
    assert states >= {"succeeded", "failed", "cancelled", "timed_out", "interrupted"}
    assert max(run.spec.attempt for run in whole.runs()) == 3
    assert {tick.outcome.value for tick in whole.ticks("b") + whole.ticks("f")} >= {"run", "skipped"}
