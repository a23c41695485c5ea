"""The overlap policies on a clock: ticks that come while runs are on, in the cases of Temporal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from reactorhub.engine.scripted import ScriptedCrawl
from reactorhub.errors import LedgerError
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Tick
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.memory.ledger import MemoryLedger
from tests.support.hubs import START, Bench, config, done

MINUTE = timedelta(minutes=1)


class Shop:
    """A hub with one schedule ``a``, whose ticks come when a test says so, a minute apart.

    Another one over the same ledger is the hub's next start.
    """

    def __init__(self, rules: str, ledger: MemoryLedger | None = None, seconds: float = 0.0) -> None:
        self.rules = rules
        text = "hub: {max_concurrent_runs: 8, max_queued_runs: 5}\n"
        text += f"schedules:\n  a: {{spider: prices, interval: 1m, project: default, {rules}}}\n"
        clock = Clock()
        clock.advance(seconds)
        self.bench = Bench(config(text), clock, ledger or MemoryLedger())
        done(self.bench.hub.recover())
        done(self.bench.hub.adopt())
        self.bench.turn()
        self.minute = int(seconds // 60)

    def restarted(self, seconds: float = 0.0) -> Shop:
        """The hub after it was killed and started again, so many seconds later."""
        return Shop(self.rules, self.bench.ledger, self.bench.clock.seconds() + seconds)

    def tick(self) -> Tick:
        """Let a minute pass and the next tick come; return its row."""
        self.pass_time(60)
        self.minute += 1
        moment = START + self.minute * MINUTE
        done(self.bench.hub.tick(self.bench.book.get("a"), moment))
        self.bench.turn()
        pages: list[Tick] = []
        self.bench.ledger.ticks("a", 1).addCallback(lambda page: pages.extend(page.rows))
        return pages[0]

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, in steps of a second."""
        self.bench.turn()
        for _ in range(int(seconds)):
            self.bench.clock.advance(1)
            self.bench.turn()

    def run(self, run_id: str | None) -> Run:
        """A run as the ledger has it."""
        found: list[Run] = []
        self.bench.ledger.run(run_id or "").addCallback(found.append)
        return found[0]

    @property
    def on(self) -> list[ScriptedCrawl]:
        """The crawls that have not ended, oldest first."""
        return [crawl for crawl in self.bench.engine.crawls if not crawl.done.called]

    def minutes_on(self) -> list[int]:
        """Which ticks are being crawled for."""
        times = [crawl.spec.nominal_time for crawl in self.on]
        return [(time - START) // MINUTE for time in times if time is not None]

    def finish(self, number: int = 0, reason: str = "finished") -> None:
        """Let a crawl end."""
        self.on[number].finish(reason)
        self.bench.turn()

    def states(self) -> list[str]:
        """The states of all runs, in the order in which they were added."""
        page = done(self.bench.hub.runs(RunFilter(), 1000, None))
        return [run.state.value for run in reversed(page.rows)]

    def at_rest(self) -> bool:
        """Whether nothing is left to happen."""
        bench = self.bench
        return not bench.dispatcher.live_runs and bench.slots.used == 0 and not bench.clock.getDelayedCalls()


def test_skip() -> None:
    """The first tick runs, those that meet it are skipped, the first one after its end runs."""
    shop = Shop("overlap: skip")
    outcomes = [shop.tick().outcome.value for _ in range(3)]
    shop.finish()
    outcomes.append(shop.tick().outcome.value)
    assert outcomes == ["run", "skipped", "skipped", "run"]
    assert shop.minutes_on() == [4]


def test_skip_among_several() -> None:
    """With max_instances two go on at once, and the third is skipped."""
    shop = Shop("overlap: skip, max_instances: 2")
    assert [shop.tick().outcome.value for _ in range(3)] == ["run", "run", "skipped"]
    shop.finish()
    assert (shop.tick().outcome.value, shop.minutes_on()) == ("run", [2, 4])


def test_buffer_one() -> None:
    """One waits, the rest is skipped; when the first ends the one that waited runs, and another may wait."""
    shop = Shop("overlap: buffer_one")
    assert [shop.tick().outcome.value for _ in range(4)] == ["run", "run", "skipped", "skipped"]
    shop.finish()
    assert shop.minutes_on() == [2]
    assert [shop.tick().outcome.value for _ in range(2)] == ["run", "skipped"]
    shop.finish()
    assert shop.minutes_on() == [5]
    shop.finish()
    assert shop.at_rest()


def test_buffer_all() -> None:
    """Every tick waits for its turn; they run one at a time, in the order of their times."""
    shop = Shop("overlap: buffer_all")
    assert [shop.tick().outcome.value for _ in range(4)] == ["run"] * 4
    seen = []
    for _ in range(4):
        seen.append(shop.minutes_on())
        shop.finish()
    assert seen == [[1], [2], [3], [4]]
    assert shop.at_rest()


def test_buffer_all_is_bounded_by_the_hub() -> None:
    """When the hub holds as many waiting runs as it takes the tick is skipped, and says so."""
    shop = Shop("overlap: buffer_all")
    ticks = [shop.tick() for _ in range(7)]
    assert [tick.outcome.value for tick in ticks] == ["run"] * 6 + ["skipped"]
    assert str(ticks[-1].reason).startswith("the hub is at capacity")


def test_buffer_all_after_a_restart() -> None:
    """After kill -9 those that waited still run one at a time, in the same order, before newer ticks."""
    before = Shop("overlap: buffer_all")
    for _ in range(3):
        before.tick()
    shop = before.restarted()
    shop.tick()
    seen = []
    while shop.on:
        seen.append(shop.minutes_on())
        shop.finish()
    assert seen == [[2], [3], [4]]
    assert shop.states() == ["interrupted"] + ["succeeded"] * 3


def test_buffer_all_among_several() -> None:
    """With max_instances two go on at once, and each end lets the next one begin."""
    shop = Shop("overlap: buffer_all, max_instances: 2")
    for _ in range(4):
        shop.tick()
    assert shop.minutes_on() == [1, 2]
    shop.finish(1)
    assert shop.minutes_on() == [1, 3]
    shop.finish(0)
    assert shop.minutes_on() == [3, 4]


def test_buffer_all_with_one_cancelled_in_line() -> None:
    """A run that is cancelled while it waits loses its place, and the next one moves up."""
    shop = Shop("overlap: buffer_all")
    ticks = [shop.tick() for _ in range(3)]
    done(shop.bench.hub.cancel(ticks[1].run_id or ""))
    assert shop.minutes_on() == [1]
    shop.finish()
    assert shop.minutes_on() == [3]


def test_cancel_other() -> None:
    """A new tick cancels the run that is on, says so there, and begins once that has ended."""
    shop = Shop("overlap: cancel_other, stop_grace: 10s")
    shop.bench.engine.yields_to = "abort"
    first, second = shop.tick(), shop.tick()
    assert (second.outcome.value, shop.minutes_on()) == ("run", [1])
    assert shop.run(first.run_id).state is RunState.STOPPING
    shop.pass_time(11)
    assert shop.minutes_on() == [2]
    ended = shop.run(first.run_id)
    tick = "the tick of 2026-11-21T12:02:00Z"
    assert ended.state is RunState.CANCELLED
    assert ended.reason == f"overlap is cancel_other and {tick} takes this run's place"


def test_cancel_other_leaves_only_the_newest() -> None:
    """Of several ticks that come while a run is ending only the last one begins."""
    shop = Shop("overlap: cancel_other, stop_grace: 1h")
    shop.bench.engine.yields_to = "abort"
    ticks = [shop.tick() for _ in range(3)]
    assert shop.run(ticks[1].run_id).state is RunState.CANCELLED
    shop.pass_time(3600)
    assert shop.minutes_on() == [3]
    shop.finish()
    assert shop.at_rest()


def test_cancel_other_after_a_restart() -> None:
    """A hub that dies while the other run is ending begins with the newest tick, and with that alone."""
    before = Shop("overlap: cancel_other, stop_grace: 1h, retry: {max_retries: 3, delay: 1s}")
    before.bench.engine.yields_to = "abort"
    first = before.tick()
    before.tick()
    shop = before.restarted(30)
    shop.pass_time(30)
    assert shop.run(first.run_id).state is RunState.INTERRUPTED
    assert (shop.minutes_on(), shop.states()) == ([2], ["interrupted", "starting"])


def test_cancel_other_takes_a_waiting_retry_along() -> None:
    """A run that waits to be tried again is cancelled for a newer tick too."""
    shop = Shop("overlap: cancel_other, retry: {max_retries: 3, delay: 5m}")
    shop.tick()
    shop.finish(reason="shutdown")
    assert shop.states() == ["failed", "queued"]
    shop.tick()
    assert (shop.states(), shop.minutes_on()) == (["failed", "cancelled", "starting"], [2])


def test_cancel_other_after_a_restart_in_its_midst() -> None:
    """Where the other run died before it was told to stop, its next attempt gives way to the newer tick."""
    ledger = MemoryLedger()
    spec = RunSpec(spider="prices", project="default", schedule="a", nominal_time=START + 2 * MINUTE)
    ledger.add_run(Run(id="newer", spec=spec, created_at=START))
    older = replace(spec, nominal_time=START + MINUTE, attempt=2, retry_of="gone", not_before=START)
    ledger.add_run(Run(id="older", spec=older, created_at=START))
    shop = Shop("overlap: cancel_other", ledger)
    assert (shop.minutes_on(), shop.states()) == ([2], ["starting", "cancelled"])


@pytest.mark.parametrize(("most", "outcomes"), [("", ["run"] * 4), (", max_instances: 3", ["run"] * 3)])
def test_allow_all(most: str, outcomes: list[str]) -> None:
    """Every tick runs at once, up to max_instances if that is given."""
    shop = Shop(f"overlap: allow_all{most}")
    assert [shop.tick().outcome.value for _ in range(4)] == [*outcomes, *["skipped"] * (4 - len(outcomes))]
    assert shop.minutes_on() == list(range(1, len(outcomes) + 1))


def test_triggered_runs_count() -> None:
    """A run that was triggered begins at once, and ticks wait for it as for any other."""
    shop = Shop("overlap: buffer_all")
    shop.tick()
    done(shop.bench.hub.trigger("a"))
    shop.tick()
    shop.bench.turn()
    assert len(shop.on) == 2
    shop.finish()
    assert shop.minutes_on() == []
    shop.finish()
    assert shop.minutes_on() == [2]


def test_cancel_other_while_the_end_of_the_other_is_written() -> None:
    """A newer tick whose run meets an end that is being written waits for no further attempt."""
    shop = Shop("overlap: cancel_other, retry: {max_retries: 3, delay: 5m}")
    shop.tick()
    written: Deferred[None] = Deferred()
    keep = shop.bench.ledger.finish_run
    shop.bench.ledger.finish_run = lambda *args: written.addCallback(lambda _: keep(*args))  # type: ignore
    shop.finish(reason="shutdown")
    del shop.bench.ledger.finish_run  # type: ignore[method-assign]
    shop.tick()
    written.callback(None)
    shop.bench.turn()
    assert (shop.states(), shop.minutes_on()) == (["failed", "starting", "cancelled"], [2])


def test_cancel_other_while_the_end_of_the_other_cannot_be_written() -> None:
    """The same after a disk was full for a while."""
    shop = Shop("overlap: cancel_other, retry: {max_retries: 3, delay: 5m}")
    shop.tick()
    shop.bench.ledger.fail_writes = LedgerError("the disk is full")
    shop.finish(reason="shutdown")
    shop.pass_time(2)
    shop.bench.ledger.fail_writes = None
    done(shop.bench.hub.tick(shop.bench.book.get("a"), START + 2 * MINUTE))
    shop.pass_time(5)
    assert (shop.states(), shop.minutes_on()) == (["failed", "starting", "cancelled"], [2])


@pytest.mark.parametrize("overlap", ["buffer_one", "buffer_all", "cancel_other"])
def test_a_triggered_run_waits_for_nobody_after_a_restart(overlap: str) -> None:
    """A run by hand that had no slot yet when the hub was killed still asks no policy."""
    before = Shop(f"overlap: {overlap}, retry: {{max_retries: 1, delay: 1h}}")
    before.tick()
    before.finish(reason="shutdown")
    before.bench.ledger.fail_writes = None
    by_hand = done(before.bench.hub.trigger("a"))
    shop = before.restarted()
    assert [crawl.run_id for crawl in shop.on] == [by_hand.id]


def test_max_instances_with_a_waiting_attempt() -> None:
    """Under skip a run that waits to be tried again is one of those that max_instances counts."""
    shop = Shop("max_instances: 2, retry: {max_retries: 1, delay: 1h}")
    shop.tick()
    shop.finish(reason="shutdown")
    assert [shop.tick().outcome.value for _ in range(2)] == ["run", "skipped"]
