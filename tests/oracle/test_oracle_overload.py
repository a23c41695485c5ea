"""A hub that is given more than it takes: each tick beyond the limit of waiting runs is skipped, no other.

The oracle is a queue on paper: so many runs go on, so many of them in a lane of their own, so many wait; of
those that there is room for, higher priority goes first, and among equals who came first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reactorhub.engine.scripted import ScriptedCrawl
from reactorhub.model.run import RunSpec
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.conftest import SOAKING
from tests.oracle.oracle_rules import SECOND, Rule, microseconds
from tests.support.deferreds import done
from tests.support.hubs import START
from tests.support.oracle_hub import Process

SCHEDULES = {
    name: Rule(
        name=name, when=("interval", period, None), overlap="allow_all", queue=queue, priority=priority
    )
    for name, period, queue, priority in [
        ("first", 2, "default", 0),
        ("second", 3, "heavy", 0),
        ("third", 5, "default", 7),
        ("fourth", 7, "heavy", 1),
    ]
}
Key = tuple[str, int]


def key_of(spec: RunSpec) -> Key:
    """Which tick a run is for."""
    return spec.schedule or "", microseconds(spec.nominal_time or START) // SECOND


@dataclass
class Paper:
    """What is to become of each tick, as one would work it out on paper."""

    slots: int
    heavy: int
    most: int
    rows: dict[Key, str] = field(default_factory=dict)
    going: list[Key] = field(default_factory=list)
    waiting: list[Key] = field(default_factory=list)
    started: list[Key] = field(default_factory=list)

    def second(self, now: int) -> None:
        """A second begins. Ticks of one second come in the order of their names, before any run starts."""
        for name in sorted(SCHEDULES):
            if SCHEDULES[name].ticks(now):
                full = len(self.waiting) >= self.most
                self.rows[name, now] = "at capacity" if full else "run"
                self.waiting += [] if full else [(name, now)]
        self.start()

    def start(self) -> None:
        """Whoever there is room for goes on: by priority, then by who has waited longest."""
        while ready := [key for key in self.waiting if self._has_room(key)]:
            key = max(ready, key=lambda key: SCHEDULES[key[0]].priority)
            self.waiting.remove(key)
            self.going.append(key)
            self.started.append(key)

    def _has_room(self, key: Key) -> bool:
        heavy = [each for each in self.going if SCHEDULES[each[0]].queue == "heavy"]
        lane = SCHEDULES[key[0]].queue != "heavy" or len(heavy) < self.heavy
        return lane and len(self.going) < self.slots

    def end(self, key: Key) -> None:
        """A run ends."""
        self.going.remove(key)
        self.start()


class HubUnderLoad(RuleBasedStateMachine):
    """A hub with few slots and a short queue, whose crawls end when the test says so."""

    @initialize(slots=st.integers(1, 3), heavy=st.integers(1, 2), most=st.integers(1, 4))
    def begin(self, slots: int, heavy: int, most: int) -> None:
        self.paper = Paper(slots, heavy, most)
        self.now = microseconds(START) // SECOND
        self.limits = f"max_concurrent_runs: {slots}, max_queued_runs: {most}, queues: {{heavy: {heavy}}}"
        self.ledger = MemoryLedger()
        self.crawls: list[ScriptedCrawl] = []
        self.come_up()

    def come_up(self) -> None:
        """Let the hub come (back)."""
        begin = self.now * SECOND - microseconds(START)
        self.process = Process(self.ledger, SCHEDULES.values(), begin, self.limits, endless=True)

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
            self.paper.end(key_of(going[number].spec))

    @rule(slots=st.integers(1, 4), heavy=st.integers(1, 3))
    def limits_are_set(self, slots: int, heavy: int) -> None:
        """What goes on goes on, also where the new limits are lower."""
        done(self.process.hub.set_limits({"max_concurrent_runs": slots, "queues": {"heavy": heavy}}))
        self.process.turn()
        self.paper.slots, self.paper.heavy = slots, heavy
        self.paper.start()

    @rule()
    def killed(self) -> None:
        """The hub dies and comes back at once: what went on is interrupted, what waited waits on."""
        self.crawls += self.process.engine.crawls
        self.come_up()
        self.paper.going.clear()
        self.paper.start()

    @invariant()
    def only_what_is_too_much_is_skipped(self) -> None:
        found: dict[Key, str] = {}
        for name in SCHEDULES:
            for row in done(self.ledger.ticks(name, 100_000)).rows:
                told = "at capacity" if "at capacity" in (row.reason or "") else row.outcome.value
                found[name, microseconds(row.nominal_time) // SECOND] = told
        assert found == self.paper.rows

    @invariant()
    def who_is_to_go_first_goes_first(self) -> None:
        crawls = self.crawls + self.process.engine.crawls
        assert [key_of(crawl.spec) for crawl in crawls] == self.paper.started
        assert len(self.paper.going) == sum(not crawl.done.called for crawl in self.process.engine.crawls)


HubUnderLoad.TestCase.settings = settings(
    max_examples=2000 if SOAKING else 40, stateful_step_count=30, deadline=None
)
TestHubUnderLoad = HubUnderLoad.TestCase
