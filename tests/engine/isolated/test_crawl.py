"""A crawl in a process of its own, as the hub sees it: whatever the process says or does, it ends once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from reactorhub.engine.isolated import crawl as crawl_module
from reactorhub.engine.isolated.crawl import IsolatedCrawl
from reactorhub.engine.isolated.zygotes import Zygote, how_ended
from reactorhub.model.run import CrawlEnd, RunState
from reactorhub.policies.outcome import outcome_of

PID = 4711
CLOSED = {
    "closed": {
        "stats": {"item_scraped_count": 2},
        "errors": 1,
        "exceptions": 1,
        "error": "ValueError: no",
        "failure": None,
        "finish_reason": "finished",
    }
}


class FakeZygote:
    """A zygote and the line to its child: notes what they are told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def fork(self, key: str, job: object, order: Mapping[str, Any], limit: int | None) -> FakeZygote:
        self.told.append(("fork", key, order, limit))
        return self

    def reap(self, key: str) -> None:
        self.told.append(("reap", key))

    def send(self, order: Mapping[str, Any]) -> None:
        self.told.append(order["do"])

    def close(self) -> None:
        self.told.append("close")


class Bench:
    """A crawl under way on a clock, and what became of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int | None = None) -> None:
        self.clock = Clock()
        self.zygote = FakeZygote()
        self.killed: list[int] = []
        self.ends: list[CrawlEnd] = []
        monkeypatch.setattr(os, "kill", lambda pid, number: self.killed.append(pid))
        monkeypatch.setattr(os, "killpg", lambda pid, number: None)
        self.crawl = IsolatedCrawl(self.clock, "run1", limit)
        self.crawl.done.addCallback(self.ends.append)
        self.crawl.begin(cast(Zygote, self.zygote), {"spider": "it"})

    @property
    def end(self) -> CrawlEnd:
        """How it ended, once."""
        (end,) = self.ends
        assert not self.clock.getDelayedCalls()
        assert (
            self.zygote.told[-2:] in (["close"], [("reap", "run1"), "close"]) or "close" in self.zygote.told
        )
        return end


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A crawl that was just begun."""
    return Bench(monkeypatch)


def test_a_good_end(bench: Bench) -> None:
    """What the process reports is what the hub knows; it is reaped when both it and its line are gone."""
    opened: list[None] = []
    bench.crawl.opened.addCallback(opened.append)
    assert bench.zygote.told == [("fork", "run1", {"spider": "it"}, None)]
    bench.crawl.forked(PID)
    bench.crawl.reported({"opened": True})
    assert (bench.crawl.pid, opened) == (PID, [None])
    bench.crawl.reported({"live": {"stats": {"item_scraped_count": 1}, "errors": 0}})
    assert (bench.crawl.stats(), bench.crawl.errors()) == ({"item_scraped_count": 1}, 0)
    bench.crawl.reported(CLOSED)
    bench.crawl.exited(0)
    assert not bench.ends
    bench.crawl.hung_up()
    end = bench.end
    assert (end.lost, end.failure, end.finish_reason, end.items) == (None, None, "finished", 2)
    assert (end.errors, end.exceptions, end.error) == (1, 1, "ValueError: no")
    assert bench.killed == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (-signal.SIGSEGV, "killed by SIGSEGV"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-63, "killed by signal 63"),
        (7, "it ended with exit status 7 before its crawl was over"),
        (0, "it ended with exit status 0 before its crawl was over"),
    ],
)
def test_an_end_without_a_report(bench: Bench, status: int, reason: str) -> None:
    """A process that dies before its last report gives the cause of its death, and its last live figures."""
    bench.crawl.forked(PID)
    bench.crawl.reported({"live": {"stats": {"item_scraped_count": 3}, "errors": 2, "error": "E: x"}})
    bench.crawl.hung_up()
    bench.crawl.exited(status)
    end = bench.end
    assert (end.lost, end.items, end.errors, end.error) == (reason, 3, 2, "E: x")
    outcome = outcome_of(end, None)
    assert outcome.state is RunState.FAILED
    assert reason in outcome.reason


def test_a_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process used, and of how much, is the reason, whether it closed in order or was killed."""
    for closes in (True, False):
        bench = Bench(monkeypatch, limit=512 << 20)
        bench.crawl.forked(PID)
        bench.crawl.over_memory(530 << 20)
        bench.crawl.over_memory(540 << 20)
        assert bench.zygote.told[1:] == ["abort"]
        if closes:
            bench.crawl.reported(CLOSED)
        else:
            bench.clock.advance(3)
        assert bench.killed == ([] if closes else [PID])
        bench.crawl.hung_up()
        bench.crawl.exited(0)
        assert (bench.end.lost, bench.end.items) == ("used 530 MiB of 512 MiB", 2 if closes else 0)


def test_the_rungs(bench: Bench) -> None:
    """The first three are orders to the process; the last one kills it."""
    bench.crawl.forked(PID)
    for rung in (bench.crawl.stop, bench.crawl.abort, bench.crawl.cancel_tasks, bench.crawl.abandon):
        rung()
    assert bench.zygote.told[1:] == ["stop", "abort", "cancel"]
    assert bench.killed == [PID]
    bench.crawl.hung_up()
    bench.crawl.exited(-signal.SIGKILL)
    assert bench.end.lost == "the crawl did not end when told to and was killed"


def test_a_process_that_is_killed_before_it_lives(bench: Bench) -> None:
    """An order to kill that comes before the process's number is known is kept until then."""
    bench.crawl.abandon()
    assert bench.killed == []
    bench.crawl.forked(PID)
    assert bench.killed == [PID]
    bench.crawl.hung_up()
    bench.crawl.exited(-signal.SIGKILL)
    assert bench.end.lost is not None


