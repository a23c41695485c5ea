"""The hub on doubles: what ticks become, what a restart takes up, what a reload puts in force."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import Tick, TickOutcome
from reactorhub.policies.agenda import Missed
from reactorhub.storage.memory.ledger import MemoryLedger
from reactorhub.wire.orders import Order
from tests.support.hubs import SCHEDULES, START, Bench, config, done, hub_log

MINUTE = timedelta(minutes=1)


def started(ledger: MemoryLedger | None = None, text: str = SCHEDULES) -> Bench:
    """A hub that has taken up what the ledger holds, as at its start."""
    bench = Bench(config(text), ledger=ledger or MemoryLedger())
    done(bench.hub.recover())
    done(bench.hub.adopt())
    return bench


def ticked(bench: Bench, name: str, minutes: int = 1) -> Tick:
    """Hand on the tick of a schedule so many minutes after the start; return its row."""
    done(bench.hub.tick(bench.book.get(name), START + minutes * MINUTE))
    rows: list[Tick] = []
    bench.ledger.ticks(name, 1000).addCallback(lambda page: rows.extend(page.rows))
    return next(row for row in rows if row.nominal_time == START + minutes * MINUTE)


def kept(bench: Bench, run_id: str | None) -> Run:
    """A run as the ledger has it."""
    runs: list[Run] = []
    bench.ledger.run(run_id or "").addCallback(runs.append)
    return runs[0]


def since(bench: Bench, name: str) -> Any:
    """The moment after which a schedule's ticks are to be accounted for."""
    return next(moment for schedule, moment in bench.hub.entries() if schedule.name == name)


def test_a_tick_becomes_a_run() -> None:
    """A due tick has a row that names its run, and the run its tick; the schedule goes on after it."""
    bench = started()
    tick = ticked(bench, "hourly")
    assert (tick.outcome, tick.reason) == (TickOutcome.RUN, None)
    run = kept(bench, tick.run_id)
    assert (run.spec.schedule, run.spec.nominal_time) == ("hourly", tick.nominal_time)
    assert bench.begun(run.id).spec == run.spec
    assert since(bench, "hourly") == tick.nominal_time


def test_a_tick_runs_once() -> None:
    """A tick that is handed on twice is one row and one run."""
    bench = started()
    assert ticked(bench, "every").run_id == ticked(bench, "every").run_id
    assert bench.events() == ["run.queued"]


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("hourly", ["run", "skipped", "skipped"]),
        ("buffered", ["run", "run", "skipped"]),
        ("every", ["run", "run", "run"]),
    ],
)
def test_overlap_decides(name: str, outcomes: list[str]) -> None:
    """While a run of the schedule is on, its overlap rule says what further ticks become."""
    bench = started()
    found = []
    for minute in range(1, 4):
        found.append(ticked(bench, name, minute).outcome.value)
        bench.turn()
    assert found == outcomes
    assert bench.events().count("tick.skipped") == outcomes.count("skipped")


def test_a_buffered_run_follows_the_one_before() -> None:
    """A run that was buffered starts when the earlier one has ended, not before."""
    bench = started()
    crawl = bench.begun(str(ticked(bench, "buffered", 1).run_id))
    second = ticked(bench, "buffered", 2).run_id
    bench.turn()
    assert bench.engine.crawls == [crawl]
    crawl.finish()
    assert bench.begun(str(second)).spec.nominal_time == START + 2 * MINUTE


def test_a_skip_has_a_reason() -> None:
    """The row of a skipped tick says which rule decided, and which run stood in the way."""
    bench = started()
    run = ticked(bench, "hourly").run_id
    assert ticked(bench, "hourly", 2).reason == f"overlap is skip and run {run} is still queued"
    done(bench.hub.pause("hourly", "the shop moves"))
    assert ticked(bench, "hourly", 3).reason == "the schedule is paused: the shop moves"
    done(bench.hub.pause("hourly"))
    assert ticked(bench, "hourly", 4).reason == "the schedule is paused: by an operator"


def test_a_hub_at_capacity_skips() -> None:
    """When as many runs wait as the hub takes, ticks are skipped and say so."""
    bench = started(text=SCHEDULES.replace("name: test", "name: test\n  max_queued_runs: 1"))
    assert ticked(bench, "every").outcome is TickOutcome.RUN
    tick = ticked(bench, "every", 2)
    assert (tick.outcome, tick.run_id) == (TickOutcome.SKIPPED, None)
    assert str(tick.reason).startswith("the hub is at capacity")


def test_missed_ticks_are_told() -> None:
    """A row for ticks that were missed stands for all of them, and the schedule goes on after the last."""
    bench = started()
    until = START + 9 * MINUTE
    done(bench.hub.missed(Missed(bench.book.get("every"), START + MINUTE, until, "the hub was down")))
    assert (since(bench, "every"), bench.events()) == (until, ["tick.missed"])


