"""A schedule that fails again and again is paused, and says why."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError
from tests.hub.test_policies import Shop
from tests.support.hubs import config, done, hub_log, waited

THREE = "pause_on_failure: 3"


def failed(shop: Shop, times: int = 1) -> None:
    """Let so many ticks come, and each run fail."""
    for _ in range(times):
        assert shop.tick().outcome.value == "run"
        shop.finish(reason="shutdown")


def paused(shop: Shop) -> str | None:
    """Why the schedule is paused."""
    return shop.bench.book.paused("a")


REASON = "3 runs in a row failed, the last: the crawl ended with finish_reason 'shutdown'"


def test_so_many_failures_in_a_row_pause() -> None:
    """The last failure pauses the schedule with a reason and an event; its ticks are skipped from then on."""
    shop = Shop(THREE)
    failed(shop, 2)
    assert paused(shop) is None
    failed(shop)
    assert paused(shop) == REASON
    assert shop.tick().reason == f"the schedule is paused: {REASON}"
    (event,) = (event for event in shop.bench.sink.events if event["type"] == "schedule.paused")
    assert (event["schedule"]["paused"], event["schedule"]["paused_reason"]) == (True, REASON)
    assert shop.at_rest()


def test_a_success_begins_anew() -> None:
    """Failures with a success between them are not in a row."""
    shop = Shop(THREE)
    failed(shop, 2)
    shop.tick()
    shop.finish()
    failed(shop, 2)
    assert paused(shop) is None


def test_cancelled_runs_are_passed_over() -> None:
    """A run that an operator cancelled neither counts nor ends the row."""
    shop = Shop("pause_on_failure: 2")
    failed(shop)
    done(shop.bench.hub.cancel(shop.tick().run_id or ""))
    assert paused(shop) is None
    failed(shop)
    assert paused(shop) is not None


def test_the_count_survives_a_restart() -> None:
    """Failures before the hub's end count after its next start."""
    shop = Shop(THREE)
    failed(shop, 2)
    shop = shop.restarted()
    failed(shop)
    assert paused(shop) == REASON
    assert paused(shop.restarted()) == REASON


def test_a_resume_begins_anew() -> None:
    """After a resume it takes as many failures again, also over a restart."""
    shop = Shop(THREE)
    failed(shop, 3)
    done(shop.bench.hub.resume("a"))
    failed(shop, 2)
    shop = shop.restarted()
    assert paused(shop) is None
    failed(shop)
    assert paused(shop) == REASON


def test_attempts_that_were_tried_again_do_not_count() -> None:
    """A failure counts once its retries are used up."""
    shop = Shop("pause_on_failure: 2, retry: {max_retries: 1, delay: 1s}")
    for _ in range(2):
        failed(shop)
        assert paused(shop) is None
        shop.pass_time(1)
        shop.finish(reason="shutdown")
    assert str(paused(shop)).startswith("2 runs in a row failed")
    assert shop.states() == ["failed"] * 4


def test_one_failure_is_enough() -> None:
    """With 1 the first failure pauses, and the sentence says so."""
    shop = Shop("pause_on_failure: 1")
    failed(shop)
    assert str(paused(shop)).startswith("1 run in a row failed, the last: ")


def test_failures_at_once_pause_once() -> None:
    """Runs that fail while the ledger is still asked, and is still writing, are told of as one pause."""
    shop = Shop("overlap: allow_all, pause_on_failure: 2")
    for _ in range(3):
        shop.tick()
    asked: Deferred[None] = Deferred()
    ask = shop.bench.ledger.runs
    shop.bench.ledger.runs = lambda *args: asked.addCallback(lambda _: ask(*args))  # type: ignore
    for _ in range(3):
        shop.finish(reason="shutdown")
    asked.callback(None)
    assert str(paused(shop)).startswith("3 runs in a row failed")
    assert shop.bench.events().count("schedule.paused") == 1


def test_an_operators_reason_stays() -> None:
    """A schedule that is paused already keeps the reason it has."""
    shop = Shop("pause_on_failure: 1")
    shop.tick()
    done(shop.bench.hub.pause("a", "the shop moves"))
    shop.finish(reason="shutdown")
    assert paused(shop) == "the shop moves"


def test_without_the_key_nothing_is_paused() -> None:
    """A schedule may fail for ever, and so may runs of a schedule that is gone."""
    shop = Shop("overlap: skip")
    failed(shop, 5)
    assert paused(shop) is None
    gone = Shop("pause_on_failure: 1")
    gone.tick()
    done(gone.bench.hub.put_in_force(config("schedules: {}\n")))
    gone.finish(reason="shutdown")
    assert "schedule.paused" not in gone.bench.events()