def test_a_death_that_nobody_reports(bench: Bench) -> None:
    """A killed process is waited for two seconds: its zygote may be stopped and say nothing."""
    bench.crawl.forked(PID)
    bench.crawl.abandon()
    bench.clock.advance(2)
    assert bench.end.lost == "the crawl did not end when told to and was killed"


@pytest.mark.parametrize(
    "report", [{"nonsense": 1}, {"live": 7}, {"closed": []}, {"live": None}, {}], ids=str
)
def test_garbage(bench: Bench, report: dict[str, Any]) -> None:
    """A process that sends what is not a report is killed."""
    bench.crawl.forked(PID)
    bench.crawl.reported(report)
    assert bench.killed == [PID]
    bench.crawl.hung_up()
    bench.crawl.exited(-signal.SIGKILL)
    assert "is not a report" in (bench.end.lost or "")


@pytest.mark.parametrize("status", [0, -signal.SIGKILL])
def test_no_report_counts_after_garbage(bench: Bench, status: int) -> None:
    """A report that came with the garbage, as on a busy machine, does not save the run."""
    bench.crawl.forked(PID)
    bench.crawl.garbled()
    bench.crawl.reported(CLOSED)
    bench.crawl.exited(status)
    bench.crawl.hung_up()
    assert "is not a report" in (bench.end.lost or "")


def test_a_process_that_hangs_up(bench: Bench) -> None:
    """A process that closes its connection has two seconds to end, and is killed then."""
    bench.crawl.forked(PID)
    bench.crawl.hung_up()
    bench.clock.advance(1.9)
    assert bench.killed == []
    bench.clock.advance(0.2)
    assert bench.killed == [PID]
    bench.crawl.exited(-signal.SIGKILL)
    assert bench.end.lost == "closed its connection to the hub and was killed"


def test_a_process_that_does_not_end_after_its_crawl(bench: Bench) -> None:
    """Its crawl counts; the process, which a thread may keep, is killed after ten seconds."""
    bench.crawl.forked(PID)
    bench.crawl.reported(CLOSED)
    bench.clock.advance(crawl_module.EXIT_WITHIN)
    assert bench.killed == [PID]
    bench.crawl.hung_up()
    bench.crawl.exited(-signal.SIGKILL)
    assert (bench.end.lost, bench.end.finish_reason) == (None, "finished")


def test_a_connection_that_others_hold(bench: Bench) -> None:
    """Where a forked child of the process keeps the line open, the process's own death is enough."""
    bench.crawl.forked(PID)
    bench.crawl.exited(-signal.SIGSEGV)
    bench.clock.advance(2)
    assert bench.end.lost == "killed by SIGSEGV"
    assert bench.killed == []


def test_a_lost_zygote(bench: Bench) -> None:
    """A zygote that is gone takes its runs with it; it is asked for nothing more."""
    bench.crawl.forked(PID)
    bench.crawl.lost("the process it was forked from is gone: killed by SIGKILL")
    assert bench.killed == [PID]
    assert "killed by SIGKILL" in (bench.end.lost or "")
    assert ("reap", "run1") not in bench.zygote.told


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_the_figures_are_there_is_an_end(value: Any) -> None:
    """A process may send anything in the place of its figures: the facts of the end have their kinds."""
    crawl = IsolatedCrawl(Clock(), "run1")
    ends: list[CrawlEnd] = []
    crawl.done.addCallback(ends.append)
    names = ("stats", "errors", "exceptions", "error", "failure", "finish_reason")
    crawl.reported({"closed": dict.fromkeys(names, value)})
    crawl.exited(0)
    crawl.hung_up()
    (end,) = ends
    assert isinstance(end.errors, int) and isinstance(end.exceptions, int) and isinstance(end.items, int)
    assert all(isinstance(each, str | None) for each in (end.error, end.failure, end.finish_reason))
    outcome_of(end, None)


@given(
    st.lists(
        st.sampled_from(
            [
                "forked",
                "opened",
                "live",
                "closed",
                "garbage",
                "hung_up",
                "over",
                "exited",
                "lost",
                "stop",
                "abandon",
            ]
        ),
        max_size=12,
    )
)
def test_in_any_order_of_events_a_crawl_ends_once(events: list[str]) -> None:
    """Nothing that happens in any order raises, or makes ``done`` fire twice; a loss is always the end."""
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(patch)
        crawl = bench.crawl
        acts: dict[str, Callable[[], object]] = {
            "forked": lambda: crawl.forked(PID),
            "opened": lambda: crawl.reported({"opened": True}),
            "live": lambda: crawl.reported({"live": {"errors": 1}}),
            "closed": lambda: crawl.reported(CLOSED),
            "garbage": crawl.garbled,
            "hung_up": crawl.hung_up,
            "over": lambda: crawl.over_memory(1),
            "exited": lambda: crawl.exited(0),
            "lost": lambda: crawl.lost("gone"),
            "stop": crawl.stop,
            "abandon": crawl.abandon,
        }
        for event in events:
            acts[event]()
        crawl.lost("gone")
        assert len(bench.ends) == 1
        assert not bench.clock.getDelayedCalls()


def test_how_a_process_ended() -> None:
    """A status is told as the shell's user knows it."""
    assert [how_ended(status) for status in (3, -15)] == ["it ended with exit status 3", "killed by SIGTERM"]
