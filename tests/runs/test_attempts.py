"""Runs that are tried again, on a clock: what a retry is, what it waits for, what it outlives."""

from __future__ import annotations

from datetime import timedelta

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run
from reactorhub.model.values import time_text
from reactorhub.wire.orders import Order
from reactorhub.wire.views import run_view
from tests.hub.test_policies import OneScheduleHarness
from tests.support.deferreds import done, held_back
from tests.support.hubs import config

RETRY = "retry: {max_retries: 2, delay: 10s, backoff: 3, max_delay: 1h}"


def test_a_failed_run_is_tried_again() -> None:
    """It is tried as often as the rule says, after ever longer waits, each attempt linked to the last."""
    harness = OneScheduleHarness(RETRY)
    first = harness.tick()
    harness.finish(reason="shutdown")
    assert (harness.crawling, harness.states()) == ([], ["failed", "queued"])
    harness.pass_time(9)
    assert harness.crawling == []
    harness.pass_time(1)
    second = harness.run(harness.crawling[0].run_id)
    assert (second.spec.attempt, second.spec.retry_of) == (2, first.run_id)
    assert (second.spec.nominal_time, second.spec.schedule) == (first.nominal_time, "a")
    harness.finish(reason="shutdown")
    harness.pass_time(30)
    third = harness.run(harness.crawling[0].run_id)
    assert (third.spec.attempt, third.spec.retry_of) == (3, second.id)
    harness.finish(reason="shutdown")
    assert harness.at_rest() and harness.states() == ["failed"] * 3
    assert harness.events().count("run.queued") == 3


def test_each_attempt_is_told_of_itself() -> None:
    """A retry has its own id and number in its arguments, and the time of the same tick; views show them."""
    args = (
        'args: {me: "{run.id} {run.attempt}", tick: "{tick.nominal_time}", of: "{schedule.name}{{run.id}}"}'
    )
    harness = OneScheduleHarness(f"{RETRY}, {args}")
    tick = harness.tick()
    nominal = time_text(tick.nominal_time)
    for attempt in (1, 2):
        (crawl,) = harness.crawling
        told = {"me": f"{crawl.run_id} {attempt}", "tick": nominal, "of": "a{run.id}"}
        run = harness.run(crawl.run_id)
        assert crawl.spec.args == run_view(run)["args"] == told
        assert crawl.spec.settings["REACTORHUB_ATTEMPT"] == attempt
        assert crawl.spec.settings["REACTORHUB_NOMINAL_TIME"] == nominal
        harness.finish(reason="shutdown")
        harness.pass_time(10)


def test_a_success_ends_the_attempts() -> None:
    """An attempt that succeeds is the last one."""
    harness = OneScheduleHarness(RETRY)
    harness.tick()
    harness.finish(reason="shutdown")
    harness.pass_time(10)
    harness.finish()
    assert harness.at_rest() and harness.states() == ["failed", "succeeded"]


def test_a_cancelled_run_is_not_tried_again() -> None:
    """Neither one that crawls nor one that waits to be tried again has another attempt."""
    harness = OneScheduleHarness(RETRY)
    first = harness.tick()
    done(harness.hub.cancel(first.run_id or ""))
    harness.tick()
    harness.finish(reason="shutdown")
    (retry,) = harness.dispatcher.live_runs
    done(harness.hub.cancel(retry))
    assert harness.at_rest() and harness.states() == ["cancelled", "failed", "cancelled"]


def test_a_run_that_died_while_it_was_cancelled_is_not_tried_again() -> None:
    """A cancel holds, even if the hub is killed before the crawl has ended."""
    before = OneScheduleHarness(RETRY)
    before.engine.yields_to = "abort"
    done(before.hub.cancel(before.tick().run_id or ""))
    assert before.states() == ["stopping"]
    harness = before.restarted()
    assert harness.at_rest() and harness.states() == ["interrupted"]


def test_a_timeout_is_tried_again() -> None:
    """A run that took too long has another attempt, if the rule names timeouts."""
    harness = OneScheduleHarness(f"timeout: 5s, {RETRY}")
    harness.tick()
    harness.pass_time(5)
    assert harness.states() == ["timed_out", "queued"]
    other = OneScheduleHarness("timeout: 5s, retry: {on: [failed]}")
    other.tick()
    other.pass_time(5)
    assert other.states() == ["timed_out"]


