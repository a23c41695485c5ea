"""A hub on doubles whose time is exact, for the tests that compare it with an oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from reactorhub.config import HubConfig
from reactorhub.engine.scripted import MemoryEngine, ScriptedCrawl
from reactorhub.model.run import RunSpec
from reactorhub.schedules.scheduler import Scheduler
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.oracle.oracle_rules import SECOND, Rule, fate, microseconds
from tests.support.deferreds import done
from tests.support.hubs import START, HubHarness, config

JUST = 1e-6
NO_LIMITS = "max_concurrent_runs: 10000, max_queued_runs: 100000"


class TimedEngine(MemoryEngine):
    """An engine whose crawls take the time that fate gives them."""

    def __init__(self, clock: Clock, endless: bool) -> None:
        """:param endless: crawls end when somebody says so."""
        super().__init__({"shop": ["prices", "report"]})
        self._clock = clock
        self._endless = endless

    def launch(self, run_id: str, spec: RunSpec) -> ScriptedCrawl:
        """Begin a crawl that will end."""
        crawl = super().launch(run_id, spec)
        if self._endless:
            return crawl
        nominal = 0 if spec.nominal_time is None else microseconds(spec.nominal_time)
        length, fails = fate(spec.schedule or "", nominal, spec.attempt)
        self._clock.callLater(length / SECOND, self._end, crawl, fails)
        return crawl

    def _end(self, crawl: ScriptedCrawl, fails: bool) -> None:
        if not crawl.done.called:
            crawl.finish(*([None] if fails else []), **({"failure": "bad luck"} if fails else {}))


class Process:
    """One life of a hub on a ledger that outlives it, from a moment on, on an exact clock."""

    def __init__(
        self,
        ledger: MemoryLedger,
        rules: Iterable[Rule],
        begin: int,
        limits: str = NO_LIMITS,
        endless: bool = False,
    ) -> None:
        """:param begin: how many microseconds after the start of all it begins."""
        self.clock, self.ledger, self._limits = Clock(), ledger, limits
        self._begin, self._step = START + timedelta(microseconds=begin), timedelta()
        harness = HubHarnessAt(self.now, self.clock, ledger, self._file(rules), endless)
        self.hub, self.engine, self.dispatcher = harness.hub, harness.engine, harness.dispatcher
        self.book = harness.book
        done(harness.hub.recover())
        done(harness.hub.adopt())
        done(harness.hub.run_on_start())
        self.turn()
        self.scheduler = Scheduler(
            self.clock,
            self.now,
            lambda due, after: Deferred.fromCoroutine(
                harness.hub.tick(due.schedule, due.nominal_time, after)
            ),
            lambda missed, after: Deferred.fromCoroutine(harness.hub.missed(missed, after)),
        )
        self.scheduler.start(harness.hub.entries())
        self.turn()

    def now(self) -> datetime:
        """The wall clock."""
        return self._begin + self._step + timedelta(seconds=self.clock.rightNow)

    def turn(self) -> None:
        """Let all happen that needs no time."""
        self.let_pass(0)

    def let_pass(self, seconds: float) -> None:
        """Let time go by, and everything happen exactly when it is due."""
        end = round(self.clock.rightNow + seconds, 6)
        while due := [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= end]:
            self.clock.rightNow = max(self.clock.rightNow, min(due))
            self.clock.advance(0)
        self.clock.rightNow = end

    def step(self, seconds: int) -> None:
        """Let a second go by, and step the wall clock just before its end."""
        self.let_pass(1 - JUST)
        self._step += timedelta(seconds=seconds)
        self.let_pass(JUST)

    def stop(self) -> None:
        """Tell the hub to end, without any grace."""
        self.scheduler.stop()
        stopping = Deferred.fromCoroutine(self.dispatcher.stop(0, Deferred()))
        self.turn()
        assert stopping.called

    def reload(self, rules: Iterable[Rule]) -> None:
        """Put another schedule file in force."""
        done(self.hub.put_in_force(self._file(rules)))
        self.scheduler.set_entries(self.hub.entries())
        self.turn()

    def _file(self, rules: Iterable[Rule]) -> HubConfig:
        head = f"hub: {{name: test, {self._limits}, projects: {{shop: {{path: .}}}}}}\nschedules:\n"
        return config("".join([head, *([each.yaml() for each in rules] or ["  {}\n"])]))


class HubHarnessAt(HubHarness):
    """A hub on doubles with a wall clock of somebody else's."""

    def __init__(
        self, now: Callable[[], datetime], clock: Clock, ledger: MemoryLedger, file: HubConfig, endless: bool
    ) -> None:
        self._now = now
        super().__init__(config=file, clock=clock, ledger=ledger, engine=TimedEngine(clock, endless))

    def now(self) -> datetime:
        """The wall clock."""
        return self._now()
