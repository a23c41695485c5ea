"""One run's life on a clock: each transition on disk first, every stop ends, every slot comes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from twisted.logger import LogLevel

from reactorhub.errors import LedgerError
from reactorhub.model.follow_up import NO_FOLLOW_UP, FollowUp
from reactorhub.model.run import Run, RunSpec, RunState, Stop
from reactorhub.runs.escalation import FORCED, SHUTDOWN, Escalation
from reactorhub.runs.lifecycle import Lifecycle
from tests.support.deferreds import held_back
from tests.support.hubs import START, HubHarness, hub_log

NUMBERS = count()
CANCEL = Stop(state=RunState.CANCELLED, reason="cancelled by an operator")


def begun(
    harness: HubHarness, follow_up: Callable[[Run], FollowUp] = lambda _: NO_FOLLOW_UP, **spec: Any
) -> Lifecycle:
    """Return the life of a new run that has begun."""
    run = Run(
        id=f"run{next(NUMBERS)}",
        spec=RunSpec(spider="prices", project="shop", **spec),
        created_at=harness.now(),
    )
    harness.ledger.add_run(run)
    live_run = Lifecycle(run, harness.services, follow_up=follow_up)
    live_run.begin()
    return live_run


def states(harness: HubHarness) -> list[str]:
    """The published states, in order."""
    return [event["run"]["state"] for event in harness.sink.events]


def kept(harness: HubHarness, live_run: Lifecycle) -> Run:
    """The run as the ledger has it."""
    found: list[Run] = []
    harness.ledger.run(live_run.run.id).addCallback(found.append)
    return found[0]


def test_the_whole_way() -> None:
    """A run goes from queued over starting and running to succeeded, with the facts of its crawl."""
    harness = HubHarness()
    live_run = begun(harness)
    assert live_run.run.state is RunState.QUEUED
    harness.advance()
    crawl = harness.engine.crawls[0]
    assert (live_run.run.state, live_run.run.started_at) == (RunState.STARTING, START)
    crawl.open()
    assert kept(harness, live_run).state is RunState.RUNNING
    crawl.scrape(3, errors=1)
    assert (live_run.stats(), live_run.errors()) == ({"item_scraped_count": 3}, 1)
    harness.advance(2)
    crawl.finish()
    run = kept(harness, live_run)
    assert run == live_run.run
    assert (run.state, run.errors, run.stats) == (RunState.SUCCEEDED, 1, {"item_scraped_count": 3})
    assert run.finish_reason == "finished"
    assert states(harness) == ["starting", "running", "succeeded"]
    assert harness.at_rest()


def test_on_disk_before_it_starts() -> None:
    """A crawl is launched only once the ledger has written down that it starts."""
    harness = HubHarness()
    written = held_back(harness.ledger, "save_run")
    live_run = begun(harness)
    harness.advance()
    assert (harness.slots.used, harness.engine.crawls) == (1, [])
    written.callback(None)
    assert len(harness.engine.crawls) == 1
    assert kept(harness, live_run).state is RunState.STARTING


def test_cancelled_while_it_waits() -> None:
    """A queued run is cancelled at once and never holds a slot."""
    harness = HubHarness()
    busy = [begun(harness), begun(harness)]
    harness.advance()
    live_run = begun(harness)
    harness.advance()
    live_run.stop(CANCEL, FORCED)
    assert (live_run.run.state, live_run.run.started_at) == (RunState.CANCELLED, None)
    assert kept(harness, live_run).state is RunState.CANCELLED
    assert (harness.slots.used, len(harness.slots.waiting)) == (len(busy), 0)


def test_cancelled_while_its_start_is_written_down() -> None:
    """A run that is cancelled between its slot and its crawl never crawls."""
    harness = HubHarness()
    written = held_back(harness.ledger, "save_run")
    live_run = begun(harness)
    harness.advance()
    live_run.stop(CANCEL, FORCED)
    written.callback(None)
    assert (live_run.run.state, harness.engine.crawls) == (RunState.CANCELLED, [])
    assert harness.at_rest()


def test_not_before_its_time() -> None:
    """A run with ``not_before`` asks for no slot until then, and can be cancelled until then."""
    harness = HubHarness()
    later = begun(harness, not_before=START.replace(hour=13))
    never = begun(harness, not_before=START.replace(day=30))
    harness.advance(3599)
    assert harness.engine.crawls == []
    harness.advance(2)
    assert [crawl.run_id for crawl in harness.engine.crawls] == [later.run.id]
    never.stop(CANCEL, FORCED)
    harness.engine.crawls[0].finish()
    assert never.run.state is RunState.CANCELLED
    assert harness.at_rest()


class BrokenRules:
    """A rule with a mistake in it: it raises, for good or the first time only."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, *_: Any) -> Any:
        """Raise as often as was said."""
        self.times -= 1
        if self.times >= 0:
            raise ZeroDivisionError("what the end brings about")
        return NO_FOLLOW_UP


