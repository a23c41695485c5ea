"""Taking runs on, holding them back, and letting all of them end at shutdown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError, QueueFull, ShuttingDown
from reactorhub.model.follow_up import FollowUp
from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from tests.support.deferreds import done, held_back
from tests.support.hubs import START, HubHarness, hub_log

SPEC = RunSpec(spider="prices", project="shop")


def submitted(harness: HubHarness, **changes: Any) -> Run:
    """Return a run that was taken on."""
    run = done(harness.dispatcher.submit(RunSpec(spider="prices", project="shop", **changes)))
    assert isinstance(run, Run)
    return run


def test_a_run_is_on_disk_when_submit_returns() -> None:
    """What submit returns is in the ledger as queued, published, and live."""
    harness = HubHarness()
    run = submitted(harness)
    assert done(harness.ledger.run(run.id)) == run
    assert (run.state, harness.events()) == (RunState.QUEUED, ["run.queued"])
    assert list(harness.dispatcher.live_runs) == [run.id]


def test_nothing_runs_that_was_not_kept() -> None:
    """A ledger that cannot write fails the order, and nothing of it is left."""
    harness = HubHarness()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        submitted(harness)
    harness.advance(10)
    assert (dict(harness.dispatcher.live_runs), harness.engine.crawls, harness.events()) == ({}, [], [])


def test_a_full_queue_refuses() -> None:
    """Beyond the limit of waiting runs an order is refused; runs that hold a slot do not count."""
    harness = HubHarness()
    harness.dispatcher.limit_waiting(3)
    for _ in range(2):
        submitted(harness)
        harness.advance()
    for _ in range(3):
        submitted(harness)
    with pytest.raises(QueueFull, match="the limit of 3 waiting runs"):
        submitted(harness)


def test_runs_leave_when_they_are_final() -> None:
    """A final run is no longer among the live ones."""
    harness = HubHarness()
    submitted(harness)
    harness.advance()
    harness.engine.crawls[0].finish()
    assert dict(harness.dispatcher.live_runs) == {}
    assert harness.at_rest()


def test_a_buffered_run_waits_for_the_earlier_one() -> None:
    """Under buffer_one a run starts only when its schedule's earlier run is final, free slots or not."""
    harness = HubHarness()
    for minutes in range(2):
        done(
            harness.dispatcher.tick(harness.config.schedules["buffered"], START + timedelta(minutes=minutes))
        )
        harness.advance()
    assert (len(harness.engine.crawls), harness.slots.used) == (1, 1)
    harness.engine.crawls[0].finish()
    harness.advance()
    assert len(harness.engine.crawls) == 2


def test_a_buffered_run_that_is_cancelled() -> None:
    """A run that is held back can be cancelled, and the one it waits for is not disturbed."""
    harness = HubHarness()
    for minutes in range(2):
        done(
            harness.dispatcher.tick(harness.config.schedules["buffered"], START + timedelta(minutes=minutes))
        )
        harness.advance()
    going, waiting = harness.dispatcher.live_runs
    cancelled = done(harness.hub.cancel(waiting))
    assert cancelled.state is RunState.CANCELLED
    assert harness.dispatcher.live_runs[going].run.state is RunState.STARTING


def test_adopted_runs_keep_their_order_and_are_not_told_of_again() -> None:
    """Runs left over from before start in the order in which they were taken on."""
    harness = HubHarness()
    runs = [Run(id=name, spec=SPEC, created_at=harness.now()) for name in "abc"]
    for run in runs:
        harness.ledger.add_run(run)
    harness.dispatcher.adopt(runs)
    assert harness.events() == []
    harness.advance()
    harness.engine.crawls[0].finish()
    harness.advance()
    assert [crawl.run_id for crawl in harness.engine.crawls] == ["a", "b", "c"]


class Stopping:
    """A dispatcher told to stop with one crawl going on and one run waiting."""

    def __init__(self, yields_to: str = "stop", grace: float = 60.0, *, opened: bool = False) -> None:
        self.harness = HubHarness()
        self.harness.engine.yields_to = yields_to
        self.runs = [submitted(self.harness, queue="heavy") for _ in range(2)]
        self.harness.advance()
        if opened:
            self.harness.engine.crawls[0].service = True
            self.harness.engine.crawls[0].open()
        self.hurry: Deferred[None] = Deferred()
        self.stopped = Deferred.fromCoroutine(self.harness.dispatcher.stop(grace, self.hurry))

    def state(self, number: int) -> RunState:
        """The state of a run in the ledger."""
        run = done(self.harness.ledger.run(self.runs[number].id))
        assert isinstance(run, Run)
        return run.state


