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
from tests.hub.test_policies import Shop
from tests.support.hubs import START, Bench, config, done, hub_log

FEW = "expect: {items: '>= 5', errors: 0}"
PAST = "expect: {items: '>= 0.7 * median(4)'}"


def crawled(shop: Shop, items: int, **reporter: Any) -> Run:
    """Let a tick come and its run scrape so many items; return it as the ledger has it."""
    run_id = shop.tick().run_id
    shop.on[-1].scrape(items, reporter.pop("errors", 0))
    shop.on[-1].finish(**reporter)
    shop.bench.turn()
    return shop.run(run_id)


def questions(shop: Shop) -> list[tuple[RunFilter, int]]:
    """Every question for runs that the ledger is asked from now on."""
    asked: list[tuple[RunFilter, int]] = []
    runs = shop.bench.ledger.runs

    def noted(which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        asked.append((which, limit))
        return runs(which, limit, cursor)

    shop.bench.ledger.runs = noted  # type: ignore[method-assign]
    return asked


def test_a_run_that_falls_short_has_failed() -> None:
    """All that did not hold is its reason; it has never been told of as succeeded."""
    shop = Shop(FEW)
    assert crawled(shop, 5).state is RunState.SUCCEEDED
    run = crawled(shop, 3, errors=1)
    assert run.state is RunState.FAILED
    assert run.reason == "an expectation did not hold: items is 3, expected >= 5; errors is 1, expected == 0"
    assert (run.errors, run.finish_reason, run.stats) == (1, "finished", {"item_scraped_count": 3})
    told = [event["run"] for event in shop.bench.sink.events if event["type"] == "run.finished"]
    assert [view["state"] for view in told] == ["succeeded", "failed"]
    assert shop.at_rest()


def test_other_failures_keep_their_reasons() -> None:
    """Expectations judge what succeeded; they neither excuse nor repeat another failure."""
    shop = Shop("expect: {items: '>= 5', finish_reason: [finished, shutdown]}")
    assert (
        crawled(shop, 9, finish_reason="shutdown").reason == "the crawl ended with finish_reason 'shutdown'"
    )
    assert (
        crawled(shop, 0, finish_reason=None, failure="E: x").reason == "the crawl raised an exception: E: x"
    )


def test_a_limit_of_the_project_can_be_too_little() -> None:
    """Who expects finish_reason to be finished gets no success for closespider_itemcount."""
    shop = Shop("expect: {finish_reason: finished}")
    assert crawled(shop, 9, finish_reason="closespider_itemcount").reason == (
        "an expectation did not hold: finish_reason is closespider_itemcount, expected finished"
    )


@pytest.mark.parametrize("state", sorted(FINAL - {RunState.SUCCEEDED}))
def test_what_has_not_succeeded_is_left_alone(state: RunState) -> None:
    """A run that was cancelled, timed out, interrupted or failed stays as it is."""
    spec = RunSpec(spider="prices", project="shop", expect={"items": ">= 5"})
    run = Run(id="1", spec=spec, created_at=START, state=state)
    assert done(held_to_expectations(run, Bench().ledger)) is run


def test_the_past_is_that_of_the_schedule() -> None:
    """Only runs of the same schedule that succeeded count, over a restart too."""
    shop = Shop(PAST)
    assert [crawled(shop, n).state.value for n in (0, 100, 90)] == ["succeeded"] * 3
    assert crawled(shop, 0).reason == (
        "an expectation did not hold: items is 0, expected >= 63 (0.7 * median(4))"
    )
    shop = shop.restarted()
    assert crawled(shop, 62).state is RunState.FAILED
    assert crawled(shop, 63).state is RunState.SUCCEEDED
    other = RunSpec(spider="prices", project="default", schedule="b", expect={"items": ">= max(2)"})
    run = Run(id="1", spec=other, created_at=START, state=RunState.SUCCEEDED)
    assert done(held_to_expectations(run, shop.bench.ledger)) is run


def test_the_ledger_is_asked_for_no_more_than_is_needed() -> None:
    """For as many runs as the farthest look back, and for none where nobody looks back."""
    shop = Shop("expect: {items: '>= min(3) and <= 2 * max(40)', errors: '<= last()'}")
    asked = questions(shop)
    crawled(shop, 1)
    assert asked == [(RunFilter(schedule="a", states=frozenset({RunState.SUCCEEDED})), 40)]
    shop = Shop(FEW)
    asked = questions(shop)
    crawled(shop, 1)
    assert asked == []


def test_a_run_without_schedule_has_no_past() -> None:
    """What asks for a past holds, and the rest is judged."""
    expect = {"items": ">= max(1) and >= 5", "errors": "<= last()"}
    spec = RunSpec(spider="prices", project="shop", expect=expect)
    run = Run(id="1", spec=spec, created_at=START, state=RunState.SUCCEEDED, errors=3)
    assert done(held_to_expectations(run, Bench().ledger)).reason == (
        "an expectation did not hold: items is 0, expected >= 5"
    )


def test_a_ledger_that_does_not_answer() -> None:
    """What asks for a past holds, the rest is judged, and the hub's log says so."""
    shop = Shop("expect: {items: '>= median(4)', errors: 0}")
    for _ in range(4):
        crawled(shop, 9)
    answers = [fail(LedgerError("the disk is gone")), fail(LedgerError("the disk is gone"))]
    shop.bench.ledger.runs = lambda *which: answers.pop()  # type: ignore[method-assign]
    with hub_log() as events:
        assert crawled(shop, 1).state is RunState.SUCCEEDED
        assert crawled(shop, 1, errors=2).reason == (
            "an expectation did not hold: errors is 2, expected == 0"
        )
    assert [str(event["error"]) for event in events if "error" in event] == ["the disk is gone"] * 2


def test_orders_that_come_during_the_judgement() -> None:
    """While the ledger is asked the slot is free, and neither a cancel nor the timeout changes the end; but
    who was cancelled is not tried again."""
    shop = Shop(f"{PAST}, timeout: 5m, retry: {{max_retries: 1, delay: 1h}}")
    for _ in range(3):
        crawled(shop, 100)
    answer: Deferred[None] = Deferred()
    runs = shop.bench.ledger.runs
    shop.bench.ledger.runs = lambda *which: answer.addCallback(  # type: ignore[method-assign]
        lambda _: runs(*which)
    )
    run_id = shop.tick().run_id or ""
    shop.on[0].finish()
    assert (shop.run(run_id).state, shop.bench.slots.used) == (RunState.STARTING, 0)
    cancelling = Deferred.fromCoroutine(shop.bench.hub.cancel(run_id))
    shop.pass_time(5)
    assert not cancelling.called
    shop.pass_time(595)
    answer.callback(None)
    run = shop.run(run_id)
    assert run.state is RunState.FAILED
    assert run.reason == "an expectation did not hold: items is 0, expected >= 70 (0.7 * median(4))"
    assert shop.states()[-2:] == ["failed", "cancelled"]
    assert cancelling.called and shop.at_rest()


def test_retries() -> None:
    """A run that falls short is tried again, and its next attempt is held to the same."""
    shop = Shop(f"{FEW}, retry: {{max_retries: 1, delay: 10s}}")
    run = crawled(shop, 3)
    shop.pass_time(10)
    (retry,) = shop.on
    assert (retry.spec.attempt, retry.spec.retry_of) == (2, run.id)
    assert retry.spec.expect == {"items": ">= 5", "errors": 0}
    shop.finish()
    assert shop.states() == ["failed", "failed"]
    assert shop.at_rest()


def test_pause_on_failure() -> None:
    """Falling short so many times in a row pauses the schedule, and it says what fell short."""
    shop = Shop(f"{FEW}, pause_on_failure: 2")
    crawled(shop, 3)
    crawled(shop, 4)
    assert shop.bench.book.paused("a") == (
        "2 runs in a row failed, the last: an expectation did not hold: items is 4, expected >= 5"
    )


def test_a_run_carries_its_own() -> None:
    """A reload changes what is expected of new runs alone; rerun keeps what was expected, trigger takes
    what is."""
    shop = Shop(FEW)
    run_id = shop.tick().run_id or ""
    text = "hub: {}\nschedules:\n  a: {spider: prices, interval: 1m, expect: {items: '>= 1'}}\n"
    done(shop.bench.hub.put_in_force(config(text)))
    shop.on[0].scrape(3)
    shop.finish()
    assert shop.run(run_id).state is RunState.FAILED
    again = done(shop.bench.hub.rerun(run_id))
    assert again.spec.expect == {"items": ">= 5", "errors": 0}
    triggered = done(shop.bench.hub.trigger("a"))
    assert triggered.spec.expect == {"items": ">= 1"}
    shop.bench.turn()
    for _ in range(2):
        shop.on[0].scrape(3)
        shop.finish()
    assert [shop.run(run.id).state.value for run in (again, triggered)] == ["failed", "succeeded"]


@pytest.mark.parametrize(("items", "started"), [(4, 0), (5, 1)])
def test_a_follower_of_success(items: int, started: int) -> None:
    """A run that falls short is no success for the schedule that waits for one."""
    shop = Shop(f"{FEW}}}\n  b: {{spider: report, after: a, after_state: succeeded")
    crawled(shop, items)
    assert [crawl.spec.schedule for crawl in shop.on] == ["b"] * started


def test_fields() -> None:
    """The share of items that have a field is taken from the crawl's own stats."""
    shop = Shop("expect: {fields: {price: '>= 95%'}}")
    stats = {"item_scraped_count": 20, f"{FIELD_COUNT}price": 19}
    assert crawled(shop, 20, stats=stats).state is RunState.SUCCEEDED
    run = crawled(shop, 20, stats={**stats, f"{FIELD_COUNT}price": 18})
    assert run.reason == "an expectation did not hold: fields.price is 90%, expected >= 95%"


def test_many_faults() -> None:
    """Ten are told, and how many more there are."""
    expect = {f"stat{n}": 1 for n in range(13)}
    spec = RunSpec(spider="prices", project="shop", expect=expect)
    run = Run(id="1", spec=spec, created_at=START, state=RunState.SUCCEEDED)
    reason = str(done(held_to_expectations(run, Bench().ledger)).reason)
    assert reason.endswith("stat9 is 0, expected == 1; and 3 more")


def test_what_an_older_version_has_written() -> None:
    """An expectation in the ledger that cannot be read is a reason to fail, not an error of the hub."""
    spec = RunSpec(spider="prices", project="shop", expect={"items": "about 3"})
    run = Run(id="1", spec=spec, created_at=START, state=RunState.SUCCEEDED)
    failed = done(held_to_expectations(run, Bench().ledger))
    assert failed == replace(run, state=RunState.FAILED, reason=failed.reason)
    assert str(failed.reason).startswith("an expectation cannot be read: 'about 3' does not begin")
