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
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.deferreds import done
from tests.support.hubs import START, HubHarness, config

HUB = "hub: {max_concurrent_runs: 8, max_queued_runs: 4, projects: {shop: {path: .}}}\nschedules:"
CHAIN = """
  a: {spider: prices}
  b: {spider: report, after: a, args: {of: "{upstream.run_id}"}}
"""


class ChainHarness(HubHarness):
    """A hub with schedules that tests trigger by hand; another one over its ledger is its next start."""

    def __init__(self, schedules: str = CHAIN, ledger: MemoryLedger | None = None, seconds: int = 0) -> None:
        self.schedules = schedules
        clock = Clock()
        clock.advance(seconds)
        super().__init__(config(HUB + schedules), clock, ledger or MemoryLedger())
        done(self.hub.recover())
        done(self.hub.adopt())
        self.turn()

    def restarted(self, schedules: str | None = None) -> ChainHarness:
        """The hub after it was killed and started again, a minute later."""
        return ChainHarness(schedules or self.schedules, self.ledger, int(self.clock.seconds()) + 60)

    def begin(self, name: str) -> ScriptedCrawl:
        """Trigger a schedule by hand; return its crawl."""
        return self.begun(done(self.hub.trigger(name)).id)

    def end(self, crawl: ScriptedCrawl, reason: str = "finished") -> None:
        """Let a second pass and a crawl end."""
        self.clock.advance(1)
        crawl.finish(reason)
        self.turn()

    def runs(self, name: str) -> list[Run]:
        """The runs of a schedule, oldest first."""
        page = done(self.hub.runs(RunFilter(schedule=name), 1000, None))
        return list(reversed(page.rows))

    def ticks(self, name: str) -> list[Tick]:
        """The ticks of a schedule, oldest first."""
        return list(reversed(done(self.hub.ticks(name, 1000, None)).rows))

    def told(self, name: str) -> list[tuple[str, str | None]]:
        """Outcome and reason of each tick of a schedule."""
        return [(tick.outcome.value, tick.reason) for tick in self.ticks(name)]


def test_a_success_starts_the_follower() -> None:
    """The follower runs once for the end of its upstream, at that moment, and knows whose end it was."""
    harness = ChainHarness()
    crawl = harness.begin("a")
    assert harness.runs("b") == []
    harness.end(crawl)
    (run,), (tick,) = harness.runs("b"), harness.ticks("b")
    assert (run.spec.args, run.spec.upstream) == ({"of": crawl.run_id}, crawl.run_id)
    assert run.spec.nominal_time == tick.nominal_time == START + timedelta(seconds=1)
    assert (tick.outcome.value, tick.run_id) == ("run", run.id)
    assert [crawl.run_id for crawl in harness.crawling] == [run.id]
    harness.end(harness.crawling[0])
    assert harness.at_rest() and len(harness.runs("b")) == 1


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
    harness = ChainHarness(
        f"\n  a: {{spider: prices}}\n  b: {{spider: report, after: a, after_state: {after_state}}}\n"
    )
    harness.end(harness.begin("a"), reason)
    assert len(harness.runs("b")) == runs


def test_an_attempt_that_is_followed_by_another_starts_nobody() -> None:
    """The follower waits for the last attempt."""
    harness = ChainHarness(
        "\n  a: {spider: prices, retry: {max_retries: 1, delay: 5s}}"
        "\n  b: {spider: report, after: a, after_state: any}\n"
    )
    harness.end(harness.begin("a"), "shutdown")
    assert harness.runs("b") == []
    harness.clock.advance(5)
    harness.turn()
    harness.end(harness.crawling[0], "shutdown")
    assert [run.spec.upstream for run in harness.runs("b")] == [harness.runs("a")[-1].id]


def test_each_end_of_any_upstream_counts() -> None:
    """With several upstreams each end of each of them starts the follower, and one end several followers."""
    harness = ChainHarness(
        "\n  a: {spider: prices}\n  b: {spider: prices}"
        "\n  c: {spider: report, after: [a, b], overlap: allow_all}\n  d: {spider: report, after: a}\n"
    )
    harness.end(harness.begin("a"))
    harness.end(harness.begin("b"))
    assert (len(harness.runs("c")), len(harness.runs("d"))) == (2, 1)


def test_two_ends_of_one_instant_are_two_ticks() -> None:
    """Where two runs end in the same instant the second tick stands a microsecond later."""
    harness = ChainHarness("\n  a: {spider: prices}\n  b: {spider: report, after: a, overlap: allow_all}\n")
    first, second = harness.begin("a"), harness.begin("a")
    first.finish()
    second.finish()
    harness.turn()
    assert [tick.nominal_time - START for tick in harness.ticks("b")] == [
        timedelta(0),
        timedelta(microseconds=1),
    ]
    assert [run.spec.nominal_time for run in harness.runs("b")] == [
        tick.nominal_time for tick in harness.ticks("b")
    ]