def test_a_retry_that_waits_survives_a_restart() -> None:
    """It keeps its time; where that has passed meanwhile it runs at once."""
    for down, waits in ((4, 6), (60, 0)):
        before = OneScheduleHarness(RETRY)
        before.tick()
        before.finish(reason="shutdown")
        harness = before.restarted(down)
        harness.pass_time(max(waits - 1, 0))
        assert len(harness.crawling) == (0 if waits else 1)
        harness.pass_time(1 if waits else 0)
        assert harness.crawling[0].spec.attempt == 2


def test_a_run_that_died_with_the_hub_is_tried_again() -> None:
    """After kill -9 the run is interrupted and its next attempt queued, as often as the rule says."""
    harness = OneScheduleHarness(RETRY)
    harness.tick()
    for attempt in (2, 3):
        harness = harness.restarted()
        assert harness.events() == ["run.finished", "run.queued"]
        harness.pass_time(60)
        assert harness.crawling[0].spec.attempt == attempt
    harness = harness.restarted()
    assert harness.at_rest() and harness.states() == ["interrupted"] * 3


def test_a_shutdown_queues_the_next_attempt() -> None:
    """A run that a shutdown ends is tried again after the next start, not before the end of this one."""
    before = OneScheduleHarness(RETRY)
    before.tick()
    done_at_once: list[None] = []
    stopped = Deferred.fromCoroutine(before.dispatcher.stop(0, Deferred()))
    stopped.addCallback(done_at_once.append)
    before.pass_time(5)
    assert done_at_once == [None] and before.at_rest()
    assert before.states() == ["interrupted", "queued"]
    harness = before.restarted()
    harness.pass_time(10)
    assert harness.crawling[0].spec.attempt == 2


def test_a_reload_changes_no_attempt_under_way() -> None:
    """A run carries its rule: what a reload makes of the schedule holds for new ticks alone."""
    harness = OneScheduleHarness(RETRY)
    harness.tick()
    text = "hub: {}\nschedules:\n  a: {spider: prices, interval: 1m}\n"
    done(harness.hub.put_in_force(config(text)))
    harness.finish(reason="shutdown")
    harness.pass_time(10)
    assert harness.crawling[0].spec.attempt == 2
    done(harness.hub.put_in_force(config("schedules: {}\n")))
    harness.finish(reason="shutdown")
    assert harness.states() == ["failed", "failed", "queued"]


def test_a_schedule_whose_retry_waits_is_busy() -> None:
    """A tick that comes while a run waits to be tried again is skipped under skip, and says what waits."""
    harness = OneScheduleHarness("overlap: skip, retry: {delay: 5m}")
    harness.tick()
    harness.finish(reason="shutdown")
    (retry,) = harness.dispatcher.live_runs
    assert harness.tick().reason == f"overlap is skip and run {retry} waits to be tried again, as attempt 2"


def test_buffered_runs_wait_for_retries() -> None:
    """A tick's turn comes when the one before has been tried for the last time, also over a restart."""
    harness = OneScheduleHarness("overlap: buffer_all, retry: {max_retries: 2, delay: 90s, backoff: 1}")
    harness.tick()
    harness.tick()
    harness.finish(reason="shutdown")
    assert harness.minutes_on() == []
    harness.pass_time(90)
    assert (harness.minutes_on(), harness.crawling[0].spec.attempt) == ([1], 2)
    harness = harness.restarted()
    assert harness.minutes_on() == []
    harness.pass_time(90)
    assert (harness.minutes_on(), harness.crawling[0].spec.attempt) == ([1], 3)
    harness.finish(reason="shutdown")
    assert (harness.minutes_on(), harness.crawling[0].spec.attempt) == ([2], 1)


def test_an_ordered_run_is_not_tried_again() -> None:
    """Only schedules have a rule; a run that was ordered by itself fails once."""
    harness = OneScheduleHarness(RETRY)
    done(harness.hub.submit(Order(spider="prices", project="shop")))
    harness.turn()
    harness.finish(reason="shutdown")
    assert harness.at_rest() and harness.states() == ["failed"]


def test_an_end_that_cannot_be_written_has_no_next_attempt_yet() -> None:
    """While the ledger cannot write neither the end nor the next attempt holds; then both do, at once."""
    harness = OneScheduleHarness(RETRY)
    harness.tick()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    harness.finish(reason="shutdown")
    harness.pass_time(20)
    assert (harness.crawling, harness.states()) == ([], ["starting"])
    harness.ledger.fail_writes = None
    harness.pass_time(10)
    assert harness.states()[0] == "failed" and harness.crawling[0].spec.attempt == 2