def test_shutdown_lets_crawls_finish_within_the_grace() -> None:
    """A crawl that ends by itself succeeds; what waits stays queued; orders are refused."""
    stopping = Stopping()
    with pytest.raises(ShuttingDown):
        submitted(stopping.harness)
    stopping.harness.advance(30)
    assert not stopping.stopped.called
    stopping.harness.engine.crawls[0].finish()
    assert stopping.stopped.called
    assert (stopping.state(0), stopping.state(1)) == (RunState.SUCCEEDED, RunState.QUEUED)
    assert stopping.harness.clock.getDelayedCalls() == []


def test_shutdown_stops_crawls_after_the_grace() -> None:
    """When the grace is over a crawl is stopped and becomes interrupted."""
    stopping = Stopping()
    stopping.harness.advance(61)
    assert stopping.stopped.called
    assert (stopping.state(0), stopping.state(1)) == (RunState.INTERRUPTED, RunState.QUEUED)
    assert stopping.harness.clock.getDelayedCalls() == []


def test_shutdown_stops_services_when_the_grace_begins() -> None:
    """A spider that waits for work would never end by itself, so it is told to stop at once."""
    stopping = Stopping(opened=True)
    assert stopping.stopped.called
    assert (stopping.state(0), stopping.state(1)) == (RunState.INTERRUPTED, RunState.QUEUED)
    assert stopping.harness.clock.getDelayedCalls() == []


def test_shutdown_stops_services_as_soon_as_they_have_opened() -> None:
    """Before that nobody knows that they are services."""
    stopping = Stopping()
    (crawl,) = stopping.harness.engine.crawls
    crawl.service = True
    assert not stopping.stopped.called
    crawl.open()
    assert stopping.stopped.called


def test_shutdown_does_not_wait_for_the_unwilling() -> None:
    """A crawl that yields to nothing is abandoned three seconds after the grace."""
    stopping = Stopping("abandon")
    stopping.harness.advance(60)
    stopping.harness.clock.pump([0.5] * 7)
    assert stopping.stopped.called
    assert stopping.state(0) is RunState.INTERRUPTED


def test_shutdown_in_haste() -> None:
    """A second signal skips the rest of the grace."""
    stopping = Stopping(grace=3600)
    stopping.harness.advance(5)
    stopping.hurry.callback(None)
    assert stopping.stopped.called
    assert stopping.state(0) is RunState.INTERRUPTED
    assert stopping.harness.clock.getDelayedCalls() == []


def test_shutdown_of_an_idle_hub() -> None:
    """With nothing to wait for it is over at once."""
    harness = HubHarness()
    assert Deferred.fromCoroutine(harness.dispatcher.stop(60, Deferred())).called
    assert harness.clock.getDelayedCalls() == []


def test_shutdown_with_a_full_disk() -> None:
    """A final state that cannot be written holds nothing up; the next start will find the run."""
    stopping = Stopping()
    stopping.harness.ledger.fail_writes = LedgerError("the disk is full")
    stopping.hurry.callback(None)
    stopping.harness.advance(1)
    assert stopping.stopped.called
    assert stopping.state(0) is RunState.STARTING
    assert stopping.harness.clock.getDelayedCalls() == []


def test_each_end_is_reported_once() -> None:
    """``on_ended`` is called with each final run and its next attempt; an error of its own is only logged."""
    harness = HubHarness()
    told: list[tuple[str, str | None]] = []

    def fails(run: Run, follow_up: FollowUp) -> None:
        told.append((run.id, follow_up.attempt and follow_up.attempt.id))
        raise ValueError("an error of its own")

    harness.on_ended = fails
    run = submitted(harness, retry=RetryRule(max_retries=1, delay=5))
    with hub_log() as events:
        harness.begun(run.id).finish("shutdown")
    (retry,) = harness.dispatcher.live_runs
    assert told == [(run.id, retry)]
    assert [event["run_id"] for event in events if event.get("log_failure")] == [run.id]
    done(harness.hub.cancel(retry))
    assert told[1:] == [(retry, None)]
    assert harness.at_rest()


def test_an_order_that_is_written_while_the_hub_stops() -> None:
    """A run that was on its way to the disk when the hub was told to stop is kept, and does not start."""
    harness = HubHarness()
    written = held_back(harness.ledger, "add_run")
    order: Deferred[Run] = Deferred.fromCoroutine(
        harness.dispatcher.submit(RunSpec(spider="prices", project="shop"))
    )
    stopped = Deferred.fromCoroutine(harness.dispatcher.stop(60, Deferred()))
    written.callback(None)
    harness.advance()
    assert order.called and stopped.called
    assert (harness.engine.crawls, harness.clock.getDelayedCalls()) == ([], [])
    (run,) = done(harness.ledger.waiting_runs())
    assert run.state is RunState.QUEUED
