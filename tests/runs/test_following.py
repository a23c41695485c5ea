"""Schedules that run after others and those that run a number of times, on a hub of doubles."""

from __future__ import annotations

from datetime import timedelta

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from reactorhub.engine.scripted import ScriptedCrawl
from reactorhub.errors import LedgerError
from reactorhub.model.run import Run
from reactorhub.model.schedule import Tick
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.memory.ledger import MemoryLedger
from tests.support.hubs import START, Bench, config, done

HUB = "hub: {max_concurrent_runs: 8, max_queued_runs: 4, projects: {shop: {path: .}}}\nschedules:"
CHAIN = """
  a: {spider: prices}
  b: {spider: report, after: a, args: {of: "{upstream.run_id}"}}
"""


class Shop:
    """A hub with schedules that tests trigger by hand; another one over its ledger is its next start."""

    def __init__(self, schedules: str = CHAIN, ledger: MemoryLedger | None = None, seconds: int = 0) -> None:
        self.schedules = schedules
        clock = Clock()
        clock.advance(seconds)
        self.bench = Bench(config(HUB + schedules), clock, ledger or MemoryLedger())
        done(self.bench.hub.recover())
        done(self.bench.hub.adopt())
        self.bench.turn()

    def restarted(self, schedules: str | None = None) -> Shop:
        """The hub after it was killed and started again, a minute later."""
        return Shop(schedules or self.schedules, self.bench.ledger, int(self.bench.clock.seconds()) + 60)

    def begin(self, name: str) -> ScriptedCrawl:
        """Trigger a schedule by hand; return its crawl."""
        return self.bench.begun(done(self.bench.hub.trigger(name)).id)

    def end(self, crawl: ScriptedCrawl, reason: str = "finished") -> None:
        """Let a second pass and a crawl end."""
        self.bench.clock.advance(1)
        crawl.finish(reason)
        self.bench.turn()

    def runs(self, name: str) -> list[Run]:
        """The runs of a schedule, oldest first."""
        page = done(self.bench.hub.runs(RunFilter(schedule=name), 1000, None))
        return list(reversed(page.rows))

    def ticks(self, name: str) -> list[Tick]:
        """The ticks of a schedule, oldest first."""
        return list(reversed(done(self.bench.hub.ticks(name, 1000, None)).rows))

    def told(self, name: str) -> list[tuple[str, str | None]]:
        """Outcome and reason of each tick of a schedule."""
        return [(tick.outcome.value, tick.reason) for tick in self.ticks(name)]

    @property
    def on(self) -> list[ScriptedCrawl]:
        """The crawls that have not ended, oldest first."""
        return [crawl for crawl in self.bench.engine.crawls if not crawl.done.called]

    def at_rest(self) -> bool:
        """Whether nothing is left to happen."""
        bench = self.bench
        return not bench.dispatcher.live_runs and bench.slots.used == 0 and not bench.clock.getDelayedCalls()


def test_a_success_starts_the_follower() -> None:
    """The follower runs once for the end of its upstream, at that moment, and knows whose end it was."""
    shop = Shop()
    crawl = shop.begin("a")
    assert shop.runs("b") == []
    shop.end(crawl)
    (run,), (tick,) = shop.runs("b"), shop.ticks("b")
    assert (run.spec.args, run.spec.upstream) == ({"of": crawl.run_id}, crawl.run_id)
    assert run.spec.nominal_time == tick.nominal_time == START + timedelta(seconds=1)
    assert (tick.outcome.value, tick.run_id) == ("run", run.id)
    assert [crawl.run_id for crawl in shop.on] == [run.id]
    shop.end(shop.on[0])
    assert shop.at_rest() and len(shop.runs("b")) == 1


@pytest.mark.parametrize(
    ("after_state", "reason", "runs"),
    [
        ("succeeded", "shutdown", 0),
        ("failed", "shutdown", 1),
        ("failed", "finished", 0),
        ("any", "shutdown", 1),
    ],
)
def test_the_state_decides(after_state: str, reason: str, runs: int) -> None:
    """Only an end in one of the states that the follower names starts it."""
    shop = Shop(f"\n  a: {{spider: prices}}\n  b: {{spider: report, after: a, after_state: {after_state}}}\n")
    shop.end(shop.begin("a"), reason)
    assert len(shop.runs("b")) == runs


