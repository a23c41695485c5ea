"""Every scheduled time accounted for, at most one start each: a hub against an oracle that counts seconds.

Whatever happens in whatever order (time passes, the clock is stepped, the ledger fails for a while, schedules
are paused, edited, added, removed and triggered by hand, runs are cancelled, the hub is killed and comes back
later), the ledger must say of each nominal time exactly what the oracle says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run
from reactorhub.model.schedule import Tick
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.conftest import SOAKING
from tests.oracle.oracle import Oracle
from tests.oracle.oracle_rules import SECOND, Rule, microseconds
from tests.oracle.oracle_runs import Row, RunKey
from tests.oracle.oracle_strategies import BEGIN, CHAINED, TIMED, consistent, one
from tests.support.deferreds import done
from tests.support.hubs import START
from tests.support.oracle_hub import Process

STEPS = st.sampled_from([1, 5, 60, 3600, 90_000])
DOWN = st.one_of(st.integers(0, 60), st.sampled_from([600, 2_500, 20_000]))
EDITED = st.sampled_from([None, None, *TIMED, *CHAINED])


class HubAgainstOracle(RuleBasedStateMachine):
    """A hub on doubles, driven by everything that can happen to one."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = MemoryLedger()
        self.starts: list[str] = []

    @initialize(rules=st.fixed_dictionaries({}, optional={name: one(name) for name in (*TIMED, *CHAINED)}))
    def begin(self, rules: dict[str, Rule]) -> None:
        self.rules = rules
        self.oracle = Oracle(consistent(rules), microseconds(START))
        self.process = Process(self.ledger, consistent(rules), 0)

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.oracle.pass_second()
            self.process.let_pass(1)

    @rule(seconds=STEPS, sign=st.sampled_from([1, -1]))
    def the_clock_is_stepped(self, seconds: int, sign: int) -> None:
        self.oracle.step(sign * seconds * SECOND)
        self.process.step(sign * seconds)

    @rule(seconds=STEPS, meanwhile=st.integers(0, 5), after=st.integers(1, 20))
    def the_clock_is_ahead_for_a_while(self, seconds: int, meanwhile: int, after: int) -> None:
        self.the_clock_is_stepped(seconds, 1)
        self.time_passes(meanwhile)
        self.the_clock_is_stepped(seconds, -1)
        self.time_passes(after)

    @precondition(lambda self: not self.oracle.broken)
    @rule()
    def the_ledger_breaks(self) -> None:
        self.oracle.broken = True
        self.ledger.fail_writes = LedgerError("the disk is full; make room")

    @precondition(lambda self: self.oracle.broken)
    @rule()
    def the_ledger_is_mended(self) -> None:
        self.oracle.broken = False
        self.ledger.fail_writes = None

    @precondition(lambda self: not self.oracle.broken and self.oracle.rules)
    @rule(data=st.data(), paused=st.booleans())
    def pause(self, data: st.DataObject, paused: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.oracle.rules)))
        done(self.process.hub.pause(name) if paused else self.process.hub.resume(name))
        self.oracle.pause(name, paused)

    @precondition(lambda self: not self.oracle.broken and self.oracle.rules)
    @rule(data=st.data())
    def trigger(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.oracle.rules)))
        done(self.process.hub.trigger(name))
        self.process.turn()
        self.oracle.trigger(name)

    @precondition(lambda self: self.oracle.unfinished)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel a run: one that waits, that crawls, or whose end cannot be written down yet."""
        which = data.draw(st.sampled_from(self.oracle.unfinished))
        Deferred.fromCoroutine(self.process.hub.cancel(self.on_disk()[which].id))
        self.process.turn()
        self.oracle.cancel(which)

    def on_disk(self) -> dict[RunKey, Run]:
        """The runs in the ledger, called as the oracle calls them."""
        found: dict[RunKey, Run] = {}
        places: dict[str, int] = {}
        ordered = 0
        for run in reversed(done(self.ledger.runs(RunFilter(), 1_000_000)).rows):
            spec = run.spec
            ordered += spec.nominal_time is None and spec.attempt == 1
            own = -ordered if spec.nominal_time is None else microseconds(spec.nominal_time)
            places[run.id] = own if spec.retry_of is None else places[spec.retry_of]
            key = (spec.schedule or "", places[run.id], spec.attempt)
            assert key not in found
            found[key] = run
        return found

    @precondition(lambda self: not self.oracle.broken)
    @rule(data=st.data(), name=st.sampled_from([*TIMED, *CHAINED]))
    def reload(self, data: st.DataObject, name: str) -> None:
        self.edit(data, name)
        self.process.reload(consistent(self.rules))
        self.oracle.reload(consistent(self.rules))

    def edit(self, data: st.DataObject, name: str) -> None:
        """Change, add or remove a schedule, switch it on or off, or give it another name."""
        ways = ["other", "removed", "switched"] if name in self.rules else ["other"]
        way = data.draw(st.sampled_from(ways))
        if way == "removed":
            del self.rules[name]
        elif way == "switched":
            self.rules[name] = replace(self.rules[name], enabled=not self.rules[name].enabled)
        else:
            self.rules[name] = data.draw(one(name))

    @rule(data=st.data(), seconds=DOWN, edited=EDITED)
    def killed(self, data: st.DataObject, seconds: int, edited: str | None) -> None:
        self.start_again(data, edited)
        self.oracle.killed(seconds, consistent(self.rules))
        self.come_up()

    @precondition(lambda self: not self.oracle.broken and self.oracle.calm)
    @rule(data=st.data(), seconds=DOWN, edited=EDITED)
    def stopped(self, data: st.DataObject, seconds: int, edited: str | None) -> None:
        self.process.stop()
        self.start_again(data, edited)
        self.oracle.stopped(seconds, consistent(self.rules))
        self.come_up()

    def start_again(self, data: st.DataObject, edited: str | None) -> None:
        """Edit the file perhaps, while the hub is away."""
        self.starts += [crawl.run_id for crawl in self.process.engine.crawls]
        if edited is not None:
            self.edit(data, edited)

    def come_up(self) -> None:
        """Let the hub come back, where the oracle says that the clock is, and the disk have room again."""
        self.ledger.fail_writes = None
        self.process = Process(self.ledger, consistent(self.rules), self.oracle.wall - microseconds(START))

    @invariant()
    def the_ledger_says_what_the_oracle_says(self) -> None:
        found: dict[tuple[str, int], Row] = {}
        for name in (*TIMED, *CHAINED):
            rows: list[Tick] = list(done(self.ledger.ticks(name, 1_000_000)).rows)
            for row in rows:
                until = None if row.until is None else microseconds(row.until)
                found[name, microseconds(row.nominal_time)] = (row.outcome.value, until)
        assert found == self.oracle.rows, difference(found, self.oracle.rows)

    @invariant()
    def the_runs_are_those_that_the_oracle_foretold(self) -> None:
        found = {
            key: (microseconds(run.created_at), "going" if run.state.active else run.state.value)
            for key, run in self.on_disk().items()
        }
        assert found == self.oracle.history, difference(found, self.oracle.history)

    @invariant()
    def those_are_paused_that_fail_or_that_somebody_paused(self) -> None:
        assert {*self.process.book.all_paused()} == self.oracle.paused

    @invariant()
    def nothing_starts_twice(self) -> None:
        starts = self.starts + [crawl.run_id for crawl in self.process.engine.crawls]
        assert len(starts) == len(set(starts))


def difference(found: dict[Any, Any], foretold: dict[Any, Any]) -> str:
    """Where the ledger and the oracle disagree, for who has to find out why."""
    keys = sorted(key for key in {*found, *foretold} if found.get(key) != foretold.get(key))
    lines = [
        f"{key[0]} {key[1] / SECOND - BEGIN:.6f}: ledger {found.get(key)}, oracle {foretold.get(key)}"
        for key in keys[:10]
    ]
    return "\n".join([f"{len(keys)} rows differ, among them:", *lines])


HubAgainstOracle.TestCase.settings = settings(
    max_examples=1000 if SOAKING else 60,
    stateful_step_count=40 if SOAKING else 20,
    deadline=None,
    derandomize=not SOAKING,  # the same examples for everybody; the soak looks further
)
TestHubAgainstOracle = HubAgainstOracle.TestCase
