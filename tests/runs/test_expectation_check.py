"""Runs on a clock that are held to what is expected of them, from the schedule file to what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from reactorhub.errors import LedgerError
from reactorhub.model.run import FINAL, Run, RunSpec, RunState
from reactorhub.policies.expectations import FIELD_COUNT
from reactorhub.runs.expectation_check import held_to_expectations
from reactorhub.storage.ledger import Page, RunFilter
from tests.hub.test_policies import OneScheduleHarness
from tests.support.deferreds import done, held_back
from tests.support.hubs import START, HubHarness, config, hub_log

FEW = "expect: {items: '>= 5', errors: 0}"
PAST = "expect: {items: '>= 0.7 * median(4)'}"


def crawled(harness: OneScheduleHarness, items: int, **reporter: Any) -> Run:
    """Let a tick come and its run scrape so many items; return it as the ledger has it."""
    run_id = harness.tick().run_id
    harness.crawling[-1].scrape(items, reporter.pop("errors", 0))
    harness.crawling[-1].finish(**reporter)
    harness.turn()
    return harness.run(run_id)


def questions(harness: OneScheduleHarness) -> list[tuple[RunFilter, int]]:
    """Every question for runs that the ledger is asked from now on."""
    asked: list[tuple[RunFilter, int]] = []
    runs = harness.ledger.runs

    def noted(which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        asked.append((which, limit))
        return runs(which, limit, cursor)

    harness.ledger.runs = noted  # type: ignore[method-assign]
    return asked


def test_a_run_that_falls_short_has_failed() -> None:
    """Everything that did not hold is its reason; it was never published as succeeded."""
    harness = OneScheduleHarness(FEW)
    assert crawled(harness, 5).state is RunState.SUCCEEDED
    run = crawled(harness, 3, errors=1)
    assert run.state is RunState.FAILED
    assert run.reason == "an expectation did not hold: items is 3, expected >= 5; errors is 1, expected == 0"
    assert (run.errors, run.finish_reason, run.stats) == (1, "finished", {"item_scraped_count": 3})
    told = [event["run"] for event in harness.sink.events if event["type"] == "run.finished"]
    assert [view["state"] for view in told] == ["succeeded", "failed"]
    assert harness.at_rest()


def test_other_failures_keep_their_reasons() -> None:
    """Expectations judge what succeeded; they neither excuse nor repeat another failure."""
    harness = OneScheduleHarness("expect: {items: '>= 5', finish_reason: [finished, shutdown]}")
    assert (
        crawled(harness, 9, finish_reason="cancelled").reason
        == "the crawl ended with finish_reason 'cancelled'"
    )
    assert (
        crawled(harness, 0, finish_reason=None, failure="E: x").reason
        == "the crawl raised an exception: E: x"
    )


def test_a_reason_of_its_own_that_is_expected() -> None:
    """What finish_reason names is a good end, without a retry."""
    harness = OneScheduleHarness("expect: {finish_reason: [finished, caught_up]}, retry: {max_retries: 2}")
    run = crawled(harness, 9, finish_reason="caught_up")
    assert (run.state, run.finish_reason) == (RunState.SUCCEEDED, "caught_up")
    assert harness.at_rest()


def test_a_limit_of_the_project_can_be_too_little() -> None:
    """Who expects finish_reason to be finished gets no success for closespider_itemcount."""
    harness = OneScheduleHarness("expect: {finish_reason: finished}")
    assert crawled(harness, 9, finish_reason="closespider_itemcount").reason == (
        "an expectation did not hold: finish_reason is closespider_itemcount, expected finished"
    )


@pytest.mark.parametrize("state", sorted(FINAL - {RunState.SUCCEEDED}))
def test_what_has_not_succeeded_is_left_alone(state: RunState) -> None:
    """A run that was cancelled, timed out, interrupted or failed stays as it is."""
    spec = RunSpec(spider="prices", project="shop", expect={"items": ">= 5"})
    run = Run(id="1", spec=spec, created_at=START, state=state)
    assert done(held_to_expectations(run, HubHarness().ledger)) is run


def test_the_past_is_that_of_the_schedule() -> None:
    """Only runs of the same schedule that succeeded count, over a restart too."""
    harness = OneScheduleHarness(PAST)
    assert [crawled(harness, n).state.value for n in (0, 100, 90)] == ["succeeded"] * 3
    assert crawled(harness, 0).reason == (
        "an expectation did not hold: items is 0, expected >= 63 (0.7 * median(4))"
    )
    harness = harness.restarted()
    assert crawled(harness, 62).state is RunState.FAILED
    assert crawled(harness, 63).state is RunState.SUCCEEDED
    other = RunSpec(spider="prices", project="default", schedule="b", expect={"items": ">= max(2)"})
    run = Run(id="1", spec=other, created_at=START, state=RunState.SUCCEEDED)
    assert done(held_to_expectations(run, harness.ledger)) is run


def test_the_ledger_is_asked_for_no_more_than_is_needed() -> None:
    """For as many runs as the farthest look back, and for none where nobody looks back."""
    harness = OneScheduleHarness("expect: {items: '>= min(3) and <= 2 * max(40)', errors: '<= last()'}")
    asked = questions(harness)
    crawled(harness, 1)
    assert asked == [(RunFilter(schedule="a", states=frozenset({RunState.SUCCEEDED})), 40)]
    harness = OneScheduleHarness(FEW)
    asked = questions(harness)
    crawled(harness, 1)
    assert asked == []


def test_a_run_without_schedule_has_no_past() -> None:
    """What asks for a past holds, and the rest is judged."""
    expect = {"items": ">= max(1) and >= 5", "errors": "<= last()"}
    spec = RunSpec(spider="prices", project="shop", expect=expect)
    run = Run(id="1", spec=spec, created_at=START, state=RunState.SUCCEEDED, errors=3)
    assert done(held_to_expectations(run, HubHarness().ledger)).reason == (
        "an expectation did not hold: items is 0, expected >= 5"
    )


def test_a_ledger_that_does_not_answer() -> None:
    """What asks for a past holds, the rest is judged, and the hub's log says so."""
    harness = OneScheduleHarness("expect: {items: '>= median(4)', errors: 0}")
    for _ in range(4):
        crawled(harness, 9)
    answers = [fail(LedgerError("the disk is gone")), fail(LedgerError("the disk is gone"))]
    harness.ledger.runs = lambda *which: answers.pop()  # type: ignore[method-assign]
    with hub_log() as events:
        assert crawled(harness, 1).state is RunState.SUCCEEDED
        assert crawled(harness, 1, errors=2).reason == (
            "an expectation did not hold: errors is 2, expected == 0"
        )
    assert [str(event["error"]) for event in events if "error" in event] == ["the disk is gone"] * 2