def test_an_error_of_the_hub_ends_the_run() -> None:
    """Where the hub's own code raises at a crawl's start or end, the run has failed and says so."""
    harness = HubHarness()
    with hub_log() as events:
        harness.engine.launch = BrokenRules(1)  # type: ignore[method-assign]
        unlucky = begun(harness)
        harness.advance()
        del harness.engine.launch
        late = begun(harness, follow_up=BrokenRules(1))
        harness.advance()
        harness.engine.crawls[0].finish()
    for live_run in (unlucky, late):
        assert kept(harness, live_run) == live_run.run
        assert (live_run.run.state, live_run.ended) == (RunState.FAILED, True)
        assert live_run.run.error == "ZeroDivisionError: what the end brings about"
        assert str(live_run.run.reason).startswith("the hub has an error of its own")
    assert [event["log_level"] for event in events if "log_failure" in event] == [LogLevel.critical] * 2
    assert harness.at_rest()


def test_an_error_of_the_hub_that_stays() -> None:
    """Where even that raises, the life is over: nobody waits for it, and the next start says what it was."""
    harness = HubHarness()
    with hub_log() as events:
        live_run = begun(harness, follow_up=BrokenRules(2))
        harness.advance()
        harness.engine.crawls[0].finish()
    assert (live_run.ended, kept(harness, live_run).state) == (True, RunState.STARTING)
    assert len([event for event in events if "log_failure" in event]) == 2
    assert harness.at_rest()


def test_a_time_that_comes_in_a_suspend() -> None:
    """A run whose time came while the machine slept starts within a minute of its waking, not hours later."""
    harness = HubHarness()
    later = begun(harness, not_before=START.replace(hour=20))
    harness.advance(30)
    harness.step = timedelta(hours=9)
    harness.advance(60)
    assert [crawl.run_id for crawl in harness.engine.crawls] == [later.run.id]
    harness.engine.crawls[0].finish()
    assert harness.at_rest()


@pytest.mark.parametrize("began", [0.1, 70_000.7, 123_456.789, 1e7 + 0.3])
def test_a_time_that_no_float_hits(began: float) -> None:
    """A delay that the clock's numbers only come close to is over all the same, without a timer after it."""
    harness = HubHarness()
    harness.clock.advance(began)
    begun(harness, not_before=harness.now() + timedelta(microseconds=300_001), retry_of="run")
    harness.step = timedelta(hours=-1)
    (timer,) = harness.clock.getDelayedCalls()
    harness.clock.rightNow = timer.getTime()
    harness.advance()
    assert len(harness.engine.crawls) == 1


@pytest.mark.parametrize(("retry_of", "starts"), [("run", True), (None, False)])
def test_a_time_that_goes_back(retry_of: str | None, starts: bool) -> None:
    """An attempt waits for its delay, though the clock is put back; what was ordered for a time, for that."""
    harness = HubHarness()
    live_run = begun(harness, not_before=START.replace(minute=2), retry_of=retry_of)
    harness.advance(30)
    harness.step = timedelta(hours=-1)
    harness.advance(89)
    assert harness.engine.crawls == []
    harness.advance(2)
    assert bool(harness.engine.crawls) is starts
    live_run.stop(CANCEL, FORCED)


@pytest.mark.parametrize(
    ("step", "seconds"),
    [("stop", 0), ("abort", 30), ("cancel_tasks", 35), ("abandon", 40)],
)
def test_the_steps_of_escalation(step: str, seconds: int) -> None:
    """A cancelled crawl is taken down rung by rung until it yields, each in its time."""
    harness = HubHarness()
    harness.engine.yields_to = step
    live_run = begun(harness, stop_grace=30.0)
    harness.advance()
    harness.engine.crawls[0].open()
    live_run.stop(CANCEL, Escalation.graceful(30.0))
    if seconds:
        assert live_run.run.state is RunState.STOPPING
        harness.advance(seconds - 0.5)
        assert not live_run.ended
        harness.advance(1)
    assert live_run.run.state is RunState.CANCELLED
    assert (live_run.run.reason, live_run.run.finish_reason) == ("cancelled by an operator", "shutdown")
    assert harness.engine.crawls[0].steps[-1] == step
    assert harness.at_rest()