def test_an_attempt_that_is_followed_by_another_starts_nobody() -> None:
    """The follower waits for the last attempt."""
    shop = Shop(
        "\n  a: {spider: prices, retry: {max_retries: 1, delay: 5s}}"
        "\n  b: {spider: report, after: a, after_state: any}\n"
    )
    shop.end(shop.begin("a"), "shutdown")
    assert shop.runs("b") == []
    shop.bench.clock.advance(5)
    shop.bench.turn()
    shop.end(shop.on[0], "shutdown")
    assert [run.spec.upstream for run in shop.runs("b")] == [shop.runs("a")[-1].id]


def test_each_end_of_any_upstream_counts() -> None:
    """With several upstreams each end of each of them starts the follower, and one end several followers."""
    shop = Shop(
        "\n  a: {spider: prices}\n  b: {spider: prices}"
        "\n  c: {spider: report, after: [a, b], overlap: allow_all}\n  d: {spider: report, after: a}\n"
    )
    shop.end(shop.begin("a"))
    shop.end(shop.begin("b"))
    assert (len(shop.runs("c")), len(shop.runs("d"))) == (2, 1)


def test_two_ends_of_one_instant_are_two_ticks() -> None:
    """Where two runs end in the same instant the second tick stands a microsecond later."""
    shop = Shop("\n  a: {spider: prices}\n  b: {spider: report, after: a, overlap: allow_all}\n")
    first, second = shop.begin("a"), shop.begin("a")
    first.finish()
    second.finish()
    shop.bench.turn()
    assert [tick.nominal_time - START for tick in shop.ticks("b")] == [
        timedelta(0),
        timedelta(microseconds=1),
    ]
    assert [run.spec.nominal_time for run in shop.runs("b")] == [
        tick.nominal_time for tick in shop.ticks("b")
    ]


def test_a_busy_follower_is_skipped() -> None:
    """The follower's own overlap policy decides, with a row that says so."""
    shop = Shop()
    shop.end(shop.begin("a"))
    shop.end(shop.begin("a"))
    (_, (outcome, reason)) = shop.told("b")
    assert outcome == "skipped" and str(reason).startswith("overlap is skip and run ")
    assert shop.bench.events().count("tick.skipped") == 1


def test_a_buffered_follower_waits_for_its_turn() -> None:
    """Under buffer_one the second end's run begins when the first one's is over."""
    shop = Shop("\n  a: {spider: prices}\n  b: {spider: report, after: a, overlap: buffer_one}\n")
    shop.end(shop.begin("a"))
    shop.end(shop.begin("a"))
    assert len(shop.on) == 1
    shop.end(shop.on[0])
    assert [crawl.run_id for crawl in shop.on] == [shop.runs("b")[1].id]


def test_a_paused_follower_is_skipped_and_a_disabled_one_has_no_ticks() -> None:
    """A pause leaves a row for each end; a schedule that is not enabled owes nothing."""
    shop = Shop(CHAIN + "  c: {spider: report, after: a, enabled: false}\n")
    done(shop.bench.hub.pause("b", "not today"))
    shop.end(shop.begin("a"))
    assert shop.told("b") == [("skipped", "the schedule is paused: not today")]
    assert shop.told("c") == []


def test_a_full_hub_skips_the_follower() -> None:
    """Where too many runs wait already the follower's tick is skipped, like any other."""
    shop = Shop()
    crawl = shop.begin("a")
    shop.bench.dispatcher.limit_waiting(0)
    shop.end(crawl)
    ((outcome, reason),) = shop.told("b")
    assert outcome == "skipped" and "at capacity" in str(reason)


def test_a_chain_goes_on() -> None:
    """A follower's own end starts those that come after it."""
    shop = Shop(CHAIN + '  c: {spider: report, after: b, args: {of: "{upstream.schedule}"}}\n')
    shop.end(shop.begin("a"))
    shop.end(shop.on[0])
    assert [run.spec.args for run in shop.runs("c")] == [{"of": "b"}]