def test_a_busy_follower_is_skipped() -> None:
    """The follower's own overlap policy decides, with a row that says so."""
    harness = ChainHarness()
    harness.end(harness.begin("a"))
    harness.end(harness.begin("a"))
    (_, (outcome, reason)) = harness.told("b")
    assert outcome == "skipped" and str(reason).startswith("overlap is skip and run ")
    assert harness.events().count("tick.skipped") == 1


def test_a_buffered_follower_waits_for_its_turn() -> None:
    """Under buffer_one the second end's run begins when the first one's is over."""
    harness = ChainHarness("\n  a: {spider: prices}\n  b: {spider: report, after: a, overlap: buffer_one}\n")
    harness.end(harness.begin("a"))
    harness.end(harness.begin("a"))
    assert len(harness.crawling) == 1
    harness.end(harness.crawling[0])
    assert [crawl.run_id for crawl in harness.crawling] == [harness.runs("b")[1].id]


def test_a_paused_follower_is_skipped_and_a_disabled_one_has_no_ticks() -> None:
    """A pause leaves a row for each end; a schedule that is not enabled owes nothing."""
    harness = ChainHarness(CHAIN + "  c: {spider: report, after: a, enabled: false}\n")
    done(harness.hub.pause("b", "not today"))
    harness.end(harness.begin("a"))
    assert harness.told("b") == [("skipped", "the schedule is paused: not today")]
    assert harness.told("c") == []


def test_a_full_hub_skips_the_follower() -> None:
    """Where too many runs wait already the follower's tick is skipped, like any other."""
    harness = ChainHarness()
    crawl = harness.begin("a")
    harness.dispatcher.limit_waiting(0)
    harness.end(crawl)
    ((outcome, reason),) = harness.told("b")
    assert outcome == "skipped" and "at capacity" in str(reason)


def test_a_chain_goes_on() -> None:
    """A follower's own end starts those that come after it."""
    harness = ChainHarness(CHAIN + '  c: {spider: report, after: b, args: {of: "{upstream.schedule}"}}\n')
    harness.end(harness.begin("a"))
    harness.end(harness.crawling[0])
    assert [run.spec.args for run in harness.runs("c")] == [{"of": "b"}]


def test_by_hand_the_follower_runs_without_upstream() -> None:
    """A trigger by hand finds the arguments empty, and still starts those that come after."""
    harness = ChainHarness()
    crawl = harness.begin("b")
    assert crawl.spec.args == {"of": ""}
    assert harness.told("b") == []


def test_what_an_end_starts_is_on_disk_with_it() -> None:
    """While the ledger cannot write, neither the end nor the follower is there; then both are."""
    harness = ChainHarness()
    crawl = harness.begin("a")
    harness.ledger.fail_writes = LedgerError("the disk is full")
    harness.end(crawl)
    assert (harness.runs("b"), harness.crawling, harness.dispatcher.unfinished("b") != []) == ([], [], True)
    harness.ledger.fail_writes = None
    harness.clock.advance(5)
    harness.turn()
    assert [run.spec.upstream for run in harness.runs("b")] == [crawl.run_id]
    harness.end(harness.crawling[0])
    assert harness.at_rest()


def test_a_follower_survives_the_hub() -> None:
    """A hub killed right after the upstream's end runs the follower at its next start, once."""
    harness = ChainHarness()
    harness.slots.resize(1, {"default": 1})
    crawl = harness.begin("a")
    waiting = done(harness.hub.trigger("a"))
    harness.end(crawl)
    again = harness.restarted()
    assert [each.run_id for each in again.crawling] == [harness.runs("b")[0].id]
    assert [run.id for run in again.runs("a")] == [crawl.run_id, waiting.id]
    assert again.restarted().runs("b") == again.runs("b")


def test_an_upstream_that_died_with_the_hub() -> None:
    """Its end is found at the next start; a follower of interrupted runs then runs, others do not."""
    harness = ChainHarness(
        "\n  a: {spider: prices}\n  b: {spider: report, after: a, after_state: interrupted}"
        "\n  c: {spider: report, after: a}\n"
    )
    harness.begin("a")
    again = harness.restarted()
    assert [run.state.value for run in again.runs("a")] == ["interrupted"]
    assert [crawl.run_id for crawl in again.crawling] == [run.id for run in again.runs("b")] != []
    assert again.runs("c") == []


def test_a_recovered_end_meets_the_follower_that_waited() -> None:
    """At the next start too the overlap policy counts a follower that has been waiting since before."""
    harness = ChainHarness(CHAIN.replace("after: a", "after: a, after_state: any"))
    harness.begin("a")
    harness.slots.resize(1, {"default": 1})
    done(harness.hub.trigger("b"))
    again = harness.restarted()
    ((outcome, reason),) = again.told("b")
    assert outcome == "skipped" and str(reason).endswith("is still queued")


def test_an_end_at_shutdown_leaves_the_follower_queued() -> None:
    """A crawl that ends within the grace starts nobody any more; the follower runs at the next start."""
    harness = ChainHarness()
    crawl = harness.begin("a")
    stopped = Deferred.fromCoroutine(harness.dispatcher.stop(60, Deferred()))
    harness.end(crawl)
    assert stopped.called and harness.crawling == []
    assert [run.state.value for run in harness.runs("b")] == ["queued"]
    assert len(harness.restarted().crawling) == 1


