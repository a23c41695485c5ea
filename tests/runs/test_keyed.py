"""Orders with a key are one run; a held run waits for its release, over restarts too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError, QueueFull, ShuttingDown
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.runs.keyed import KeyedOrder
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.deferreds import done, held_back
from tests.support.hubs import START, HubHarness


def order(key: str, spider: str = "prices") -> KeyedOrder:
    """An order with this key."""
    return KeyedOrder(f"inbox:{key}", RunSpec(spider=spider, project="shop"))


def accepted(harness: HubHarness, *keys: str, held: bool = False) -> list[Run]:
    """The runs of orders with these keys."""
    runs = done(harness.dispatcher.submit_keyed([order(key) for key in keys], held=held))
    return [run for run in runs if run is not None]


def started(ledger: MemoryLedger) -> HubHarness:
    """A hub that goes on with what the ledger has."""
    harness = HubHarness(ledger=ledger)
    done(harness.hub.recover())
    done(harness.hub.adopt())
    harness.advance()
    return harness


def kept(harness: HubHarness, run: Run) -> Run:
    """A run as the ledger has it."""
    return done(harness.ledger.run(run.id))


def test_one_key_is_one_run() -> None:
    """Orders with one key, in one call or in two, give the same run, in its present state."""
    harness = HubHarness()
    first, again, other = accepted(harness, "a", "a", "b")
    assert (first, other.key) == (again, "inbox:b")
    harness.advance()
    assert accepted(harness, "a") == [kept(harness, first)]
    assert [crawl.run_id for crawl in harness.engine.crawls] == [first.id, other.id]


def test_one_key_at_the_same_time_is_one_run() -> None:
    """Two orders with one key, both under way, give one run, and its place is counted once."""
    harness = HubHarness()
    go_on = held_back(harness.ledger, "add_keyed_runs")
    results: list[list[Run | None]] = []
    for _ in range(2):
        Deferred.fromCoroutine(harness.dispatcher.submit_keyed([order("a")])).addCallback(results.append)
    go_on.callback(None)
    assert results[0] == results[1]
    assert harness.dispatcher.places == harness.config.max_queued_runs - 1


def test_a_taken_key_needs_no_place() -> None:
    """While the queue is full, an order whose key is taken still gives its run; a new one is refused."""
    harness = HubHarness()
    harness.dispatcher.limit_waiting(1)
    [first] = accepted(harness, "a")
    assert accepted(harness, "a") == [first]
    with pytest.raises(QueueFull):
        accepted(harness, "a", "b")


def test_a_deleted_run_keeps_its_key() -> None:
    """An order whose run has been deleted gives no run, and starts none."""
    harness = HubHarness()
    done(
        harness.ledger.add_run(
            replace(accepted(HubHarness(), "a")[0], state=RunState.SUCCEEDED, finished_at=START)
        )
    )
    done(harness.ledger.prune(START.replace(year=2027), 100))
    assert accepted(harness, "a") == []
    assert not harness.dispatcher.live_runs


def test_nothing_starts_that_was_not_kept() -> None:
    """A ledger that cannot write fails the whole call, and the places are free again."""
    harness = HubHarness()
    harness.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        accepted(harness, "a", "b")
    assert harness.dispatcher.places == harness.config.max_queued_runs
    harness.ledger.fail_writes = None
    assert len(accepted(harness, "a", "b")) == 2


def test_a_stopping_hub_takes_nothing() -> None:
    """Even an order whose key is taken is refused while the hub stops."""
    harness = HubHarness()
    accepted(harness, "a")
    Deferred.fromCoroutine(harness.dispatcher.stop(0, Deferred()))
    with pytest.raises(ShuttingDown):
        accepted(harness, "a")


def test_a_held_run_starts_when_it_is_released() -> None:
    """It is queued and on disk before; afterwards the ledger no longer calls it held."""
    harness = HubHarness()
    [run] = accepted(harness, "a", held=True)
    harness.advance(60)
    assert (harness.engine.crawls, kept(harness, run).held, harness.dispatcher.held()) == ([], True, [run])
    harness.dispatcher.release([run.id, "unknown"])
    harness.advance()
    assert [crawl.run_id for crawl in harness.engine.crawls] == [run.id]
    assert (kept(harness, run).held, harness.dispatcher.held()) == (False, [])


def test_released_runs_start_in_order() -> None:
    """Runs that are released together start in the order of the release."""
    harness = HubHarness()
    runs = accepted(harness, *"abc", held=True)
    harness.dispatcher.release([run.id for run in runs])
    harness.advance()
    assert [crawl.run_id for crawl in harness.engine.crawls] == [run.id for run in runs[:2]]


def test_a_held_run_is_still_held_after_a_restart() -> None:
    """Only a release starts it, however often the hub starts; a released one starts by itself."""
    before = HubHarness()
    held, released = accepted(before, "a", "b", held=True)
    before.dispatcher.release([released.id])
    after = started(before.ledger)
    assert [crawl.run_id for crawl in after.engine.crawls] == [released.id]
    assert after.dispatcher.held() == [held]
    after.dispatcher.release([held.id])
    after.advance()
    assert len(after.engine.crawls) == 2


def test_a_withdrawn_run_gives_its_key_up() -> None:
    """It ends cancelled with the reason, without a crawl, and its order may come again as another run."""
    harness = HubHarness()
    [run] = accepted(harness, "a", held=True)
    harness.dispatcher.withdraw(run.id, "hub two has taken this order over")
    harness.advance()
    final = kept(harness, run)
    assert (final.state, final.reason, final.key) == (
        RunState.CANCELLED,
        "hub two has taken this order over",
        None,
    )
    [again] = accepted(harness, "a")
    harness.advance()
    assert [crawl.run_id for crawl in harness.engine.crawls] == [again.id]


def test_only_held_runs_are_withdrawn() -> None:
    """A run that has been released is not touched."""
    harness = HubHarness()
    [run] = accepted(harness, "a", held=True)
    harness.dispatcher.release([run.id])
    harness.dispatcher.withdraw(run.id, "too late")
    harness.advance()
    assert kept(harness, run).state is RunState.STARTING


def test_a_held_run_can_be_cancelled() -> None:
    """An operator's cancel ends it at once; a later release starts nothing, and the key stays taken."""
    harness = HubHarness()
    [run] = accepted(harness, "a", held=True)
    done(harness.hub.cancel(run.id))
    harness.dispatcher.release([run.id])
    harness.advance()
    assert (kept(harness, run).state, harness.engine.crawls) == (RunState.CANCELLED, [])
    assert accepted(harness, "a") == [kept(harness, run)]
    assert harness.at_rest()


def test_a_shutdown_leaves_held_runs_held() -> None:
    """They stay queued for the next start, which asks again."""
    harness = HubHarness()
    [run] = accepted(harness, "a", held=True)
    done(harness.dispatcher.stop(0, Deferred()))
    assert kept(harness, run) == run
    assert started(harness.ledger).dispatcher.held() == [run]