def test_orders_that_come_during_the_judgement() -> None:
    """While the ledger is asked the slot is free, and neither a cancel nor the timeout changes the end; but
    who was cancelled is not tried again."""
    harness = OneScheduleHarness(f"{PAST}, timeout: 5m, retry: {{max_retries: 1, delay: 1h}}")
    for _ in range(3):
        crawled(harness, 100)
    answer = held_back(harness.ledger, "runs")
    run_id = harness.tick().run_id or ""
    harness.crawling[0].finish()
    assert (harness.run(run_id).state, harness.slots.used) == (RunState.STARTING, 0)
    cancelling = Deferred.fromCoroutine(harness.hub.cancel(run_id))
    harness.pass_time(5)
    assert not cancelling.called
    harness.pass_time(595)
    answer.callback(None)
    run = harness.run(run_id)
    assert run.state is RunState.FAILED
    assert run.reason == "an expectation did not hold: items is 0, expected >= 70 (0.7 * median(4))"
    assert harness.states()[-2:] == ["failed", "cancelled"]
    assert cancelling.called and harness.at_rest()


def test_retries() -> None:
    """A run that falls short is tried again, and its next attempt is held to the same."""
    harness = OneScheduleHarness(f"{FEW}, retry: {{max_retries: 1, delay: 10s}}")
    run = crawled(harness, 3)
    harness.pass_time(10)
    (retry,) = harness.crawling
    assert (retry.spec.attempt, retry.spec.retry_of) == (2, run.id)
    assert retry.spec.expect == {"items": ">= 5", "errors": 0}
    harness.finish()
    assert harness.states() == ["failed", "failed"]
    assert harness.at_rest()


