"""Taking runs on, holding them back, and letting all of them end at shutdown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError, QueueFull, ShuttingDown
from reactorhub.model.follow_up import FollowUp
from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from tests.runs.test_lifecycle import at_rest, turned
from tests.support.hubs import START, Bench, done, hub_log

SPEC = RunSpec(spider="prices", project="shop")


def result(coroutine: Any) -> Any:
    """Return what a coroutine that needs no more waiting has come to."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


def submitted(bench: Bench, **changes: Any) -> Run:
    """Return a run that was taken on."""
    run = result(bench.dispatcher.submit(RunSpec(spider="prices", project="shop", **changes)))
    assert isinstance(run, Run)
    return run


def test_a_run_is_on_disk_when_submit_returns() -> None:
    """What submit returns is in the ledger as queued, told of, and alive."""
    bench = Bench()
    run = submitted(bench)
    assert result(_waited(bench.ledger.run(run.id))) == run
    assert (run.state, bench.events()) == (RunState.QUEUED, ["run.queued"])
    assert list(bench.dispatcher.live_runs) == [run.id]


async def _waited(deferred: Deferred[Any]) -> Any:
    return await deferred


def test_nothing_runs_that_was_not_kept() -> None:
    """A ledger that cannot write fails the order, and nothing of it is left."""
    bench = Bench()
    bench.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        submitted(bench)
    turned(bench, 10)
    assert (dict(bench.dispatcher.live_runs), bench.engine.crawls, bench.events()) == ({}, [], [])


def test_a_full_queue_refuses() -> None:
    """Beyond the limit of waiting runs an order is refused; runs that hold a slot do not count."""
    bench = Bench()
    bench.dispatcher.limit_waiting(3)
    for _ in range(2):
        submitted(bench)
        turned(bench)
    for _ in range(3):
        submitted(bench)
    with pytest.raises(QueueFull, match="the limit of 3 waiting runs"):
        submitted(bench)


def test_runs_leave_when_they_are_final() -> None:
    """A final run is no longer among the lives."""
    bench = Bench()
    submitted(bench)
    turned(bench)
    bench.engine.crawls[0].finish()
    assert dict(bench.dispatcher.live_runs) == {}
    assert at_rest(bench)


def test_a_buffered_run_waits_for_the_earlier_one() -> None:
    """Under buffer_one a run starts only when its schedule's earlier run is final, free slots or not."""
    bench = Bench()
    for minutes in range(2):
        result(bench.dispatcher.tick(bench.config.schedules["buffered"], START + timedelta(minutes=minutes)))
        turned(bench)
    assert (len(bench.engine.crawls), bench.slots.used) == (1, 1)
    bench.engine.crawls[0].finish()
    turned(bench)
    assert len(bench.engine.crawls) == 2


def test_a_buffered_run_that_is_cancelled() -> None:
    """A run that is held back can be cancelled, and the one it waits for is not disturbed."""
    bench = Bench()
    for minutes in range(2):
        result(bench.dispatcher.tick(bench.config.schedules["buffered"], START + timedelta(minutes=minutes)))
        turned(bench)
    going, waiting = bench.dispatcher.live_runs
    cancelled = result(bench.hub.cancel(waiting))
    assert cancelled.state is RunState.CANCELLED
    assert bench.dispatcher.live_runs[going].run.state is RunState.STARTING


def test_adopted_runs_keep_their_order_and_are_not_told_of_again() -> None:
    """Runs left over from before start in the order in which they were taken on."""
    bench = Bench()
    runs = [Run(id=name, spec=SPEC, created_at=bench.now()) for name in "abc"]
    for run in runs:
        bench.ledger.add_run(run)
    bench.dispatcher.adopt(runs)
    assert bench.events() == []
    turned(bench)
    bench.engine.crawls[0].finish()
    turned(bench)
    assert [crawl.run_id for crawl in bench.engine.crawls] == ["a", "b", "c"]


class Stopping:
    """A dispatcher told to stop with one crawl going on and one run waiting."""

    def __init__(self, yields_to: str = "stop", grace: float = 60.0) -> None:
        self.bench = Bench()
        self.bench.engine.yields_to = yields_to
        self.runs = [submitted(self.bench, queue="heavy") for _ in range(2)]
        turned(self.bench)
        self.hurry: Deferred[None] = Deferred()
        self.stopped = Deferred.fromCoroutine(self.bench.dispatcher.stop(grace, self.hurry))

    def state(self, number: int) -> RunState:
        """The state of a run in the ledger."""
        run = result(_waited(self.bench.ledger.run(self.runs[number].id)))
        assert isinstance(run, Run)
        return run.state


