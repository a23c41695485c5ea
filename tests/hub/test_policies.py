"""The overlap policies on a clock: ticks that come while runs are on, in the cases of Temporal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from twisted.internet.task import Clock

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Tick
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.deferreds import done, held_back
from tests.support.hubs import START, HubHarness, config

MINUTE = timedelta(minutes=1)


class OneScheduleHarness(HubHarness):
    """A hub with one schedule ``a``, whose ticks come when a test says so, a minute apart.

    Another one over the same ledger is the hub's next start.
    """

    def __init__(self, rules: str, ledger: MemoryLedger | None = None, seconds: float = 0.0) -> None:
        self.rules = rules
        text = "hub: {max_concurrent_runs: 8, max_queued_runs: 5}\n"
        text += f"schedules:\n  a: {{spider: prices, interval: 1m, project: default, {rules}}}\n"
        clock = Clock()
        clock.advance(seconds)
        super().__init__(config(text), clock, ledger or MemoryLedger())
        done(self.hub.recover())
        done(self.hub.adopt())
        self.turn()
        self.minute = int(seconds // 60)

    def restarted(self, seconds: float = 0.0) -> OneScheduleHarness:
        """The hub after it was killed and started again, so many seconds later."""
        return OneScheduleHarness(self.rules, self.ledger, self.clock.seconds() + seconds)

    def tick(self) -> Tick:
        """Let a minute pass and the next tick come; return its row."""
        self.pass_time(60)
        self.minute += 1
        moment = START + self.minute * MINUTE
        done(self.hub.tick(self.book.get("a"), moment))
        self.turn()
        pages: list[Tick] = []
        self.ledger.ticks("a", 1).addCallback(lambda page: pages.extend(page.rows))
        return pages[0]

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, in steps of a second."""
        self.turn()
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.turn()

    def run(self, run_id: str | None) -> Run:
        """A run as the ledger has it."""
        found: list[Run] = []
        self.ledger.run(run_id or "").addCallback(found.append)
        return found[0]

    def minutes_on(self) -> list[int]:
        """Which ticks are being crawled for."""
        times = [crawl.spec.nominal_time for crawl in self.crawling]
        return [(time - START) // MINUTE for time in times if time is not None]

    def finish(self, number: int = 0, reason: str = "finished") -> None:
        """Let a crawl end."""
        self.crawling[number].finish(reason)
        self.turn()

    def states(self) -> list[str]:
        """The states of all runs, in the order in which they were added."""
        page = done(self.hub.runs(RunFilter(), 1000, None))
        return [run.state.value for run in reversed(page.rows)]


def test_skip() -> None:
    """The first tick runs, those that meet it are skipped, the first one after its end runs."""
    harness = OneScheduleHarness("overlap: skip")
    outcomes = [harness.tick().outcome.value for _ in range(3)]
    harness.finish()
    outcomes.append(harness.tick().outcome.value)
    assert outcomes == ["run", "skipped", "skipped", "run"]
    assert harness.minutes_on() == [4]


def test_skip_among_several() -> None:
    """With max_instances two go on at once, and the third is skipped."""
    harness = OneScheduleHarness("overlap: skip, max_instances: 2")
    assert [harness.tick().outcome.value for _ in range(3)] == ["run", "run", "skipped"]
    harness.finish()
    assert (harness.tick().outcome.value, harness.minutes_on()) == ("run", [2, 4])


def test_buffer_one() -> None:
    """One waits, the rest is skipped; when the first ends the one that waited runs, and another may wait."""
    harness = OneScheduleHarness("overlap: buffer_one")
    assert [harness.tick().outcome.value for _ in range(4)] == ["run", "run", "skipped", "skipped"]
    harness.finish()
    assert harness.minutes_on() == [2]
    assert [harness.tick().outcome.value for _ in range(2)] == ["run", "skipped"]
    harness.finish()
    assert harness.minutes_on() == [5]
    harness.finish()
    assert harness.at_rest()


def test_buffer_all() -> None:
    """Every tick waits for its turn; they run one at a time, in the order of their times."""
    harness = OneScheduleHarness("overlap: buffer_all")
    assert [harness.tick().outcome.value for _ in range(4)] == ["run"] * 4
    seen = []
    for _ in range(4):
        seen.append(harness.minutes_on())
        harness.finish()
    assert seen == [[1], [2], [3], [4]]
    assert harness.at_rest()


def test_buffer_all_is_bounded_by_the_hub() -> None:
    """When the hub holds as many waiting runs as it takes the tick is skipped, and says so."""
    harness = OneScheduleHarness("overlap: buffer_all")
    ticks = [harness.tick() for _ in range(7)]
    assert [tick.outcome.value for tick in ticks] == ["run"] * 6 + ["skipped"]
    assert str(ticks[-1].reason).startswith("the hub is at capacity")


def test_buffer_all_after_a_restart() -> None:
    """After kill -9 those that waited still run one at a time, in the same order, before newer ticks."""
    before = OneScheduleHarness("overlap: buffer_all")
    for _ in range(3):
        before.tick()
    harness = before.restarted()
    harness.tick()
    seen = []
    while harness.crawling:
        seen.append(harness.minutes_on())
        harness.finish()
    assert seen == [[2], [3], [4]]
    assert harness.states() == ["interrupted"] + ["succeeded"] * 3


def test_buffer_all_among_several() -> None:
    """With max_instances two go on at once, and each end lets the next one begin."""
    harness = OneScheduleHarness("overlap: buffer_all, max_instances: 2")
    for _ in range(4):
        harness.tick()
    assert harness.minutes_on() == [1, 2]
    harness.finish(1)
    assert harness.minutes_on() == [1, 3]
    harness.finish(0)
    assert harness.minutes_on() == [3, 4]


def test_buffer_all_with_one_cancelled_in_line() -> None:
    """A run that is cancelled while it waits loses its place, and the next one moves up."""
    harness = OneScheduleHarness("overlap: buffer_all")
    ticks = [harness.tick() for _ in range(3)]
    done(harness.hub.cancel(ticks[1].run_id or ""))
    assert harness.minutes_on() == [1]
    harness.finish()
    assert harness.minutes_on() == [3]


def test_cancel_other() -> None:
    """A new tick cancels the run that is on, says so there, and begins once that has ended."""
    harness = OneScheduleHarness("overlap: cancel_other, stop_grace: 10s")
    harness.engine.yields_to = "abort"
    first, second = harness.tick(), harness.tick()
    assert (second.outcome.value, harness.minutes_on()) == ("run", [1])
    assert harness.run(first.run_id).state is RunState.STOPPING
    harness.pass_time(11)
    assert harness.minutes_on() == [2]
    ended = harness.run(first.run_id)
    tick = "the tick of 2026-11-21T12:02:00Z"
    assert ended.state is RunState.CANCELLED
    assert ended.reason == f"overlap is cancel_other and {tick} takes this run's place"


def test_cancel_other_leaves_only_the_newest() -> None:
    """Of several ticks that come while a run is ending only the last one begins."""
    harness = OneScheduleHarness("overlap: cancel_other, stop_grace: 1h")
    harness.engine.yields_to = "abort"
    ticks = [harness.tick() for _ in range(3)]
    assert harness.run(ticks[1].run_id).state is RunState.CANCELLED
    harness.pass_time(3600)
    assert harness.minutes_on() == [3]
    harness.finish()
    assert harness.at_rest()


def test_cancel_other_after_a_restart() -> None:
    """A hub that dies while the other run is ending begins with the newest tick, and with that alone."""
    before = OneScheduleHarness("overlap: cancel_other, stop_grace: 1h, retry: {max_retries: 3, delay: 1s}")
    before.engine.yields_to = "abort"
    first = before.tick()
    before.tick()
    harness = before.restarted(30)
    harness.pass_time(30)
    assert harness.run(first.run_id).state is RunState.INTERRUPTED
    assert (harness.minutes_on(), harness.states()) == ([2], ["interrupted", "starting"])


def test_cancel_other_takes_a_waiting_retry_along() -> None:
    """A run that waits to be tried again is cancelled for a newer tick too."""
    harness = OneScheduleHarness("overlap: cancel_other, retry: {max_retries: 3, delay: 5m}")
    harness.tick()
    harness.finish(reason="shutdown")
    assert harness.states() == ["failed", "queued"]
    harness.tick()
    assert (harness.states(), harness.minutes_on()) == (["failed", "cancelled", "starting"], [2])


def test_cancel_other_after_a_restart_in_its_midst() -> None:
    """Where the other run died before it was told to stop, its next attempt gives way to the newer tick."""
    ledger = MemoryLedger()
    spec = RunSpec(spider="prices", project="default", schedule="a", nominal_time=START + 2 * MINUTE)
    ledger.add_run(Run(id="newer", spec=spec, created_at=START))
    older = replace(spec, nominal_time=START + MINUTE, attempt=2, retry_of="gone", not_before=START)
    ledger.add_run(Run(id="older", spec=older, created_at=START))
    harness = OneScheduleHarness("overlap: cancel_other", ledger)
    assert (harness.minutes_on(), harness.states()) == ([2], ["starting", "cancelled"])


@pytest.mark.parametrize(("most", "outcomes"), [("", ["run"] * 4), (", max_instances: 3", ["run"] * 3)])
def test_allow_all(most: str, outcomes: list[str]) -> None:
    """Every tick runs at once, up to max_instances if that is given."""
    harness = OneScheduleHarness(f"overlap: allow_all{most}")
    assert [harness.tick().outcome.value for _ in range(4)] == [*outcomes, *["skipped"] * (4 - len(outcomes))]
    assert harness.minutes_on() == list(range(1, len(outcomes) + 1))


def test_triggered_runs_count() -> None:
    """A run that was triggered begins at once, and ticks wait for it as for any other."""
    harness = OneScheduleHarness("overlap: buffer_all")
    harness.tick()
    done(harness.hub.trigger("a"))
    harness.tick()
    harness.turn()
    assert len(harness.crawling) == 2
    harness.finish()
    assert harness.minutes_on() == []
    harness.finish()
    assert harness.minutes_on() == [2]


def test_cancel_other_while_the_end_of_the_other_is_written() -> None:
    """A newer tick whose run meets an end that is being written waits for no further attempt."""
    harness = OneScheduleHarness("overlap: cancel_other, retry: {max_retries: 3, delay: 5m}")
    harness.tick()
    written = held_back(harness.ledger, "finish_run")
    harness.finish(reason="shutdown")
    del harness.ledger.finish_run  # type: ignore[method-assign]
    harness.tick()
    written.callback(None)
    harness.turn()
    assert (harness.states(), harness.minutes_on()) == (["failed", "starting", "cancelled"], [2])


def test_cancel_other_while_the_end_of_the_other_cannot_be_written() -> None:
    """The same after a disk was full for a while."""
    harness = OneScheduleHarness("overlap: cancel_other, retry: {max_retries: 3, delay: 5m}")
    harness.tick()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    harness.finish(reason="shutdown")
    harness.pass_time(2)
    harness.ledger.fail_writes = None
    done(harness.hub.tick(harness.book.get("a"), START + 2 * MINUTE))
    harness.pass_time(5)
    assert (harness.states(), harness.minutes_on()) == (["failed", "starting", "cancelled"], [2])


@pytest.mark.parametrize("overlap", ["buffer_one", "buffer_all", "cancel_other"])
def test_a_triggered_run_waits_for_nobody_after_a_restart(overlap: str) -> None:
    """A run by hand that had no slot yet when the hub was killed still asks no policy."""
    before = OneScheduleHarness(f"overlap: {overlap}, retry: {{max_retries: 1, delay: 1h}}")
    before.tick()
    before.finish(reason="shutdown")
    before.ledger.fail_writes = None
    by_hand = done(before.hub.trigger("a"))
    harness = before.restarted()
    assert [crawl.run_id for crawl in harness.crawling] == [by_hand.id]


def test_max_instances_with_a_waiting_attempt() -> None:
    """Under skip a run that waits to be tried again is one of those that max_instances counts."""
    harness = OneScheduleHarness("max_instances: 2, retry: {max_retries: 1, delay: 1h}")
    harness.tick()
    harness.finish(reason="shutdown")
    assert [harness.tick().outcome.value for _ in range(2)] == ["run", "skipped"]