def test_a_late_cancel_gives_up_the_retries() -> None:
    """Cancelled while it is being stopped for its timeout, a run keeps that reason but is not tried again."""
    harness = OneScheduleHarness(f"timeout: 5s, {RETRY}")
    harness.engine.yields_to = "abort"
    run = harness.tick().run_id or ""
    harness.pass_time(5)
    done(harness.hub.cancel(run, force=True))
    harness.pass_time(1)
    assert harness.at_rest() and harness.states() == ["timed_out"]


def test_a_rerun_has_the_retries_of_its_schedule() -> None:
    """Run again, a run has the rule that its schedule has by then; where that is gone, none."""
    harness = OneScheduleHarness(RETRY)
    run = harness.tick().run_id or ""
    harness.pass_time(1)
    done(harness.hub.cancel(run))
    again = done(harness.hub.rerun(run))
    assert again.spec.retry == harness.book.get("a").spec.retry is not None
    done(harness.hub.put_in_force(config("schedules: {}\n")))
    assert done(harness.hub.rerun(run)).spec.retry is None


def test_a_recovery_that_cannot_be_written() -> None:
    """A hub whose ledger cannot write at the start says so, and nothing of the recovery is kept."""
    harness = OneScheduleHarness(RETRY)
    harness.tick()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError, match="the disk is full"):
        done(harness.dispatcher.recover())
    assert harness.states() == ["starting"]


def test_a_retry_whose_time_has_come_does_not_wait_again() -> None:
    """A disk that is full holds up the start, but a clock put back meanwhile holds up nothing."""
    harness = OneScheduleHarness(RETRY)
    harness.tick()
    harness.finish(reason="shutdown")
    harness.ledger.fail_writes = LedgerError("the disk is full")
    harness.pass_time(10)
    assert harness.crawling == []
    back = harness.now() - timedelta(days=1)
    object.__setattr__(harness.services, "now", lambda: back)
    harness.ledger.fail_writes = None
    harness.pass_time(5)
    assert [crawl.spec.attempt for crawl in harness.crawling] == [2]


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=365)])
def test_a_clock_that_is_put_back_moves_no_attempt(back: timedelta) -> None:
    """An attempt waits as long as its rule says, by the monotonic clock, whatever the wall clock does."""
    harness = OneScheduleHarness(RETRY)
    harness.tick()
    harness.finish(reason="shutdown")
    _put_back(harness, back)
    harness.pass_time(10)
    assert [crawl.spec.attempt for crawl in harness.crawling] == [2]


def test_an_attempt_after_a_restart_under_a_clock_that_was_put_back() -> None:
    """It waits no longer than its rule says from the start on."""
    harness = OneScheduleHarness(RETRY)
    harness.pass_time(7200)
    harness.tick()
    harness.finish(reason="shutdown")
    again = OneScheduleHarness(harness.rules, harness.ledger)
    again.pass_time(9)
    assert again.crawling == []
    again.pass_time(1)
    assert [crawl.spec.attempt for crawl in again.crawling] == [2]


def test_a_late_cancel_holds_although_the_hub_dies() -> None:
    """Cancelled while it is being stopped for its timeout, a run is not tried again after kill -9 either."""
    harness = OneScheduleHarness(f"timeout: 5s, {RETRY}")
    harness.engine.yields_to = "abandon"
    run = harness.tick().run_id or ""
    harness.pass_time(6)
    done(harness.hub.cancel(run))
    assert harness.restarted().states() == ["interrupted"]


def test_a_cancel_is_on_disk_before_the_reply() -> None:
    """Whoever was told that a run is stopping need not fear that it is tried again, come what may."""
    harness = OneScheduleHarness(RETRY)
    harness.engine.yields_to = "abandon"
    run = harness.tick().run_id or ""
    written = held_back(harness.ledger, "save_run")
    replies: list[Run] = []
    Deferred.fromCoroutine(harness.hub.cancel(run)).addCallback(replies.append)
    assert replies == []
    written.callback(None)
    assert [reply.state.value for reply in replies] == ["stopping"]
    assert harness.restarted().states() == ["interrupted"]


def _put_back(harness: OneScheduleHarness, back: timedelta) -> None:
    now = harness.now
    object.__setattr__(harness.services, "now", lambda: now() - back)