def test_shutdown_lets_crawls_finish_within_the_grace() -> None:
    """A crawl that ends by itself succeeds; what waits stays queued; orders are refused."""
    stopping = Stopping()
    with pytest.raises(ShuttingDown):
        submitted(stopping.bench)
    turned(stopping.bench, 30)
    assert not stopping.stopped.called
    stopping.bench.engine.crawls[0].finish()
    assert stopping.stopped.called
    assert (stopping.state(0), stopping.state(1)) == (RunState.SUCCEEDED, RunState.QUEUED)
    assert stopping.bench.clock.getDelayedCalls() == []


def test_shutdown_stops_crawls_after_the_grace() -> None:
    """When the grace is over a crawl is stopped and becomes interrupted."""
    stopping = Stopping()
    turned(stopping.bench, 61)
    assert stopping.stopped.called
    assert (stopping.state(0), stopping.state(1)) == (RunState.INTERRUPTED, RunState.QUEUED)
    assert stopping.bench.clock.getDelayedCalls() == []


def test_shutdown_does_not_wait_for_the_unwilling() -> None:
    """A crawl that yields to nothing is abandoned three seconds after the grace."""
    stopping = Stopping("abandon")
    turned(stopping.bench, 60)
    stopping.bench.clock.pump([0.5] * 7)
    assert stopping.stopped.called
    assert stopping.state(0) is RunState.INTERRUPTED


def test_shutdown_in_haste() -> None:
    """A second signal skips the rest of the grace."""
    stopping = Stopping(grace=3600)
    turned(stopping.bench, 5)
    stopping.hurry.callback(None)
    assert stopping.stopped.called
    assert stopping.state(0) is RunState.INTERRUPTED
    assert stopping.bench.clock.getDelayedCalls() == []


def test_shutdown_of_an_idle_hub() -> None:
    """With nothing to wait for it is over at once."""
    bench = Bench()
    assert Deferred.fromCoroutine(bench.dispatcher.stop(60, Deferred())).called
    assert bench.clock.getDelayedCalls() == []


def test_shutdown_with_a_full_disk() -> None:
    """A final state that cannot be written holds nothing up; the next start will find the run."""
    stopping = Stopping()
    stopping.bench.ledger.fail_writes = LedgerError("the disk is full")
    stopping.hurry.callback(None)
    turned(stopping.bench, 1)
    assert stopping.stopped.called
    assert stopping.state(0) is RunState.STARTING
    assert stopping.bench.clock.getDelayedCalls() == []


def test_listeners_hear_of_every_end() -> None:
    """Who listens is told of each final run with its next attempt; one that fails keeps no other from it."""
    bench = Bench()
    told: list[tuple[str, str | None]] = []

    def fails(run: Run, follow_up: FollowUp) -> None:
        raise ValueError("a listener's own mistake")

    bench.dispatcher.listen(fails)
    bench.dispatcher.listen(
        lambda run, follow_up: told.append((run.id, follow_up.attempt and follow_up.attempt.id))
    )
    run = submitted(bench, retry=RetryRule(max_retries=1, delay=5))
    with hub_log() as events:
        bench.begun(run.id).finish("shutdown")
    (retry,) = bench.dispatcher.live_runs
    assert told == [(run.id, retry)]
    assert [event["run_id"] for event in events if event.get("log_failure")] == [run.id]
    done(bench.hub.cancel(retry))
    assert told[1:] == [(retry, None)]
    assert at_rest(bench)


def test_an_order_that_is_written_while_the_hub_stops() -> None:
    """A run that was on its way to the disk when the hub was told to stop is kept, and does not start."""
    bench = Bench()
    written: Deferred[None] = Deferred()
    keep = bench.ledger.add_run
    bench.ledger.add_run = lambda run: written.addCallback(lambda _: keep(run))  # type: ignore
    order: Deferred[Run] = Deferred.fromCoroutine(
        bench.dispatcher.submit(RunSpec(spider="prices", project="shop"))
    )
    stopped = Deferred.fromCoroutine(bench.dispatcher.stop(60, Deferred()))
    written.callback(None)
    turned(bench)
    assert order.called and stopped.called
    assert (bench.engine.crawls, bench.clock.getDelayedCalls()) == ([], [])
    (run,) = result(_waited(bench.ledger.waiting_runs()))
    assert run.state is RunState.QUEUED
