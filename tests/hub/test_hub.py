"""The hub on doubles: what ticks become, what a restart takes up, what a reload puts in force."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, formatEvent

from reactorhub.engine.scripted import MemoryEngine
from reactorhub.errors import LedgerError
from reactorhub.model.placeholders import spec_for_spider
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import Tick, TickOutcome
from reactorhub.model.spider import BrokenModule
from reactorhub.policies.agenda import Missed
from reactorhub.storage.sqlite.memory import MemoryLedger
from reactorhub.wire.orders import Order
from tests.support.deferreds import done
from tests.support.hubs import SCHEDULES, START, HubHarness, config, hub_log

MINUTE = timedelta(minutes=1)


def started(ledger: MemoryLedger | None = None, text: str = SCHEDULES) -> HubHarness:
    """A hub that has taken up what the ledger holds, as at its start."""
    harness = HubHarness(config(text), ledger=ledger or MemoryLedger())
    done(harness.hub.recover())
    done(harness.hub.adopt())
    return harness


def ticked(harness: HubHarness, name: str, minutes: int = 1) -> Tick:
    """Hand on the tick of a schedule so many minutes after the start; return its row."""
    done(harness.hub.tick(harness.book.get(name), START + minutes * MINUTE))
    rows: list[Tick] = []
    harness.ledger.ticks(name, 1000).addCallback(lambda page: rows.extend(page.rows))
    return next(row for row in rows if row.nominal_time == START + minutes * MINUTE)


def kept(harness: HubHarness, run_id: str | None) -> Run:
    """A run as the ledger has it."""
    runs: list[Run] = []
    harness.ledger.run(run_id or "").addCallback(runs.append)
    return runs[0]


def since(harness: HubHarness, name: str) -> Any:
    """The moment after which a schedule's ticks are to be accounted for."""
    return next(moment for schedule, moment in harness.hub.entries() if schedule.name == name)


def test_a_tick_becomes_a_run() -> None:
    """A due tick has a row that names its run, and the run its tick; the schedule goes on after it."""
    harness = started()
    tick = ticked(harness, "hourly")
    assert (tick.outcome, tick.reason) == (TickOutcome.RUN, None)
    run = kept(harness, tick.run_id)
    assert (run.spec.schedule, run.spec.nominal_time) == ("hourly", tick.nominal_time)
    assert harness.begun(run.id).spec == spec_for_spider(run)
    assert since(harness, "hourly") == tick.nominal_time


def test_a_tick_runs_once() -> None:
    """A tick that is handed on twice is one row and one run."""
    harness = started()
    assert ticked(harness, "every").run_id == ticked(harness, "every").run_id
    assert harness.events() == ["run.queued"]


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
    harness = started()
    found = []
    for minute in range(1, 4):
        found.append(ticked(harness, name, minute).outcome.value)
        harness.turn()
    assert found == outcomes
    assert harness.events().count("tick.skipped") == outcomes.count("skipped")


def test_a_buffered_run_follows_the_one_before() -> None:
    """A run that was buffered starts when the earlier one has ended, not before."""
    harness = started()
    crawl = harness.begun(str(ticked(harness, "buffered", 1).run_id))
    second = ticked(harness, "buffered", 2).run_id
    harness.turn()
    assert harness.engine.crawls == [crawl]
    crawl.finish()
    assert harness.begun(str(second)).spec.nominal_time == START + 2 * MINUTE


def test_a_skip_has_a_reason() -> None:
    """The row of a skipped tick says which rule decided, and which run stood in the way."""
    harness = started()
    run = ticked(harness, "hourly").run_id
    assert ticked(harness, "hourly", 2).reason == f"overlap is skip and run {run} is still queued"
    done(harness.hub.pause("hourly", "the shop moves"))
    assert ticked(harness, "hourly", 3).reason == "the schedule is paused: the shop moves"
    done(harness.hub.pause("hourly"))
    assert ticked(harness, "hourly", 4).reason == "the schedule is paused: by an operator"