def test_by_hand_the_follower_runs_without_upstream() -> None:
    """A trigger by hand finds the arguments empty, and still starts those that come after."""
    shop = Shop()
    crawl = shop.begin("b")
    assert crawl.spec.args == {"of": ""}
    assert shop.told("b") == []


def test_what_an_end_starts_is_on_disk_with_it() -> None:
    """While the ledger cannot write, neither the end nor the follower is there; then both are."""
    shop = Shop()
    crawl = shop.begin("a")
    shop.bench.ledger.fail_writes = LedgerError("the disk is full")
    shop.end(crawl)
    assert (shop.runs("b"), shop.on, shop.bench.dispatcher.unfinished("b") != []) == ([], [], True)
    shop.bench.ledger.fail_writes = None
    shop.bench.clock.advance(5)
    shop.bench.turn()
    assert [run.spec.upstream for run in shop.runs("b")] == [crawl.run_id]
    shop.end(shop.on[0])
    assert shop.at_rest()


def test_a_follower_survives_the_hub() -> None:
    """A hub killed right after the upstream's end runs the follower at its next start, once."""
    shop = Shop()
    shop.bench.slots.resize(1, {"default": 1})
    crawl = shop.begin("a")
    waiting = done(shop.bench.hub.trigger("a"))
    shop.end(crawl)
    again = shop.restarted()
    assert [each.run_id for each in again.on] == [shop.runs("b")[0].id]
    assert [run.id for run in again.runs("a")] == [crawl.run_id, waiting.id]
    assert again.restarted().runs("b") == again.runs("b")


def test_an_upstream_that_died_with_the_hub() -> None:
    """Its end is found at the next start; a follower of interrupted runs then runs, others do not."""
    shop = Shop(
        "\n  a: {spider: prices}\n  b: {spider: report, after: a, after_state: interrupted}"
        "\n  c: {spider: report, after: a}\n"
    )
    shop.begin("a")
    again = shop.restarted()
    assert [run.state.value for run in again.runs("a")] == ["interrupted"]
    assert [crawl.run_id for crawl in again.on] == [run.id for run in again.runs("b")] != []
    assert again.runs("c") == []


def test_a_recovered_end_meets_the_follower_that_waited() -> None:
    """At the next start too the overlap policy counts a follower that has been waiting since before."""
    shop = Shop(CHAIN.replace("after: a", "after: a, after_state: any"))
    shop.begin("a")
    shop.bench.slots.resize(1, {"default": 1})
    done(shop.bench.hub.trigger("b"))
    again = shop.restarted()
    ((outcome, reason),) = again.told("b")
    assert outcome == "skipped" and str(reason).endswith("is still queued")


def test_an_end_at_shutdown_leaves_the_follower_queued() -> None:
    """A crawl that ends within the grace starts nobody any more; the follower runs at the next start."""
    shop = Shop()
    crawl = shop.begin("a")
    stopped = Deferred.fromCoroutine(shop.bench.dispatcher.stop(60, Deferred()))
    shop.end(crawl)
    assert stopped.called and shop.on == []
    assert [run.state.value for run in shop.runs("b")] == ["queued"]
    assert len(shop.restarted().on) == 1


def test_a_reload_takes_chains_up() -> None:
    """The chains are those of the file in force when the run ends."""
    shop = Shop()
    crawl = shop.begin("a")
    chains = "\n  a: {spider: prices}\n  c: {spider: report, after: a}\n"
    done(shop.bench.hub.put_in_force(config(HUB + chains)))
    shop.end(crawl)
    assert [run.spec.spider for run in shop.runs("c")] == ["report"]
    assert shop.runs("b") == []


TWICE = "\n  a: {spider: prices, interval: 1m, overlap: allow_all, max_runs: 2, run_on_start: true}\n"


def tick(shop: Shop, minute: int) -> None:
    """Let the tick of a minute come."""
    done(shop.bench.hub.tick(shop.bench.book.get("a"), START + timedelta(minutes=minute)))
    shop.bench.turn()


