"""What the sink hears: every event in order, snapshots of what goes on, at their own pace."""

from __future__ import annotations

from reactorhub.wire.orders import Order
from tests.support.hubs import START, Bench, done


def begun() -> Bench:
    """A hub that sends snapshots."""
    bench = Bench()
    done(bench.hub.recover())
    bench.telemetry.start(lambda: tuple(bench.dispatcher.live_runs.values()), bench.hub.heartbeat)
    return bench


def test_every_state_is_told_of_in_order() -> None:
    """Each transition is one event with the run's view, and the newest view of the run."""
    bench = begun()
    run = done(bench.hub.submit(Order(spider="prices")))
    crawl = bench.begun(run.id)
    crawl.open()
    done(bench.hub.cancel(run.id))
    bench.turn()
    types = ["run.queued", "run.starting", "run.running", "run.stopping", "run.finished"]
    assert bench.events() == types
    states = ["queued", "starting", "running", "stopping", "cancelled"]
    assert [event["run"]["state"] for event in bench.sink.events] == states
    assert bench.sink.runs[run.id] == bench.sink.events[-1]["run"]
    bench.telemetry.stop()
    assert bench.clock.getDelayedCalls() == []


def test_events_have_ids_that_sort() -> None:
    """Events can be told apart and put in order by their ids alone."""
    bench = begun()
    for _ in range(20):
        done(bench.hub.submit(Order(spider="prices")))
    ids = [event["id"] for event in bench.sink.events]
    assert ids == sorted(set(ids))
    assert {event["time"] for event in bench.sink.events} == {"2026-11-21T12:00:00.000000Z"}


def test_snapshots_of_live_crawls() -> None:
    """Every two seconds the live stats of each crawl under way are sent; runs that wait send none."""
    bench = begun()
    run = done(bench.hub.submit(Order(spider="prices", queue="heavy")))
    waiting = done(bench.hub.submit(Order(spider="prices", queue="heavy")))
    crawl = bench.begun(run.id)
    crawl.open()
    for items in (1, 2):
        crawl.scrape(items, errors=items)
        bench.clock.advance(1.9)
        assert bench.sink.runs[run.id]["stats"].get("item_scraped_count") == (items - 1 or None)
        bench.clock.advance(0.1)
        assert bench.sink.runs[run.id]["stats"] == {"item_scraped_count": items}
        assert bench.sink.runs[run.id]["errors"] == items
    assert bench.sink.runs[waiting.id]["stats"] == {}
    assert bench.events().count("run.running") == 1
    bench.telemetry.stop()


def test_final_stats_are_not_overwritten() -> None:
    """After a run has ended no snapshot of it is sent."""
    bench = begun()
    run = done(bench.hub.submit(Order(spider="prices")))
    crawl = bench.begun(run.id)
    crawl.scrape(3)
    crawl.finish()
    last = bench.sink.runs[run.id]
    bench.clock.pump([2] * 5)
    assert bench.sink.runs[run.id] is last and last["state"] == "succeeded"


def test_the_heartbeat_of_the_hub() -> None:
    """The hub's own view goes out at once and every two seconds, and looks into no ledger."""
    bench = begun()
    assert bench.sink.hubs["test"]["slots"]["limit"] == 2
    bench.begun(done(bench.hub.submit(Order(spider="prices"))).id)
    bench.ledger.close()
    bench.clock.advance(2)
    beat = bench.sink.hubs["test"]
    assert beat["time"] == "2026-11-21T12:00:02.000000Z" and beat["slots"]["used"] == 1
    assert beat["runs"] == {"queued": 0, "starting": 1, "running": 0, "stopping": 0}


def test_a_stall_is_an_event() -> None:
    """Something that kept the reactor busy is told of with its seconds."""
    bench = begun()
    bench.telemetry.stalled(1.23456)
    event = bench.sink.events[-1]
    assert (event["type"], event["stall"]) == ("reactor.stalled", {"seconds": 1.235})
    assert event["time"] == START.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Unruly:
    """A stat whose text cannot be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_one_unruly_stat_does_not_end_the_snapshots() -> None:
    """A stat that cannot be shown spoils neither its own run's snapshots nor those of others."""
    bench = begun()
    unruly, sound = (done(bench.hub.submit(Order(spider="prices"))).id for _ in range(2))
    bench.turn()
    bench.engine.crawls[0]._stats["odd"] = Unruly()
    for items in (1, 2, 3):
        bench.engine.crawls[1].scrape(items)
        bench.clock.advance(2)
        assert bench.sink.runs[sound]["stats"] == {"item_scraped_count": items}
    assert bench.sink.runs[unruly]["stats"] == {"odd": "<Unruly that cannot be shown: RuntimeError>"}