def test_a_reload_takes_chains_up() -> None:
    """The chains are those of the file in force when the run ends."""
    harness = ChainHarness()
    crawl = harness.begin("a")
    chains = "\n  a: {spider: prices}\n  c: {spider: report, after: a}\n"
    done(harness.hub.put_in_force(config(HUB + chains)))
    harness.end(crawl)
    assert [run.spec.spider for run in harness.runs("c")] == ["report"]
    assert harness.runs("b") == []


TWICE = "\n  a: {spider: prices, interval: 1m, overlap: allow_all, max_runs: 2, run_on_start: true}\n"


def tick(harness: ChainHarness, minute: int) -> None:
    """Let the tick of a minute come."""
    done(harness.hub.tick(harness.book.get("a"), START + timedelta(minutes=minute)))
    harness.turn()


def test_max_runs() -> None:
    """So many ticks run; then the schedule is over, without rows, without times to come, and for ever."""
    harness = ChainHarness(TWICE)
    assert done(harness.hub.schedule("a"))["runs_left"] == 2
    for minute in (1, 2, 3):
        tick(harness, minute)
    assert [outcome for outcome, _ in harness.told("a")] == ["run", "run"]
    view = done(harness.hub.schedule("a"))
    assert (view["next"], view["max_runs"], view["runs_left"]) == ([], 2, 0)
    assert harness.hub.upcoming("a", None, 5)[1] == ()
    again = harness.restarted()
    tick(again, 4)
    done(again.hub.run_on_start())
    assert len(again.ticks("a")) == len(again.runs("a")) == 2


def test_skipped_ticks_and_runs_by_hand_do_not_count() -> None:
    """Only ticks that become runs count towards max_runs."""
    harness = ChainHarness(TWICE.replace("allow_all", "skip"))
    harness.begin("a")
    tick(harness, 1)
    assert [outcome for outcome, _ in harness.told("a")] == ["skipped"]
    assert done(harness.hub.schedule("a"))["runs_left"] == 2


def test_a_tick_that_the_ledger_refused_does_not_count() -> None:
    """A tick that could not be written down is still to come, and so is its run."""
    harness = ChainHarness(TWICE)
    harness.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        tick(harness, 1)
    assert harness.book.runs_left("a") == 2
    assert harness.dispatcher.unfinished("a") == []


def test_another_max_runs_begins_anew() -> None:
    """Whoever edits when or how often a schedule runs begins its count again; other edits do not."""
    harness = ChainHarness(TWICE)
    tick(harness, 1)
    done(harness.hub.pause("a"))
    done(harness.hub.resume("a"))
    other = harness.restarted(TWICE.replace("allow_all", "skip"))
    assert other.book.runs_left("a") == 1
    assert harness.restarted(TWICE.replace("max_runs: 2", "max_runs: 3")).book.runs_left("a") == 3


def test_a_follower_may_run_a_number_of_times() -> None:
    """Ends beyond max_runs start the follower no more."""
    harness = ChainHarness(CHAIN.replace("after: a", "after: a, max_runs: 1"))
    for _ in range(2):
        harness.end(harness.begin("a"))
    assert [outcome for outcome, _ in harness.told("b")] == ["run"]


BOTH_AWAY = """
  a: {spider: prices}
  b: {spider: report, after: a, after_state: any, retry: {delay: 1h}}
"""


def test_a_follower_that_is_to_be_tried_again_counts_after_a_crash() -> None:
    """Where upstream and follower die together, the follower's next attempt waits: it is busy."""
    harness = ChainHarness(BOTH_AWAY)
    harness.begin("a")
    harness.begin("b")
    other = harness.restarted()
    ((outcome, reason),) = other.told("b")
    assert outcome == "skipped" and "overlap is skip" in (reason or "")
    assert [run.state.value for run in other.runs("b")] == ["interrupted", "queued"]


def test_a_follower_that_is_to_be_tried_again_counts_while_the_hub_ends() -> None:
    """The same holds when the hub is told to end, also for an attempt that waits already."""
    for failing in (False, True):
        harness = ChainHarness(BOTH_AWAY)
        crawl = harness.begin("b")
        if failing:
            harness.end(crawl, "shutdown")
        harness.begin("a")
        stopping = Deferred.fromCoroutine(harness.dispatcher.stop(0, Deferred()))
        harness.turn()
        assert stopping.called
        assert [outcome for outcome, _ in harness.told("b")] == ["skipped"]
        states = [run.state.value for run in harness.restarted().runs("b")]
        assert states == ["failed" if failing else "interrupted", "queued"]


def test_a_follower_of_a_hub_that_takes_one_waiting_run() -> None:
    """A run that has ended waits no more: it keeps its follower from no place in the line."""
    harness = ChainHarness()
    harness.dispatcher.limit_waiting(1)
    harness.end(harness.begin("a"))
    assert harness.told("b") == [("run", None)]