def test_a_hub_at_capacity_skips() -> None:
    """When as many runs wait as the hub takes, ticks are skipped and say so."""
    harness = started(text=SCHEDULES.replace("name: test", "name: test\n  max_queued_runs: 1"))
    assert ticked(harness, "every").outcome is TickOutcome.RUN
    tick = ticked(harness, "every", 2)
    assert (tick.outcome, tick.run_id) == (TickOutcome.SKIPPED, None)
    assert str(tick.reason).startswith("the hub is at capacity")


def test_missed_ticks_are_told() -> None:
    """A row for ticks that were missed stands for all of them, and the schedule goes on after the last."""
    harness = started()
    until = START + 9 * MINUTE
    done(harness.hub.missed(Missed(harness.book.get("every"), START + MINUTE, until, "the hub was down")))
    assert (since(harness, "every"), harness.events()) == (until, ["tick.missed"])


def test_a_tick_that_cannot_be_kept() -> None:
    """Where the ledger cannot write, nothing runs and the tick is still to be accounted for."""
    harness = started()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        done(harness.hub.tick(harness.book.get("hourly"), START + MINUTE))
    assert since(harness, "hourly") == START and not harness.dispatcher.live_runs


def test_a_tick_that_cannot_be_kept_before_one_that_can() -> None:
    """What is remembered does not pass it: a pause or a kill in that moment forgets no tick."""
    harness = started()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        done(harness.hub.tick(harness.book.get("every"), START + MINUTE))
    harness.ledger.fail_writes = None
    done(harness.hub.tick(harness.book.get("every"), START + 2 * MINUTE, START + MINUTE))
    missed = Missed(harness.book.get("every"), START + 3 * MINUTE, None, "the hub was down")
    done(harness.hub.missed(missed, START + 2 * MINUTE))
    done(harness.hub.pause("every", None))
    assert since(harness, "every") == since(started(harness.ledger), "every") == START
    ticked(harness, "every")
    assert since(harness, "every") == since(started(harness.ledger), "every") == START + MINUTE


def test_run_on_start() -> None:
    """Schedules that ask for it run at the start, unless disabled, paused, or with a run left over."""
    text = SCHEDULES.replace("interval: 1h", "interval: 1h, run_on_start: true")
    harness = started(text=text)
    done(harness.hub.run_on_start())
    assert [live_run.run.spec.schedule for live_run in harness.dispatcher.live_runs.values()] == ["hourly"]
    again = started(harness.ledger, text)
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
    harness = started(before.ledger, text)
    done(harness.hub.run_on_start())
    assert list(harness.dispatcher.live_runs) == [waiting.id]


def test_a_restart_takes_up_what_there_was() -> None:
    """Runs that were on become interrupted; those that waited run, in their old order; marks are kept."""
    before = started()
    runs = [done(before.hub.submit(Order(spider="prices"))) for _ in range(5)]
    ticked(before, "every", 3)
    before.begun(runs[0].id).open()
    harness = started(before.ledger)
    states = [kept(harness, run.id).state for run in runs]
    assert states == [RunState.INTERRUPTED] * 2 + [RunState.QUEUED] * 3
    assert kept(harness, runs[0].id).reason == "the hub ended while the run was under way"
    assert harness.events() == ["run.finished"] * 2
    assert since(harness, "every") == START + 3 * MINUTE
    harness.turn()
    assert [crawl.run_id for crawl in harness.engine.crawls] == [run.id for run in runs[2:4]]
    harness.engine.crawls[0].finish()
    assert harness.begun(runs[4].id).run_id == runs[4].id


def test_a_restart_publishes_the_last_ends_again() -> None:
    """A hub that died before Redis had heard how a run ended says it at the next start, without an event."""
    before = started()
    runs = [done(before.hub.submit(Order(spider="prices"))) for _ in range(2)]
    before.begun(runs[0].id).finish()
    before.turn()
    harness = started(before.ledger)
    assert harness.sink.runs[runs[0].id]["state"] == "succeeded"
    assert [event["run"]["id"] for event in harness.sink.events] == [runs[1].id]


