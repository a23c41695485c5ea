"""A schedule that fails again and again is paused, and says why."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError
from reactorhub.model.values import time_text
from tests.hub.test_policies import OneScheduleHarness
from tests.support.deferreds import done, held_back
from tests.support.hubs import config, hub_log

THREE = "pause_on_failure: 3"


def failed(harness: OneScheduleHarness, times: int = 1) -> None:
    """Let so many ticks come, and each run fail."""
    for _ in range(times):
        assert harness.tick().outcome.value == "run"
        harness.finish(reason="shutdown")


def paused(harness: OneScheduleHarness) -> str | None:
    """Why the schedule is paused."""
    return harness.book.paused("a")


REASON = "3 runs in a row failed, the last: the crawl ended with finish_reason 'shutdown'"


def test_so_many_failures_in_a_row_pause() -> None:
    """The last failure pauses the schedule with a reason and an event; its ticks are skipped from then on."""
    harness = OneScheduleHarness(THREE)
    failed(harness, 2)
    assert paused(harness) is None
    failed(harness)
    assert paused(harness) == REASON
    assert harness.tick().reason == f"the schedule is paused: {REASON}"
    (event,) = (event for event in harness.sink.events if event["type"] == "schedule.paused")
    assert (event["schedule"]["paused"], event["schedule"]["paused_reason"]) == (True, REASON)
    assert harness.at_rest()


def test_a_success_begins_anew() -> None:
    """Failures with a success between them are not in a row."""
    harness = OneScheduleHarness(THREE)
    failed(harness, 2)
    harness.tick()
    harness.finish()
    failed(harness, 2)
    assert paused(harness) is None


def test_cancelled_runs_are_passed_over() -> None:
    """A run that an operator cancelled neither counts nor ends the row."""
    harness = OneScheduleHarness("pause_on_failure: 2")
    failed(harness)
    done(harness.hub.cancel(harness.tick().run_id or ""))
    assert paused(harness) is None
    failed(harness)
    assert paused(harness) is not None


def test_the_count_survives_a_restart() -> None:
    """Failures before the hub's end count after its next start."""
    harness = OneScheduleHarness(THREE)
    failed(harness, 2)
    harness = harness.restarted()
    failed(harness)
    assert paused(harness) == REASON
    assert paused(harness.restarted()) == REASON


def test_a_resume_begins_anew() -> None:
    """After a resume it takes as many failures again, also over a restart."""
    harness = OneScheduleHarness(THREE)
    failed(harness, 3)
    done(harness.hub.resume("a"))
    failed(harness, 2)
    harness = harness.restarted()
    assert paused(harness) is None
    failed(harness)
    assert paused(harness) == REASON


def test_attempts_that_were_tried_again_do_not_count() -> None:
    """A failure counts once its retries are used up."""
    harness = OneScheduleHarness("pause_on_failure: 2, retry: {max_retries: 1, delay: 1s}")
    for _ in range(2):
        failed(harness)
        assert paused(harness) is None
        harness.pass_time(1)
        harness.finish(reason="shutdown")
    assert str(paused(harness)).startswith("2 runs in a row failed")
    assert harness.states() == ["failed"] * 4


def test_one_failure_is_enough() -> None:
    """With 1 the first failure pauses, and the sentence says so."""
    harness = OneScheduleHarness("pause_on_failure: 1")
    failed(harness)
    assert str(paused(harness)).startswith("1 run in a row failed, the last: ")


def test_failures_at_once_pause_once() -> None:
    """Runs that fail while the ledger still reads and writes cause one notification of one pause."""
    harness = OneScheduleHarness("overlap: allow_all, pause_on_failure: 2")
    for _ in range(3):
        harness.tick()
    asked = held_back(harness.ledger, "runs")
    for _ in range(3):
        harness.finish(reason="shutdown")
    asked.callback(None)
    assert str(paused(harness)).startswith("3 runs in a row failed")
    assert harness.events().count("schedule.paused") == 1


def test_an_operators_reason_stays() -> None:
    """A schedule that is paused already keeps the reason it has."""
    harness = OneScheduleHarness("pause_on_failure: 1")
    harness.tick()
    done(harness.hub.pause("a", "the shop moves"))
    harness.finish(reason="shutdown")
    assert paused(harness) == "the shop moves"


def test_without_the_key_nothing_is_paused() -> None:
    """A schedule may fail for ever, and so may runs of a schedule that is gone."""
    harness = OneScheduleHarness("overlap: skip")
    failed(harness, 5)
    assert paused(harness) is None
    gone = OneScheduleHarness("pause_on_failure: 1")
    gone.tick()
    done(gone.hub.put_in_force(config("schedules: {}\n")))
    gone.finish(reason="shutdown")
    assert "schedule.paused" not in gone.events()


