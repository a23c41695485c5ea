"""What the sink hears: every event in order, snapshots of what goes on, at their own pace."""

from __future__ import annotations

from reactorhub.wire.orders import Order
from tests.support.deferreds import done
from tests.support.hubs import START, HubHarness


def begun() -> HubHarness:
    """A hub that sends snapshots."""
    harness = HubHarness()
    done(harness.hub.recover())
    harness.publisher.start(lambda: tuple(harness.dispatcher.live_runs.values()), harness.hub.heartbeat)
    return harness


def test_every_state_is_told_of_in_order() -> None:
    """Each transition is one event with the run's view, and the newest view of the run."""
    harness = begun()
    run = done(harness.hub.submit(Order(spider="prices")))
    crawl = harness.begun(run.id)
    crawl.open()
    done(harness.hub.cancel(run.id))
    harness.turn()
    types = ["run.queued", "run.starting", "run.running", "run.stopping", "run.finished"]
    assert harness.events() == types
    states = ["queued", "starting", "running", "stopping", "cancelled"]
    assert [event["run"]["state"] for event in harness.sink.events] == states
    assert harness.sink.runs[run.id] == harness.sink.events[-1]["run"]
    harness.publisher.stop()
    assert harness.clock.getDelayedCalls() == []


def test_events_have_ids_that_sort() -> None:
    """Events can be told apart and put in order by their ids alone."""
    harness = begun()
    for _ in range(20):
        done(harness.hub.submit(Order(spider="prices")))
    ids = [event["id"] for event in harness.sink.events]
    assert ids == sorted(set(ids))
    assert {event["time"] for event in harness.sink.events} == {"2026-11-21T12:00:00.000000Z"}


def test_snapshots_of_live_crawls() -> None:
    """Every two seconds the live stats of each crawl under way are sent; runs that wait send none."""
    harness = begun()
    run = done(harness.hub.submit(Order(spider="prices", queue="heavy")))
    waiting = done(harness.hub.submit(Order(spider="prices", queue="heavy")))
    crawl = harness.begun(run.id)
    crawl.open()
    for items in (1, 2):
        crawl.scrape(items, errors=items)
        harness.clock.advance(1.9)
        assert harness.sink.runs[run.id]["stats"].get("item_scraped_count") == (items - 1 or None)
        harness.clock.advance(0.1)
        assert harness.sink.runs[run.id]["stats"] == {"item_scraped_count": items}
        assert harness.sink.runs[run.id]["errors"] == items
    assert harness.sink.runs[waiting.id]["stats"] == {}
    assert harness.events().count("run.running") == 1
    harness.publisher.stop()


def test_final_stats_are_not_overwritten() -> None:
    """After a run has ended no snapshot of it is sent."""
    harness = begun()
    run = done(harness.hub.submit(Order(spider="prices")))
    crawl = harness.begun(run.id)
    crawl.scrape(3)
    crawl.finish()
    last = harness.sink.runs[run.id]
    harness.clock.pump([2] * 5)
    assert harness.sink.runs[run.id] is last and last["state"] == "succeeded"


def test_the_heartbeat_of_the_hub() -> None:
    """The hub's own view goes out at once and every two seconds, and looks into no ledger."""
    harness = begun()
    assert harness.sink.hubs["test"]["slots"]["limit"] == 2
    harness.begun(done(harness.hub.submit(Order(spider="prices"))).id)
    harness.ledger.close()
    harness.clock.advance(2)
    beat = harness.sink.hubs["test"]
    assert beat["time"] == "2026-11-21T12:00:02.000000Z" and beat["slots"]["used"] == 1
    assert beat["runs"] == {"queued": 0, "starting": 1, "running": 0, "stopping": 0}


def test_a_stall_is_an_event() -> None:
    """Something that kept the reactor busy is published with its seconds."""
    harness = begun()
    harness.publisher.stalled(1.23456)
    event = harness.sink.events[-1]
    assert (event["type"], event["stall"]) == ("reactor.stalled", {"seconds": 1.235})
    assert event["time"] == START.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Unruly:
    """A stat whose text cannot be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_one_unruly_stat_does_not_end_the_snapshots() -> None:
    """A stat that cannot be shown spoils neither its own run's snapshots nor those of others."""
    harness = begun()
    unruly, sound = (done(harness.hub.submit(Order(spider="prices"))).id for _ in range(2))
    harness.turn()
    harness.engine.crawls[0]._stats["odd"] = Unruly()
    for items in (1, 2, 3):
        harness.engine.crawls[1].scrape(items)
        harness.clock.advance(2)
        assert harness.sink.runs[sound]["stats"] == {"item_scraped_count": items}
    assert harness.sink.runs[unruly]["stats"] == {"odd": "<Unruly that cannot be shown: RuntimeError>"}
