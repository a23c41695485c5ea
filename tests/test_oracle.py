"""Every scheduled time accounted for, at most one start each: a hub against an oracle that counts seconds.

Whatever happens in whatever order (time passes, crawls end, schedules are paused, the hub stops or is killed
and comes back later), the ledger must say of each nominal time exactly what the oracle says.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.defer import Deferred

from reactorhub.adapters.memory_ledger import MemoryLedger
from reactorhub.config import HubConfig
from reactorhub.model import Tick, TickOutcome
from reactorhub.scheduler import Scheduler
from tests.hubs import START, Bench, config, done, waited

TEXT = """
hub: {name: test, max_concurrent_runs: 3, projects: {shop: {path: .}}}
schedules:
  skip: {spider: prices, interval: 5s}
  each: {spider: prices, interval: 7s, overlap: allow_all, catchup: all, catchup_window: 30s}
  late: {spider: report, cron: "*/4 * * * * *", overlap: allow_all, catchup: skip}
"""
PERIODS = {"skip": 5, "each": 7, "late": 4}
WINDOWS = {"skip": 600, "each": 30, "late": 10}  # seconds; 10 is what counts as on time


class Oracle:
    """Knows from the rules alone what is to become of each second."""

    def __init__(self) -> None:
        self.expected: dict[tuple[str, int], TickOutcome] = {}
        self.paused: set[str] = set()

    def due(self, second: int) -> list[str]:
        """The schedules that have a nominal time at this second after the start."""
        since_epoch = int(START.timestamp()) + second
        return [name for name, period in PERIODS.items() if since_epoch % period == 0]

    def live(self, second: int, busy: bool) -> None:
        """A second passes while the hub runs; ``busy`` says whether ``skip`` has a run that is not final."""
        for name in self.due(second):
            skipped = name in self.paused or (name == "skip" and busy)
            self.expected[name, second] = TickOutcome.SKIPPED if skipped else TickOutcome.RUN

    def back(self, gone: range, now: int, busy: bool) -> None:
        """The hub is back at second ``now`` after the seconds ``gone``."""
        for name in PERIODS:
            owed = [second for second in gone if name in self.due(second)]
            kept = [second for second in owed if now - second <= WINDOWS[name]]
            kept = kept[-1:] if name == "skip" else kept
            for second in owed:
                refused = name in self.paused or (name == "skip" and busy)
                found = TickOutcome.SKIPPED if refused else TickOutcome.RUN
                self.expected[name, second] = found if second in kept else TickOutcome.MISSED


class HubAgainstOracle(RuleBasedStateMachine):
    """A hub on doubles, driven by everything that can happen to one."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger, self.oracle, self.second = MemoryLedger(), Oracle(), 0
        self.starts: list[str] = []
        self.come_up()

    def come_up(self) -> None:
        self.bench = bench = BenchAt(self.second, config(TEXT), self.ledger)
        done(bench.hub.recover())
        done(bench.hub.adopt())
        self.scheduler = Scheduler(
            bench.clock,
            bench.now,
            lambda schedule, moment: Deferred.fromCoroutine(bench.hub.tick(schedule, moment)),
            lambda missed: Deferred.fromCoroutine(bench.hub.missed(missed)),
        )
        self.scheduler.start(bench.hub.entries())
        bench.clock.pump([0] * 5)

    def go_down(self, seconds: int) -> None:
        self.starts += [crawl.run_id for crawl in self.bench.engine.crawls]
        first = self.second + 1
        self.second += seconds
        # A run that was active becomes interrupted; one that waited is still unfinished.
        busy = any(run.spec.schedule == "skip" for run in done(waited(self.ledger.waiting_runs())))
        self.oracle.back(range(first, self.second + 1), self.second, busy)
        self.come_up()

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second += 1
            self.oracle.live(self.second, bool(self.bench.dispatcher.unfinished("skip")))
            self.bench.clock.advance(1)
            self.bench.clock.pump([0] * 5)

    @rule()
    def a_crawl_ends(self) -> None:
        for crawl in self.bench.engine.crawls:
            if not crawl.done.called:
                crawl.finish()
                break
        self.bench.clock.pump([0] * 5)

    @rule(name=st.sampled_from(sorted(PERIODS)))
    def pause(self, name: str) -> None:
        done(self.bench.hub.pause(name))
        self.oracle.paused.add(name)

    @rule(name=st.sampled_from(sorted(PERIODS)))
    def resume(self, name: str) -> None:
        done(self.bench.hub.resume(name))
        self.oracle.paused.discard(name)

    @rule(seconds=st.integers(0, 900))
    def killed(self, seconds: int) -> None:
        self.go_down(seconds)

    @rule(seconds=st.integers(0, 60))
    def stopped(self, seconds: int) -> None:
        self.scheduler.stop()
        stopping = Deferred.fromCoroutine(self.bench.dispatcher.stop(0, Deferred()))
        self.bench.clock.pump([1] * 5)
        assert stopping.called
        self.go_down(seconds)

    @invariant()
    def the_ledger_says_what_the_oracle_says(self) -> None:
        found: dict[tuple[str, int], TickOutcome] = {}
        for name in PERIODS:
            rows: list[Tick] = list(done(waited(self.ledger.ticks(name, 100_000))).rows)
            for row in rows:
                assert row.until is None
                key = (name, second_of(row.nominal_time))
                assert key not in found
                found[key] = row.outcome
        assert found == self.oracle.expected

    @invariant()
    def nothing_starts_twice(self) -> None:
        starts = self.starts + [crawl.run_id for crawl in self.bench.engine.crawls]
        assert len(starts) == len(set(starts))


def second_of(moment: datetime) -> int:
    """The second after the start at which a moment is."""
    return (moment - START) // timedelta(seconds=1)


class BenchAt(Bench):
    """A bench whose wall clock begins some seconds after the start."""

    def __init__(self, second: int, text: HubConfig, ledger: MemoryLedger) -> None:
        self.offset = timedelta(seconds=second)
        super().__init__(config=text, ledger=ledger)

    def now(self) -> datetime:
        """The wall clock."""
        return super().now() + self.offset


HubAgainstOracle.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestHubAgainstOracle = HubAgainstOracle.TestCase