def test_pause_on_failure() -> None:
    """Falling short so many times in a row pauses the schedule, and it says what fell short."""
    harness = OneScheduleHarness(f"{FEW}, pause_on_failure: 2")
    crawled(harness, 3)
    crawled(harness, 4)
    assert harness.book.paused("a") == (
        "2 runs in a row failed, the last: an expectation did not hold: items is 4, expected >= 5"
    )


def test_a_run_carries_its_own() -> None:
    """A reload changes what is expected of new runs alone; rerun keeps what was expected, trigger takes
    what is."""
    harness = OneScheduleHarness(FEW)
    run_id = harness.tick().run_id or ""
    text = "hub: {}\nschedules:\n  a: {spider: prices, interval: 1m, expect: {items: '>= 1'}}\n"
    done(harness.hub.put_in_force(config(text)))
    harness.crawling[0].scrape(3)
    harness.finish()
    assert harness.run(run_id).state is RunState.FAILED
    again = done(harness.hub.rerun(run_id))
    assert again.spec.expect == {"items": ">= 5", "errors": 0}
    triggered = done(harness.hub.trigger("a"))
    assert triggered.spec.expect == {"items": ">= 1"}
    harness.turn()
    for _ in range(2):
        harness.crawling[0].scrape(3)
        harness.finish()
    assert [harness.run(run.id).state.value for run in (again, triggered)] == ["failed", "succeeded"]


@pytest.mark.parametrize(("items", "started"), [(4, 0), (5, 1)])
def test_a_follower_of_success(items: int, started: int) -> None:
    """A run that falls short does not count as a success for the schedule that waits for one."""
    harness = OneScheduleHarness(f"{FEW}}}\n  b: {{spider: report, after: a, after_state: succeeded")
    crawled(harness, items)
    assert [crawl.spec.schedule for crawl in harness.crawling] == ["b"] * started


def test_fields() -> None:
    """The share of items that have a field is taken from the crawl's own stats."""
    harness = OneScheduleHarness("expect: {fields: {price: '>= 95%'}}")
    stats = {"item_scraped_count": 20, f"{FIELD_COUNT}price": 19}
    assert crawled(harness, 20, stats=stats).state is RunState.SUCCEEDED
    run = crawled(harness, 20, stats={**stats, f"{FIELD_COUNT}price": 18})
    assert run.reason == "an expectation did not hold: fields.price is 90%, expected >= 95%"


def test_many_faults() -> None:
    """Ten are told, and how many more there are."""
    expect = {f"stat{n}": 1 for n in range(13)}
    spec = RunSpec(spider="prices", project="shop", expect=expect)
    run = Run(id="1", spec=spec, created_at=START, state=RunState.SUCCEEDED)
    reason = str(done(held_to_expectations(run, HubHarness().ledger)).reason)
    assert reason.endswith("stat9 is 0, expected == 1; and 3 more")


def test_what_an_older_version_has_written() -> None:
    """An expectation in the ledger that cannot be read is a reason to fail, not an error of the hub."""
    spec = RunSpec(spider="prices", project="shop", expect={"items": "about 3"})
    run = Run(id="1", spec=spec, created_at=START, state=RunState.SUCCEEDED)
    failed = done(held_to_expectations(run, HubHarness().ledger))
    assert failed == replace(run, state=RunState.FAILED, reason=failed.reason)
    assert str(failed.reason).startswith("an expectation cannot be read: 'about 3' does not begin")
