"""Runs that are tried again, on a clock: what a retry is, what it waits for, what it outlives."""

from __future__ import annotations

from datetime import timedelta

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run
from reactorhub.wire.orders import Order
from tests.hub.test_policies import Shop
from tests.support.hubs import config, done

RETRY = "retry: {max_retries: 2, delay: 10s, backoff: 3, max_delay: 1h}"


def test_a_failed_run_is_tried_again() -> None:
    """It is tried as often as the rule says, after ever longer waits, each attempt linked to the last."""
    shop = Shop(RETRY)
    first = shop.tick()
    shop.finish(reason="shutdown")
    assert (shop.on, shop.states()) == ([], ["failed", "queued"])
    shop.pass_time(9)
    assert shop.on == []
    shop.pass_time(1)
    second = shop.run(shop.on[0].run_id)
    assert (second.spec.attempt, second.spec.retry_of) == (2, first.run_id)
    assert (second.spec.nominal_time, second.spec.schedule) == (first.nominal_time, "a")
    shop.finish(reason="shutdown")
    shop.pass_time(30)
    third = shop.run(shop.on[0].run_id)
    assert (third.spec.attempt, third.spec.retry_of) == (3, second.id)
    shop.finish(reason="shutdown")
    assert shop.at_rest() and shop.states() == ["failed"] * 3
    assert shop.bench.events().count("run.queued") == 3


def test_a_success_ends_the_attempts() -> None:
    """An attempt that succeeds is the last one."""
    shop = Shop(RETRY)
    shop.tick()
    shop.finish(reason="shutdown")
    shop.pass_time(10)
    shop.finish()
    assert shop.at_rest() and shop.states() == ["failed", "succeeded"]


def test_a_cancelled_run_is_not_tried_again() -> None:
    """Neither one that crawls nor one that waits to be tried again has another attempt."""
    shop = Shop(RETRY)
    first = shop.tick()
    done(shop.bench.hub.cancel(first.run_id or ""))
    shop.tick()
    shop.finish(reason="shutdown")
    (retry,) = shop.bench.dispatcher.live_runs
    done(shop.bench.hub.cancel(retry))
    assert shop.at_rest() and shop.states() == ["cancelled", "failed", "cancelled"]


def test_a_run_that_died_while_it_was_cancelled_is_not_tried_again() -> None:
    """A cancel holds, even if the hub is killed before the crawl has ended."""
    before = Shop(RETRY)
    before.bench.engine.yields_to = "abort"
    done(before.bench.hub.cancel(before.tick().run_id or ""))
    assert before.states() == ["stopping"]
    shop = before.restarted()
    assert shop.at_rest() and shop.states() == ["interrupted"]


def test_a_timeout_is_tried_again() -> None:
    """A run that took too long has another attempt, if the rule names timeouts."""
    shop = Shop(f"timeout: 5s, {RETRY}")
    shop.tick()
    shop.pass_time(5)
    assert shop.states() == ["timed_out", "queued"]
    other = Shop("timeout: 5s, retry: {on: [failed]}")
    other.tick()
    other.pass_time(5)
    assert other.states() == ["timed_out"]


def test_a_retry_that_waits_survives_a_restart() -> None:
    """It keeps its time; where that has passed meanwhile it runs at once."""
    for down, waits in ((4, 6), (60, 0)):
        before = Shop(RETRY)
        before.tick()
        before.finish(reason="shutdown")
        shop = before.restarted(down)
        shop.pass_time(max(waits - 1, 0))
        assert len(shop.on) == (0 if waits else 1)
        shop.pass_time(1 if waits else 0)
        assert shop.on[0].spec.attempt == 2


def test_a_run_that_died_with_the_hub_is_tried_again() -> None:
    """After kill -9 the run is interrupted and its next attempt queued, as often as the rule says."""
    shop = Shop(RETRY)
    shop.tick()
    for attempt in (2, 3):
        shop = shop.restarted()
        assert shop.bench.events() == ["run.finished", "run.queued"]
        shop.pass_time(60)
        assert shop.on[0].spec.attempt == attempt
    shop = shop.restarted()
    assert shop.at_rest() and shop.states() == ["interrupted"] * 3