def test_a_schedule_that_is_removed_as_it_fails() -> None:
    """A schedule that a reload removes just before it would be paused is not, and nothing goes wrong."""
    harness = OneScheduleHarness("pause_on_failure: 1")
    harness.tick()
    written = held_back(harness.ledger, "set_progress")
    removing = Deferred.fromCoroutine(harness.hub.put_in_force(config("schedules: {}\n")))
    with hub_log() as events:
        harness.finish(reason="shutdown")
        written.callback(None)
    assert done(removing)["removed"] == ["a"]
    assert not [event for event in events if event.get("log_failure")]
    assert "schedule.paused" not in harness.events()


def test_a_pause_that_cannot_be_written() -> None:
    """Where the ledger fails the log says so, and the next failure pauses."""
    harness = OneScheduleHarness("pause_on_failure: 1")
    keep = harness.ledger.set_progress
    harness.ledger.set_progress = _fails  # type: ignore[method-assign, assignment]
    with hub_log() as events:
        failed(harness)
    (told,) = (event["otherwise"] for event in events if event.get("log_failure"))
    assert told == "schedule a is not paused for its failures"
    assert paused(harness) is None
    harness.ledger.set_progress = keep  # type: ignore[method-assign]
    failed(harness)
    assert str(paused(harness)).startswith("2 runs in a row failed")


def _fails(*progress: object, **more: object) -> None:
    raise LedgerError("the disk is full")


def test_a_pause_that_the_hub_did_not_live_to_write() -> None:
    """A hub that died between the last failure and the pause pauses the schedule at its next start."""
    harness = OneScheduleHarness("pause_on_failure: 2")
    failed(harness)
    harness.ledger.set_progress = _fails  # type: ignore[method-assign, assignment]
    failed(harness)
    del harness.ledger.set_progress  # type: ignore[method-assign]
    assert paused(harness) is None
    again = harness.restarted()
    assert str(paused(again)).startswith("2 runs in a row failed")
    assert again.events().count("schedule.paused") == 1


def test_a_schedule_that_was_resumed_is_not_paused_at_the_next_start() -> None:
    """Failures from before an operator resumed the schedule do not count at a start either."""
    harness = OneScheduleHarness("pause_on_failure: 2")
    failed(harness, 2)
    harness.pass_time(1)
    done(harness.hub.resume("a"))
    assert paused(harness.restarted()) is None


def test_status_tells_what_differs_from_the_file() -> None:
    """Pauses and limits set at run time are in one place, as drift."""
    harness = OneScheduleHarness(THREE)
    assert done(harness.hub.status())["drift"] == {
        "limits": {},
        "ignored_limits": [],
        "paused": [],
    }
    done(harness.hub.pause("a"))
    done(harness.hub.set_limits({"max_concurrent_runs": 3}))
    drift = done(harness.hub.status())["drift"]
    limit = {"value": 3, "from": "api", "since": time_text(harness.now())}
    assert drift == {
        "limits": {"max_concurrent_runs": limit, "queues": {}},
        "ignored_limits": [],
        "paused": ["a"],
    }


def test_a_success_between_two_runs_that_were_tried_again() -> None:
    """A run that waited for another one's attempts comes after it, although it was made before the last."""
    harness = OneScheduleHarness(
        "overlap: buffer_all, pause_on_failure: 2, retry: {max_retries: 1, delay: 1s}"
    )
    for _ in range(3):
        harness.tick()
    harness.finish(reason="shutdown")
    harness.pass_time(1)
    harness.finish(reason="shutdown")
    harness.finish()
    for _ in range(2):
        harness.finish(reason="shutdown")
        harness.pass_time(1)
    assert harness.at_rest() and paused(harness) is None


@pytest.mark.parametrize("waits", ["buffer_one", "allow_all"])
def test_a_pause_that_the_hub_did_not_live_to_write_while_others_went_on(waits: str) -> None:
    """The pause is made up for at the next start, also where a newer run waited, or died with the hub."""
    harness = OneScheduleHarness(f"overlap: {waits}, pause_on_failure: 1")
    harness.tick()
    harness.tick()
    harness.ledger.set_progress = _fails  # type: ignore[method-assign, assignment]
    harness.finish(reason="shutdown")
    del harness.ledger.set_progress  # type: ignore[method-assign]
    assert paused(harness) is None
    assert str(paused(harness.restarted())).startswith("1 run in a row failed")