def test_a_restart_lets_a_buffered_run_begin() -> None:
    """A run by hand that had no slot yet waits for nobody, as before; a buffered one lets it end first."""
    before = started()
    first = ticked(before, "buffered", 1).run_id
    second = ticked(before, "buffered", 2).run_id if before.begun(str(first)) else None
    before.engine.crawls[0].finish()
    third = ticked(before, "buffered", 3).run_id if before.begun(str(second)) else None
    by_hand = done(before.hub.trigger("buffered"))
    harness = started(before.ledger)
    assert kept(harness, second).state is RunState.INTERRUPTED
    harness.begun(by_hand.id).finish()
    harness.turn()
    assert [crawl.run_id for crawl in harness.engine.crawls] == [by_hand.id, third]


def test_putting_another_config_in_force() -> None:
    """Unchanged schedules keep their place; new ones, and those whose "when" changed, count from now."""
    harness = started()
    ticked(harness, "every", 30)
    harness.clock.advance(3600)
    text = SCHEDULES.replace("interval: 1h", "interval: 2h").replace('{day: "7"}', '{day: "8"}')
    view = done(harness.hub.put_in_force(config(text + "  fresh: {spider: prices, interval: 5m}\n")))
    assert (view["added"], view["changed"], view["removed"]) == (["fresh"], ["hourly", "by_hand"], [])
    assert (view["unchanged"], view["needs_restart"]) == (2, [])
    now = START + timedelta(hours=1)
    assert [since(harness, name) for name in ("fresh", "hourly")] == [now, now]
    assert [since(harness, name) for name in ("every", "by_hand")] == [START + 30 * MINUTE, START]
    assert done(harness.hub.trigger("by_hand")).spec.args == {"day": "8"}


def test_added_and_removed_projects_are_named() -> None:
    """Another config names the projects that it adds and removes, in its reply and its event."""
    harness = started()
    two = config(
        SCHEDULES.replace("{shop: {path: .}}", "{shop: {path: .}, news: {path: news}}").replace(
            "spider: ", "project: shop, spider: "
        )
    )
    view = done(harness.hub.put_in_force(two))
    assert (view["added_projects"], view["removed_projects"]) == (["news"], [])
    assert harness.sink.events[-1]["config"]["added_projects"] == ["news"]
    view = done(harness.hub.put_in_force(config()))
    assert (view["added_projects"], view["removed_projects"]) == ([], ["news"])
    view = done(harness.hub.put_in_force(config()))
    assert (view["added_projects"], view["removed_projects"]) == ([], [])


def broken(project: str, module: str, error: str = "ValueError: no") -> BrokenModule:
    """A module that could not be imported."""
    return BrokenModule(project=project, module=module, error=error, traceback="…")


def warnings(events: list[LogEvent]) -> list[str]:
    """The warnings of a log, as they are read."""
    return [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]


def test_each_broken_module_is_one_warning() -> None:
    """The modules of the named projects that could not be imported have a warning of one line each."""
    modules = [broken("shop", "shop.a"), broken("shop", "shop.b", "SyntaxError: x\n  y"), broken("news", "n")]
    harness = HubHarness(engine=MemoryEngine({"shop": ["prices", "report"]}, modules))
    with hub_log() as events:
        harness.hub.warn_of_broken_modules(["shop"])
    assert warnings(events) == [
        "project shop: module shop.a cannot be imported, its spiders cannot run: ValueError: no",
        "project shop: module shop.b cannot be imported, its spiders cannot run: SyntaxError: x y",
    ]


def test_a_reload_warns_of_the_broken_modules_of_new_projects() -> None:
    """Modules of projects that a reload adds have their warning then; the others had theirs at the start."""
    modules = [broken("shop", "shop.a"), broken("news", "news.b")]
    harness = HubHarness(engine=MemoryEngine({"shop": ["prices", "report"]}, modules))
    done(harness.hub.recover())
    two = SCHEDULES.replace("{shop: {path: .}}", "{shop: {path: .}, news: {path: news}}")
    with hub_log() as events:
        done(harness.hub.put_in_force(config(two.replace("spider: ", "project: shop, spider: "))))
        done(harness.hub.put_in_force(config(two.replace("spider: ", "project: shop, spider: "))))
    assert [text.partition(":")[0] for text in warnings(events)] == ["project news"]