def test_a_shutdown_queues_the_next_attempt() -> None:
    """A run that a shutdown ends is tried again after the next start, not before the end of this one."""
    before = Shop(RETRY)
    before.tick()
    done_at_once: list[None] = []
    stopped = Deferred.fromCoroutine(before.bench.dispatcher.stop(0, Deferred()))
    stopped.addCallback(done_at_once.append)
    before.pass_time(5)
    assert done_at_once == [None] and before.at_rest()
    assert before.states() == ["interrupted", "queued"]
    shop = before.restarted()
    shop.pass_time(10)
    assert shop.on[0].spec.attempt == 2


def test_a_reload_changes_no_attempt_under_way() -> None:
    """A run carries its rule: what a reload makes of the schedule holds for new ticks alone."""
    shop = Shop(RETRY)
    shop.tick()
    text = "hub: {}\nschedules:\n  a: {spider: prices, interval: 1m}\n"
    done(shop.bench.hub.put_in_force(config(text)))
    shop.finish(reason="shutdown")
    shop.pass_time(10)
    assert shop.on[0].spec.attempt == 2
    done(shop.bench.hub.put_in_force(config("schedules: {}\n")))
    shop.finish(reason="shutdown")
    assert shop.states() == ["failed", "failed", "queued"]


def test_a_schedule_whose_retry_waits_is_busy() -> None:
    """A tick that comes while a run waits to be tried again is skipped under skip, and says what waits."""
    shop = Shop("overlap: skip, retry: {delay: 5m}")
    shop.tick()
    shop.finish(reason="shutdown")
    (retry,) = shop.bench.dispatcher.live_runs
    assert shop.tick().reason == f"overlap is skip and run {retry} waits to be tried again, as attempt 2"


def test_buffered_runs_wait_for_retries() -> None:
    """A tick's turn comes when the one before has been tried for the last time, also over a restart."""
    shop = Shop("overlap: buffer_all, retry: {max_retries: 2, delay: 90s, backoff: 1}")
    shop.tick()
    shop.tick()
    shop.finish(reason="shutdown")
    assert shop.minutes_on() == []
    shop.pass_time(90)
    assert (shop.minutes_on(), shop.on[0].spec.attempt) == ([1], 2)
    shop = shop.restarted()
    assert shop.minutes_on() == []
    shop.pass_time(90)
    assert (shop.minutes_on(), shop.on[0].spec.attempt) == ([1], 3)
    shop.finish(reason="shutdown")
    assert (shop.minutes_on(), shop.on[0].spec.attempt) == ([2], 1)


def test_an_ordered_run_is_not_tried_again() -> None:
    """Only schedules have a rule; a run that was ordered by itself fails once."""
    shop = Shop(RETRY)
    done(shop.bench.hub.submit(Order(spider="prices", project="shop")))
    shop.bench.turn()
    shop.finish(reason="shutdown")
    assert shop.at_rest() and shop.states() == ["failed"]


def test_an_end_that_cannot_be_written_has_no_next_attempt_yet() -> None:
    """While the ledger cannot write neither the end nor the next attempt holds; then both do, at once."""
    shop = Shop(RETRY)
    shop.tick()
    shop.bench.ledger.fail_writes = LedgerError("the disk is full")
    shop.finish(reason="shutdown")
    shop.pass_time(20)
    assert (shop.on, shop.states()) == ([], ["starting"])
    shop.bench.ledger.fail_writes = None
    shop.pass_time(10)
    assert shop.states()[0] == "failed" and shop.on[0].spec.attempt == 2


def test_a_late_cancel_gives_up_the_retries() -> None:
    """Cancelled while it is being stopped for its timeout, a run keeps that reason but is not tried again."""
    shop = Shop(f"timeout: 5s, {RETRY}")
    shop.bench.engine.yields_to = "abort"
    run = shop.tick().run_id or ""
    shop.pass_time(5)
    done(shop.bench.hub.cancel(run, force=True))
    shop.pass_time(1)
    assert shop.at_rest() and shop.states() == ["timed_out"]