def test_a_schedule_that_is_removed_as_it_fails() -> None:
    """A schedule that a reload removes just before it would be paused is not, and nothing goes wrong."""
    shop = Shop("pause_on_failure: 1")
    shop.tick()
    written: Deferred[None] = Deferred()
    keep = shop.bench.ledger.set_progress
    shop.bench.ledger.set_progress = lambda *args: written.addCallback(lambda _: keep(*args))  # type: ignore
    removing = Deferred.fromCoroutine(shop.bench.hub.put_in_force(config("schedules: {}\n")))
    with hub_log() as events:
        shop.finish(reason="shutdown")
        written.callback(None)
    assert done(waited(removing))["removed"] == ["a"]
    assert not [event for event in events if event.get("log_failure")]
    assert "schedule.paused" not in shop.bench.events()


def test_a_pause_that_cannot_be_written() -> None:
    """Where the ledger fails the log says so, and the next failure pauses."""
    shop = Shop("pause_on_failure: 1")
    keep = shop.bench.ledger.set_progress
    shop.bench.ledger.set_progress = _fails  # type: ignore[method-assign, assignment]
    with hub_log() as events:
        failed(shop)
    (told,) = (event["otherwise"] for event in events if event.get("log_failure"))
    assert told == "schedule a is not paused for its failures"
    assert paused(shop) is None
    shop.bench.ledger.set_progress = keep  # type: ignore[method-assign]
    failed(shop)
    assert str(paused(shop)).startswith("2 runs in a row failed")


def _fails(*progress: object, **more: object) -> None:
    raise LedgerError("the disk is full")


def test_a_pause_that_the_hub_did_not_live_to_write() -> None:
    """A hub that died between the last failure and the pause pauses the schedule at its next start."""
    shop = Shop("pause_on_failure: 2")
    failed(shop)
    shop.bench.ledger.set_progress = _fails  # type: ignore[method-assign, assignment]
    failed(shop)
    del shop.bench.ledger.set_progress  # type: ignore[method-assign]
    assert paused(shop) is None
    again = shop.restarted()
    assert str(paused(again)).startswith("2 runs in a row failed")
    assert again.bench.events().count("schedule.paused") == 1


def test_a_schedule_that_was_resumed_is_not_paused_at_the_next_start() -> None:
    """Failures from before an operator resumed the schedule do not count at a start either."""
    shop = Shop("pause_on_failure: 2")
    failed(shop, 2)
    shop.pass_time(1)
    done(shop.bench.hub.resume("a"))
    assert paused(shop.restarted()) is None


def test_status_tells_what_differs_from_the_file() -> None:
    """Pauses and limits set at run time are in one place, as drift."""
    shop = Shop(THREE)
    assert done(shop.bench.hub.status())["drift"] == {"limits": {}, "paused": []}
    done(shop.bench.hub.pause("a"))
    done(shop.bench.hub.set_limits({"max_concurrent_runs": 3}))
    drift = done(shop.bench.hub.status())["drift"]
    assert drift == {"limits": {"max_concurrent_runs": 3, "queues": {}}, "paused": ["a"]}


def test_a_success_between_two_runs_that_were_tried_again() -> None:
    """A run that waited for another one's attempts comes after it, although it was made before the last."""
    shop = Shop("overlap: buffer_all, pause_on_failure: 2, retry: {max_retries: 1, delay: 1s}")
    for _ in range(3):
        shop.tick()
    shop.finish(reason="shutdown")
    shop.pass_time(1)
    shop.finish(reason="shutdown")
    shop.finish()
    for _ in range(2):
        shop.finish(reason="shutdown")
        shop.pass_time(1)
    assert shop.at_rest() and paused(shop) is None


@pytest.mark.parametrize("waits", ["buffer_one", "allow_all"])
def test_a_pause_that_the_hub_did_not_live_to_write_while_others_went_on(waits: str) -> None:
    """The pause is made up for at the next start, also where a newer run waited, or died with the hub."""
    shop = Shop(f"overlap: {waits}, pause_on_failure: 1")
    shop.tick()
    shop.tick()
    shop.bench.ledger.set_progress = _fails  # type: ignore[method-assign, assignment]
    shop.finish(reason="shutdown")
    del shop.bench.ledger.set_progress  # type: ignore[method-assign]
    assert paused(shop) is None
    assert str(paused(shop.restarted())).startswith("1 run in a row failed")