def test_max_runs() -> None:
    """So many ticks run; then the schedule is over, without rows, without times to come, and for ever."""
    shop = Shop(TWICE)
    assert done(shop.bench.hub.schedule("a"))["runs_left"] == 2
    for minute in (1, 2, 3):
        tick(shop, minute)
    assert [outcome for outcome, _ in shop.told("a")] == ["run", "run"]
    view = done(shop.bench.hub.schedule("a"))
    assert (view["next"], view["max_runs"], view["runs_left"]) == ([], 2, 0)
    assert shop.bench.hub.upcoming("a", None, 5)[1] == ()
    again = shop.restarted()
    tick(again, 4)
    done(again.bench.hub.run_on_start())
    assert len(again.ticks("a")) == len(again.runs("a")) == 2


def test_skipped_ticks_and_runs_by_hand_do_not_count() -> None:
    """Only ticks that become runs count towards max_runs."""
    shop = Shop(TWICE.replace("allow_all", "skip"))
    shop.begin("a")
    tick(shop, 1)
    assert [outcome for outcome, _ in shop.told("a")] == ["skipped"]
    assert done(shop.bench.hub.schedule("a"))["runs_left"] == 2


def test_a_tick_that_the_ledger_refused_does_not_count() -> None:
    """A tick that could not be written down is still to come, and so is its run."""
    shop = Shop(TWICE)
    shop.bench.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        tick(shop, 1)
    assert shop.bench.book.runs_left("a") == 2
    assert shop.bench.dispatcher.unfinished("a") == []


def test_another_max_runs_begins_anew() -> None:
    """Whoever edits when or how often a schedule runs begins its count again; other edits do not."""
    shop = Shop(TWICE)
    tick(shop, 1)
    done(shop.bench.hub.pause("a"))
    done(shop.bench.hub.resume("a"))
    other = shop.restarted(TWICE.replace("allow_all", "skip"))
    assert other.bench.book.runs_left("a") == 1
    assert shop.restarted(TWICE.replace("max_runs: 2", "max_runs: 3")).bench.book.runs_left("a") == 3


def test_a_follower_may_run_a_number_of_times() -> None:
    """Ends beyond max_runs start the follower no more."""
    shop = Shop(CHAIN.replace("after: a", "after: a, max_runs: 1"))
    for _ in range(2):
        shop.end(shop.begin("a"))
    assert [outcome for outcome, _ in shop.told("b")] == ["run"]


BOTH_AWAY = """
  a: {spider: prices}
  b: {spider: report, after: a, after_state: any, retry: {delay: 1h}}
"""


def test_a_follower_that_is_to_be_tried_again_counts_after_a_crash() -> None:
    """Where upstream and follower die together, the follower's next attempt waits: it is busy."""
    shop = Shop(BOTH_AWAY)
    shop.begin("a")
    shop.begin("b")
    other = shop.restarted()
    ((outcome, reason),) = other.told("b")
    assert outcome == "skipped" and "overlap is skip" in (reason or "")
    assert [run.state.value for run in other.runs("b")] == ["interrupted", "queued"]


def test_a_follower_that_is_to_be_tried_again_counts_while_the_hub_ends() -> None:
    """The same holds when the hub is told to end, also for an attempt that waits already."""
    for failing in (False, True):
        shop = Shop(BOTH_AWAY)
        crawl = shop.begin("b")
        if failing:
            shop.end(crawl, "shutdown")
        shop.begin("a")
        stopping = Deferred.fromCoroutine(shop.bench.dispatcher.stop(0, Deferred()))
        shop.bench.turn()
        assert stopping.called
        assert [outcome for outcome, _ in shop.told("b")] == ["skipped"]
        states = [run.state.value for run in shop.restarted().runs("b")]
        assert states == ["failed" if failing else "interrupted", "queued"]


def test_a_follower_of_a_hub_that_takes_one_waiting_run() -> None:
    """A run that has ended waits no more: it keeps its follower from no place in the line."""
    shop = Shop()
    shop.bench.dispatcher.limit_waiting(1)
    shop.end(shop.begin("a"))
    assert shop.told("b") == [("run", None)]