def test_a_rerun_has_the_retries_of_its_schedule() -> None:
    """Run again, a run has the rule that its schedule has by then; where that is gone, none."""
    shop = Shop(RETRY)
    run = shop.tick().run_id or ""
    shop.pass_time(1)
    done(shop.bench.hub.cancel(run))
    again = done(shop.bench.hub.rerun(run))
    assert again.spec.retry == shop.bench.book.get("a").spec.retry is not None
    done(shop.bench.hub.put_in_force(config("schedules: {}\n")))
    assert done(shop.bench.hub.rerun(run)).spec.retry is None


def test_a_recovery_that_cannot_be_written() -> None:
    """A hub whose ledger cannot write at the start says so, and nothing of the recovery is kept."""
    shop = Shop(RETRY)
    shop.tick()
    shop.bench.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError, match="the disk is full"):
        done(shop.bench.dispatcher.recover())
    assert shop.states() == ["starting"]


def test_a_retry_whose_time_has_come_does_not_wait_again() -> None:
    """A disk that is full holds up the start, but a clock put back meanwhile holds up nothing."""
    shop = Shop(RETRY)
    shop.tick()
    shop.finish(reason="shutdown")
    shop.bench.ledger.fail_writes = LedgerError("the disk is full")
    shop.pass_time(10)
    assert shop.on == []
    back = shop.bench.now() - timedelta(days=1)
    object.__setattr__(shop.bench.services, "now", lambda: back)
    shop.bench.ledger.fail_writes = None
    shop.pass_time(5)
    assert [crawl.spec.attempt for crawl in shop.on] == [2]


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=365)])
def test_a_clock_that_is_put_back_moves_no_attempt(back: timedelta) -> None:
    """An attempt waits as long as its rule says, by the monotonic clock, whatever the wall clock does."""
    shop = Shop(RETRY)
    shop.tick()
    shop.finish(reason="shutdown")
    _put_back(shop, back)
    shop.pass_time(10)
    assert [crawl.spec.attempt for crawl in shop.on] == [2]


def test_an_attempt_after_a_restart_under_a_clock_that_was_put_back() -> None:
    """It waits no longer than its rule says from the start on."""
    shop = Shop(RETRY)
    shop.pass_time(7200)
    shop.tick()
    shop.finish(reason="shutdown")
    again = Shop(shop.rules, shop.bench.ledger)
    again.pass_time(9)
    assert again.on == []
    again.pass_time(1)
    assert [crawl.spec.attempt for crawl in again.on] == [2]


def test_a_late_cancel_holds_although_the_hub_dies() -> None:
    """Cancelled while it is being stopped for its timeout, a run is not tried again after kill -9 either."""
    shop = Shop(f"timeout: 5s, {RETRY}")
    shop.bench.engine.yields_to = "abandon"
    run = shop.tick().run_id or ""
    shop.pass_time(6)
    done(shop.bench.hub.cancel(run))
    assert shop.restarted().states() == ["interrupted"]


def test_a_cancel_is_on_disk_before_the_reply() -> None:
    """Whoever was told that a run is stopping need not fear that it is tried again, come what may."""
    shop = Shop(RETRY)
    shop.bench.engine.yields_to = "abandon"
    run = shop.tick().run_id or ""
    written: Deferred[None] = Deferred()
    keep = shop.bench.ledger.save_run
    shop.bench.ledger.save_run = lambda *args: written.addCallback(lambda _: keep(*args))  # type: ignore
    replies: list[Run] = []
    Deferred.fromCoroutine(shop.bench.hub.cancel(run)).addCallback(replies.append)
    assert replies == []
    written.callback(None)
    assert [reply.state.value for reply in replies] == ["stopping"]
    assert shop.restarted().states() == ["interrupted"]


def _put_back(shop: Shop, back: timedelta) -> None:
    now = shop.bench.now
    object.__setattr__(shop.bench.services, "now", lambda: now() - back)