def test_a_tick_that_cannot_be_kept() -> None:
    """Where the ledger cannot write, nothing runs and the tick is still to be accounted for."""
    bench = started()
    bench.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        done(bench.hub.tick(bench.book.get("hourly"), START + MINUTE))
    assert since(bench, "hourly") == START and not bench.dispatcher.live_runs


def test_a_tick_that_cannot_be_kept_before_one_that_can() -> None:
    """What is remembered does not pass it: a pause or a kill in that moment forgets no tick."""
    bench = started()
    bench.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        done(bench.hub.tick(bench.book.get("every"), START + MINUTE))
    bench.ledger.fail_writes = None
    done(bench.hub.tick(bench.book.get("every"), START + 2 * MINUTE, START + MINUTE))
    missed = Missed(bench.book.get("every"), START + 3 * MINUTE, None, "the hub was down")
    done(bench.hub.missed(missed, START + 2 * MINUTE))
    done(bench.hub.pause("every", None))
    assert since(bench, "every") == since(started(bench.ledger), "every") == START
    ticked(bench, "every")
    assert since(bench, "every") == since(started(bench.ledger), "every") == START + MINUTE


def test_run_on_start() -> None:
    """Schedules that ask for it run at the start, unless disabled, paused, or with a run left over."""
    text = SCHEDULES.replace("interval: 1h", "interval: 1h, run_on_start: true")
    bench = started(text=text)
    done(bench.hub.run_on_start())
    assert [live_run.run.spec.schedule for live_run in bench.dispatcher.live_runs.values()] == ["hourly"]
    again = started(bench.ledger, text)
    done(again.hub.run_on_start())
    assert len(again.dispatcher.live_runs) == 1
    for instead in ("run_on_start: true, enabled: false", "run_on_start: false"):
        other = started(text=SCHEDULES.replace("interval: 1h", f"interval: 1h, {instead}"))
        done(other.hub.run_on_start())
        assert not other.dispatcher.live_runs
    paused = started(text=text)
    done(paused.hub.pause("hourly"))
    done(paused.hub.run_on_start())
    assert not paused.dispatcher.live_runs


def test_run_on_start_of_a_full_hub() -> None:
    """A hub that starts with as many waiting runs as it takes starts all the same."""
    text = SCHEDULES.replace("interval: 1h", "interval: 1h, run_on_start: true")
    text = text.replace("name: test", "name: test\n  max_queued_runs: 1")
    before = started(text=text)
    waiting = done(before.hub.submit(Order(spider="report")))
    bench = started(before.ledger, text)
    done(bench.hub.run_on_start())
    assert list(bench.dispatcher.live_runs) == [waiting.id]


def test_a_restart_takes_up_what_there_was() -> None:
    """Runs that were on become interrupted; those that waited run, in their old order; marks are kept."""
    before = started()
    runs = [done(before.hub.submit(Order(spider="prices"))) for _ in range(5)]
    ticked(before, "every", 3)
    before.begun(runs[0].id).open()
    bench = started(before.ledger)
    states = [kept(bench, run.id).state for run in runs]
    assert states == [RunState.INTERRUPTED] * 2 + [RunState.QUEUED] * 3
    assert kept(bench, runs[0].id).reason == "the hub ended while the run was going on"
    assert bench.events() == ["run.finished"] * 2
    assert since(bench, "every") == START + 3 * MINUTE
    bench.turn()
    assert [crawl.run_id for crawl in bench.engine.crawls] == [run.id for run in runs[2:4]]
    bench.engine.crawls[0].finish()
    assert bench.begun(runs[4].id).run_id == runs[4].id


def test_a_restart_lets_a_buffered_run_begin() -> None:
    """A run by hand that had no slot yet waits for nobody, as before; a buffered one lets it end first."""
    before = started()
    first = ticked(before, "buffered", 1).run_id
    second = ticked(before, "buffered", 2).run_id if before.begun(str(first)) else None
    before.engine.crawls[0].finish()
    third = ticked(before, "buffered", 3).run_id if before.begun(str(second)) else None
    by_hand = done(before.hub.trigger("buffered"))
    bench = started(before.ledger)
    assert kept(bench, second).state is RunState.INTERRUPTED
    bench.begun(by_hand.id).finish()
    bench.turn()
    assert [crawl.run_id for crawl in bench.engine.crawls] == [by_hand.id, third]


def test_putting_another_config_in_force() -> None:
    """Unchanged schedules keep their place; new ones, and those whose "when" changed, count from now."""
    bench = started()
    ticked(bench, "every", 30)
    bench.clock.advance(3600)
    text = SCHEDULES.replace("interval: 1h", "interval: 2h").replace('{day: "7"}', '{day: "8"}')
    view = done(bench.hub.put_in_force(config(text + "  fresh: {spider: prices, interval: 5m}\n")))
    assert (view["added"], view["changed"], view["removed"]) == (["fresh"], ["hourly", "by_hand"], [])
    assert (view["unchanged"], view["needs_restart"]) == (2, [])
    now = START + timedelta(hours=1)
    assert [since(bench, name) for name in ("fresh", "hourly")] == [now, now]
    assert [since(bench, name) for name in ("every", "by_hand")] == [START + 30 * MINUTE, START]
    assert done(bench.hub.trigger("by_hand")).spec.args == {"day": "8"}