def test_a_second_order_makes_haste_and_keeps_the_reason() -> None:
    """Forced after a graceful cancel, downloads are cut at once; the first order names the outcome."""
    harness = HubHarness()
    harness.engine.yields_to = "abort"
    live_run = begun(harness)
    harness.advance()
    live_run.stop(CANCEL, Escalation.graceful(300))
    live_run.stop(Stop(state=RunState.INTERRUPTED, reason="the hub was shut down"), SHUTDOWN)
    harness.advance(2)
    assert live_run.run.state is RunState.CANCELLED
    assert harness.at_rest()


def test_a_timeout_counts_from_the_start_of_the_crawl() -> None:
    """Waiting for a slot costs none of it; when it is over the run is timed_out and says so."""
    harness = HubHarness()
    begun(harness)
    begun(harness)
    harness.advance()
    live_run = begun(harness, timeout=60.0)
    harness.advance(100)
    harness.engine.crawls[0].finish()
    harness.advance(59)
    assert live_run.run.state is RunState.STARTING
    harness.advance(2)
    assert live_run.run.state is RunState.TIMED_OUT
    assert live_run.run.reason == "the run took longer than its timeout of 60 seconds"


def test_a_crawl_that_ends_within_launch() -> None:
    """A spider whose __init__ raises fails its run; the slot is free again."""
    harness = HubHarness()
    harness.engine.failure = "ValueError: no"
    live_run = begun(harness)
    harness.advance()
    assert (live_run.run.state, live_run.run.error) == (RunState.FAILED, "ValueError: no")
    assert harness.at_rest()


def test_why_a_run_is_isolated_is_kept() -> None:
    """The engine's reason stands in the run as soon as it crawls, and in the ledger at its end."""
    harness = HubHarness()
    harness.engine.because = "prices.py:7: time.sleep() blocks"
    live_run = begun(harness)
    harness.advance()
    assert (live_run.run.isolated, live_run.run.isolated_because) == (
        True,
        "prices.py:7: time.sleep() blocks",
    )
    harness.engine.crawls[0].finish()
    harness.advance()
    assert kept(harness, live_run).isolated_because == "prices.py:7: time.sleep() blocks"


def test_a_ledger_that_cannot_write_the_start() -> None:
    """Without a record there is no crawl: the slot is given back and the start is tried again."""
    harness = HubHarness()
    live_run = begun(harness)
    harness.ledger.fail_writes = LedgerError("the disk is full")
    harness.advance()
    assert (live_run.run.state, harness.engine.crawls, harness.slots.used) == (RunState.QUEUED, [], 0)
    harness.ledger.fail_writes = None
    harness.advance(6)
    assert live_run.run.state is RunState.STARTING


def test_a_ledger_that_cannot_write_the_end() -> None:
    """The slot is free and the outcome is known at once; the row follows when the disk lets it."""
    harness = HubHarness()
    live_run = begun(harness)
    harness.advance()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    harness.engine.crawls[0].finish()
    assert (live_run.run.state, harness.slots.used, live_run.ended) == (RunState.SUCCEEDED, 0, False)
    harness.ledger.fail_writes = None
    harness.advance(6)
    assert (kept(harness, live_run).state, live_run.ended) == (RunState.SUCCEEDED, True)
    assert states(harness) == ["starting", "succeeded"]
    assert harness.at_rest()


def test_put_down_while_it_waits() -> None:
    """At shutdown a waiting run's life ends and the run stays queued in the ledger."""
    harness = HubHarness()
    begun(harness)
    begun(harness)
    harness.advance()
    live_run = begun(harness)
    harness.advance()
    live_run.put_down()
    assert (live_run.ended, kept(harness, live_run).state) == (True, RunState.QUEUED)


def test_watchers_may_leave() -> None:
    """A watcher that gives up disturbs nobody; the others hear of the end."""
    harness = HubHarness()
    live_run = begun(harness)
    leaver, stayer = live_run.finished(), live_run.finished()
    leaver.addErrback(lambda _: None)
    leaver.cancel()
    harness.advance()
    harness.engine.crawls[0].finish()
    seen: list[Run] = []
    stayer.addCallback(seen.append)
    live_run.finished().addCallback(seen.append)
    assert seen == [live_run.run, live_run.run]


def test_a_thousand_that_fail_in_init() -> None:
    """A thousand queued runs whose spiders raise in __init__ all fail, and the pool is full again."""
    harness = HubHarness()
    harness.engine.failure = "ValueError: no"
    live_runs = []
    for number in range(1000):
        run = Run(id=str(number), spec=RunSpec(spider="prices", project="shop"), created_at=START)
        harness.ledger.add_run(run)
        live_runs.append(Lifecycle(run, harness.services))
        live_runs[-1].begin()
    harness.advance()
    assert {live_run.run.state for live_run in live_runs} == {RunState.FAILED}
    assert [crawl.run_id for crawl in harness.engine.crawls] == [str(number) for number in range(1000)]
    assert harness.at_rest()
