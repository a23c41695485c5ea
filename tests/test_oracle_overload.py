"""A hub that is given more than it takes: each tick beyond the limit of waiting runs is skipped, no other.

The oracle is a queue on paper: so many runs go on, so many wait, first come first served.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reactorhub.adapters.memory_ledger import MemoryLedger
from tests.conftest import SOAKING
from tests.hubs import START, done, waited
from tests.oracle_hub import Process
from tests.oracle_rules import SECOND, Rule, microseconds

PERIODS = {"first": 2, "second": 3, "third": 5}
RULES = [
    Rule(name=name, when=("interval", period, None), overlap="allow_all") for name, period in PERIODS.items()
]


@dataclass
class Paper:
    """What is to become of each tick, as one would work it out on paper."""

    slots: int
    most: int
    rows: dict[tuple[str, int], str] = field(default_factory=dict)
    going: int = 0
    waiting: list[tuple[str, int]] = field(default_factory=list)

    def second(self, now: int) -> None:
        """A second begins. Ticks of one second come in the order of their names, before any run starts."""
        for name in sorted(PERIODS):
            if now % PERIODS[name] == 0:
                full = len(self.waiting) >= self.most
                self.rows[name, now] = "at capacity" if full else "run"
                self.waiting += [] if full else [(name, now)]
        self.start()

    def start(self) -> None:
        """Whoever has waited longest goes on while there is room."""
        while self.waiting and self.going < self.slots:
            self.waiting.pop(0)
            self.going += 1

    def end(self) -> None:
        """A run ends."""
        self.going -= 1
        self.start()


class HubUnderLoad(RuleBasedStateMachine):
    """A hub with few slots and a short queue, whose crawls end when the test says so."""

    @initialize(slots=st.integers(1, 3), most=st.integers(1, 4))
    def begin(self, slots: int, most: int) -> None:
        self.paper = Paper(slots, most)
        self.now = microseconds(START) // SECOND
        limits = f"max_concurrent_runs: {slots}, max_queued_runs: {most}"
        self.process = Process(MemoryLedger(), RULES, 0, limits, endless=True)

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.paper.second(self.now)
            self.process.let_pass(1)

    @rule(number=st.integers(0, 2))
    def a_crawl_ends(self, number: int) -> None:
        going = [crawl for crawl in self.process.engine.crawls if not crawl.done.called]
        if number < len(going):
            going[number].finish()
            self.process.turn()
            self.paper.end()

    @invariant()
    def only_what_is_too_much_is_skipped(self) -> None:
        found: dict[tuple[str, int], str] = {}
        for name in PERIODS:
            for row in done(waited(self.process.ledger.ticks(name, 100_000))).rows:
                told = "at capacity" if "at capacity" in (row.reason or "") else row.outcome.value
                found[name, microseconds(row.nominal_time) // SECOND] = told
        assert found == self.paper.rows

    @invariant()
    def who_came_first_goes_first(self) -> None:
        crawls = [crawl.spec for crawl in self.process.engine.crawls]
        order = [(spec.schedule, microseconds(spec.nominal_time or START) // SECOND) for spec in crawls]
        ran = [key for key, told in self.paper.rows.items() if told == "run"]
        assert order == ran[: len(order)]
        assert len(ran) - len(order) == len(self.paper.waiting)
        assert sum(not crawl.done.called for crawl in self.process.engine.crawls) == self.paper.going


HubUnderLoad.TestCase.settings = settings(
    max_examples=2000 if SOAKING else 40, stateful_step_count=30, deadline=None
)
TestHubUnderLoad = HubUnderLoad.TestCase