def test_a_reload_leaves_runs_and_overrides_alone() -> None:
    """Runs of a schedule that is gone go on; an operator's limits hold over the file's new ones."""
    harness = started()
    done(harness.hub.set_limits({"max_concurrent_runs": 1}))
    run = ticked(harness, "hourly").run_id
    crawl = harness.begun(str(run))
    text = SCHEDULES.replace("  hourly: {", "  daily: {").replace("runs: 2", "runs: 9")
    done(harness.hub.put_in_force(config(text)))
    assert harness.slots.limit == 1
    crawl.finish()
    assert kept(harness, run).state is RunState.SUCCEEDED


def test_a_rejected_config() -> None:
    """What is wrong with a new file is in the status and an event, until a good one is in force."""
    harness = started()
    harness.hub.reject(("schedule.yaml:1:1: is not YAML",))
    assert done(harness.hub.status())["config"]["errors"] == ["schedule.yaml:1:1: is not YAML"]
    assert harness.sink.events[-1]["config"]["errors"] == ["schedule.yaml:1:1: is not YAML"]
    done(harness.hub.put_in_force(config()))
    assert done(harness.hub.status())["config"]["errors"] == []
    assert harness.events() == ["config.rejected", "config.reloaded"]


def test_what_needs_a_restart_is_told_until_it_has_none() -> None:
    """A key that is read at the start stays as it was then; each reload says so until the file agrees."""
    harness = started()
    other = config(SCHEDULES.replace("name: test", "name: other"))
    for again in (other, other):
        assert done(harness.hub.put_in_force(again))["needs_restart"] == ["name"]
        status = done(harness.hub.status())
        assert (status["name"], status["config"]["needs_restart"]) == ("test", ["name"])
    assert done(harness.hub.put_in_force(config()))["needs_restart"] == []


def test_a_rerun_of_a_queue_that_is_gone() -> None:
    """A run of a queue that the file no longer has runs again in the default queue."""
    harness = started()
    run = done(harness.hub.submit(Order(spider="prices", queue="heavy")))
    done(harness.hub.put_in_force(config(SCHEDULES.replace("heavy", "light"))))
    assert done(harness.hub.rerun(run.id)).spec.queue == "default"


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
    harness = started(ledger)
    for wanted in ({"max_concurrent_runs": 7}, {"queues": {"heavy": 5}}):
        Deferred.fromCoroutine(harness.hub.set_limits(wanted))
    for write in ledger.writes:
        write.callback(None)
    assert (harness.slots.limit, harness.slots.queues["heavy"]) == (7, 5)
    assert started(ledger).hub.limits == harness.hub.limits


def test_a_spider_that_nobody_has_is_warned_of() -> None:
    """A schedule with an unknown spider does not make the file invalid: the log warns, and others run."""
    harness = started()
    with hub_log() as logged:
        done(harness.hub.put_in_force(config(SCHEDULES.replace("spider: report", "spider: nobody"))))
    assert [event["name"] for event in logged if event["log_level"] is LogLevel.warn] == ["by_hand"]
    assert ticked(harness, "hourly").outcome is TickOutcome.RUN


def test_many_schedules_with_one_unknown_spider_are_one_warning() -> None:
    """A spider that was renamed is reported once, with the number of schedules that name it."""
    harness = started()
    with hub_log() as logged:
        done(harness.hub.put_in_force(config(SCHEDULES.replace("spider: prices", "spider: nobody"))))
    (warning,) = [event for event in logged if event["log_level"] is LogLevel.warn]
    assert (warning["name"], warning["more"]) == ("hourly", " and 2 more")


def test_a_list_is_that_of_one_file() -> None:
    """Schedules that a reload removes while they are listed are listed to the end, and none of the new."""
    harness = started()

    async def listed() -> list[str]:
        names = []
        async for view in harness.hub.schedules():
            if not names:
                await harness.hub.put_in_force(config(SCHEDULES.replace("every:", "another:")))
            names.append(view["name"])
        return names

    assert done(listed()) == ["hourly", "buffered", "every", "by_hand"]
    assert "another" in harness.book.schedules