def test_a_reload_leaves_runs_and_overrides_alone() -> None:
    """Runs of a schedule that is gone go on; an operator's limits hold over the file's new ones."""
    bench = started()
    done(bench.hub.set_limits({"max_concurrent_runs": 1}))
    run = ticked(bench, "hourly").run_id
    crawl = bench.begun(str(run))
    text = SCHEDULES.replace("  hourly: {", "  daily: {").replace("runs: 2", "runs: 9")
    done(bench.hub.put_in_force(config(text)))
    assert bench.slots.limit == 1
    crawl.finish()
    assert kept(bench, run).state is RunState.SUCCEEDED


def test_a_rejected_config() -> None:
    """What is wrong with a new file is in the status and an event, until a good one is in force."""
    bench = started()
    bench.hub.reject(("schedule.yaml:1:1: is no YAML",))
    assert done(bench.hub.status())["config"]["errors"] == ["schedule.yaml:1:1: is no YAML"]
    assert bench.sink.events[-1]["config"]["errors"] == ["schedule.yaml:1:1: is no YAML"]
    done(bench.hub.put_in_force(config()))
    assert done(bench.hub.status())["config"]["errors"] == []
    assert bench.events() == ["config.rejected", "config.reloaded"]


def test_what_needs_a_restart_is_told_until_it_has_none() -> None:
    """A key that is read at the start stays as it was then; each reload says so until the file agrees."""
    bench = started()
    other = config(SCHEDULES.replace("name: test", "name: other"))
    for again in (other, other):
        assert done(bench.hub.put_in_force(again))["needs_restart"] == ["name"]
        status = done(bench.hub.status())
        assert (status["name"], status["config"]["needs_restart"]) == ("test", ["name"])
    assert done(bench.hub.put_in_force(config()))["needs_restart"] == []


def test_a_rerun_of_a_queue_that_is_gone() -> None:
    """A run of a queue that the file no longer has runs again in the default queue."""
    bench = started()
    run = done(bench.hub.submit(Order(spider="prices", queue="heavy")))
    done(bench.hub.put_in_force(config(SCHEDULES.replace("heavy", "light"))))
    assert done(bench.hub.rerun(run.id)).spec.queue == "default"


class SlowOverrides(MemoryLedger):
    """A ledger whose overrides are on disk only when ``writes`` fire."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Deferred[None]] = []

    def set_override(self, name: str, value: Any) -> Deferred[None]:
        """Keep an override, in time."""
        written: Deferred[None] = Deferred()
        written.addCallback(lambda _: super(SlowOverrides, self).set_override(name, value))
        self.writes.append(written)
        return written


def test_two_changes_of_limits_at_once() -> None:
    """Of two changes that are written at the same time neither undoes the other."""
    ledger = SlowOverrides()
    bench = started(ledger)
    for wanted in ({"max_concurrent_runs": 7}, {"queues": {"heavy": 5}}):
        Deferred.fromCoroutine(bench.hub.set_limits(wanted))
    for write in ledger.writes:
        write.callback(None)
    assert (bench.slots.limit, bench.slots.queues["heavy"]) == (7, 5)
    assert started(ledger).hub.limits == bench.hub.limits


def test_a_spider_that_nobody_has_is_warned_of() -> None:
    """A schedule whose spider no project has is no mistake of the file: the log says so, and others run."""
    bench = started()
    with hub_log() as logged:
        done(bench.hub.put_in_force(config(SCHEDULES.replace("spider: report", "spider: nobody"))))
    assert [event["name"] for event in logged if event["log_level"] is LogLevel.warn] == ["by_hand"]
    assert ticked(bench, "hourly").outcome is TickOutcome.RUN


def test_many_schedules_with_one_unknown_spider_are_one_warning() -> None:
    """A spider that was renamed is told of once, with how many schedules want it."""
    bench = started()
    with hub_log() as logged:
        done(bench.hub.put_in_force(config(SCHEDULES.replace("spider: prices", "spider: nobody"))))
    (warning,) = [event for event in logged if event["log_level"] is LogLevel.warn]
    assert (warning["name"], warning["more"]) == ("hourly", " and 2 more")


def test_a_list_is_that_of_one_file() -> None:
    """Schedules that a reload removes while they are listed are listed to the end, and none of the new."""
    bench = started()

    async def listed() -> list[str]:
        names = []
        async for view in bench.hub.schedules():
            if not names:
                await bench.hub.put_in_force(config(SCHEDULES.replace("every:", "another:")))
            names.append(view["name"])
        return names

    assert done(listed()) == ["hourly", "buffered", "every", "by_hand"]
    assert "another" in bench.book.schedules
