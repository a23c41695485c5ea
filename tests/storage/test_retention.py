"""What is too old is removed in small steps, round by round, whatever fails, and by no clock gone wrong."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from reactorhub.errors import LedgerError
from reactorhub.storage.old_files import Swept
from reactorhub.storage.retention import (
    AT_ONCE,
    EVERY,
    FILES_AT_ONCE,
    MAX_JUMP,
    PAUSE,
    ClockWatch,
    Retention,
    RetentionConfig,
)
from tests.support.deferreds import done
from tests.support.hubs import START, hub_log

DAY = timedelta(days=1)
ALL = RetentionConfig(runs=90 * DAY, logs=14 * DAY, items=7 * DAY)


class Lab:
    """A retention on a clock that the test turns, over a past that the test makes up."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.leap = timedelta()
        self.rows = 0
        self.pruned: list[tuple[datetime, int]] = []
        self.swept: dict[str, list[tuple[float, Collection[str]]]] = {"logs": [], "items": []}
        self.steps: dict[str, list[Any]] = {"logs": [], "items": []}
        self.failing: Exception | None = None
        self.unfinished = ["run-1"]
        self.retention = Retention(
            self.clock,
            self.now,
            self.prune,
            {name: lambda *args, n=name: self.sweep(n, *args) for name in self.swept},  # type: ignore[misc]
            lambda: self.unfinished,
        )

    def now(self) -> datetime:
        """The wall clock."""
        return START + timedelta(seconds=self.clock.seconds()) + self.leap

    def prune(self, before: datetime, limit: int) -> Deferred[int]:
        """Forget some of the rows."""
        if self.failing is not None:
            return fail(self.failing)
        self.pruned.append((before, limit))
        gone = min(limit, self.rows)
        self.rows -= gone
        return succeed(gone)

    def sweep(self, name: str, before: float, keep: Collection[str], limit: int) -> Deferred[Swept]:
        """Take the next of the steps that the test has laid ready; without any there is nothing to do."""
        assert limit == FILES_AT_ONCE
        self.swept[name].append((before, keep))
        step = self.steps[name].pop(0) if self.steps[name] else Swept(removed=0, done=True)
        return step if isinstance(step, Deferred) else succeed(step)

    def stop(self) -> None:
        """Stop, and see that nothing is left."""
        done(self.retention.stop())
        assert self.clock.getDelayedCalls() == []

    def turn(self, seconds: float) -> None:
        """Let time pass, a pause at a time."""
        self.clock.pump([PAUSE] * round(seconds / PAUSE))


@pytest.fixture
def lab() -> Lab:
    """A retention that has not begun."""
    return Lab()


def test_a_hub_keeps_everything_unless_it_is_told(lab: Lab) -> None:
    """Without a rule no row and no file is even looked at."""
    lab.retention.start(RetentionConfig())
    lab.turn(3 * EVERY)
    assert (lab.pruned, lab.swept) == ([], {"logs": [], "items": []})
    lab.stop()


def test_each_part_has_its_own_span(lab: Lab) -> None:
    """A round goes through ledger, logs and items, each by its own rule, and leaves unfinished runs alone."""
    lab.retention.start(ALL)
    assert lab.pruned == [(START - 90 * DAY, AT_ONCE)]
    assert lab.swept["logs"] == [((START - 14 * DAY).timestamp(), {"run-1"})]
    assert lab.swept["items"] == [((START - 7 * DAY).timestamp(), {"run-1"})]
    lab.stop()


def test_a_part_without_a_span_is_left_alone(lab: Lab) -> None:
    """Who writes down how long logs are kept has said nothing of runs and items."""
    lab.retention.start(RetentionConfig(logs=DAY))
    assert (len(lab.pruned), len(lab.swept["logs"]), len(lab.swept["items"])) == (0, 1, 0)
    lab.stop()


def test_steps_are_small_and_others_have_their_turn(lab: Lab) -> None:
    """A past of many rows goes step by step with a pause between two, and in the end there is none left."""
    lab.rows = 3 * AT_ONCE + 1
    lab.retention.start(ALL)
    for steps in (1, 2, 3, 4):
        assert (len(lab.pruned), lab.swept["logs"]) == (steps, [])
        lab.clock.advance(PAUSE * 0.9)
        assert len(lab.pruned) == steps
        lab.clock.advance(PAUSE * 0.2)
    assert lab.rows == 0
    assert (len(lab.pruned), len(lab.swept["logs"])) == (5, 1)
    lab.stop()


def test_a_folder_is_gone_through_to_its_end(lab: Lab) -> None:
    """As long as a folder has more entries there is another step, each with the runs unfinished by then."""
    lab.steps["logs"] = [Swept(removed=0, done=False), Swept(removed=9, done=False)]
    with hub_log() as events:
        lab.retention.start(ALL)
        lab.unfinished = ["run-2"]
        lab.clock.pump([PAUSE] * 3)
    assert [keep for _, keep in lab.swept["logs"]] == [{"run-1"}, {"run-2"}, {"run-2"}]
    assert (events[-1]["runs"], events[-1]["logs"], events[-1]["items"]) == (0, 9, 0)
    lab.stop()


def test_no_part_keeps_the_others_waiting_for_ever(lab: Lab) -> None:
    """A ledger with hours of work gives way to the folders, and goes on in the next round."""
    lab.rows = 10**9
    lab.retention.start(ALL)
    lab.turn(EVERY - 1)
    assert lab.swept["logs"] == []
    lab.turn(3)
    assert (len(lab.swept["logs"]), len(lab.swept["items"])) == (1, 1)
    before = len(lab.pruned)
    lab.turn(2 * EVERY)
    assert len(lab.pruned) > before
    assert len(lab.swept["logs"]) > 1
    lab.stop()


def test_rounds_come_again(lab: Lab) -> None:
    """What becomes old later goes in a later round, counted from its own moment."""
    lab.retention.start(ALL)
    lab.clock.advance(EVERY)
    lab.clock.advance(EVERY)
    assert [before for before, _ in lab.pruned] == [
        START - 90 * DAY + timedelta(seconds=number * EVERY) for number in range(3)
    ]
    lab.stop()


def test_a_new_rule_holds_from_the_next_step(lab: Lab) -> None:
    """Who takes a rule back keeps all that has not gone yet; one that is new holds in the next round."""
    lab.rows = 9 * AT_ONCE
    lab.retention.start(ALL)
    lab.retention.rule = RetentionConfig(logs=DAY)
    lab.clock.advance(PAUSE)
    assert (lab.rows, len(lab.pruned)) == (8 * AT_ONCE, 1)
    assert [before for before, _ in lab.swept["logs"]] == [(lab.now() - DAY).timestamp()]
    lab.retention.rule = ALL
    lab.turn(EVERY)
    assert len(lab.pruned) > 1
    lab.stop()


def test_a_failing_ledger_is_told_of_once_and_tried_again(lab: Lab) -> None:
    """One line for a disk in trouble, one when it is well again; files go meanwhile."""
    lab.failing, lab.rows = LedgerError("the disk is full"), 5
    with hub_log() as events:
        lab.retention.start(ALL)
        lab.clock.advance(EVERY)
        lab.clock.advance(EVERY)
        assert [event["log_level"] for event in events] == [LogLevel.error]
        assert (events[0]["name"], events[0]["trouble"]) == ("runs", "the disk is full")
        assert len(lab.swept["logs"]) == 3
        lab.failing = None
        lab.turn(EVERY + 1)
        assert [event["log_level"] for event in events[1:]] == [LogLevel.info, LogLevel.info]
    assert lab.rows == 0
    lab.stop()


def test_files_that_cannot_be_removed_are_told_of_once(lab: Lab) -> None:
    """The first trouble of a round is told, and the round goes on to its end."""
    stuck = Swept(removed=1, done=False, trouble="a.log: not permitted")
    with hub_log() as events:
        for _ in range(2):
            lab.steps["logs"] += [stuck, Swept(removed=0, done=True)]
        lab.retention.start(ALL)
        lab.turn(EVERY + 1)
    assert len(lab.swept["logs"]) == 4
    assert [event["trouble"] for event in events if "trouble" in event] == ["a.log: not permitted"]
    lab.stop()


def test_an_error_of_its_own_ends_no_more_than_its_round(lab: Lab) -> None:
    """Whatever happens in a round is in the log with its traceback, and the next round comes."""
    lab.failing = RuntimeError("a bug")
    with hub_log() as events:
        lab.retention.start(ALL)
        lab.failing = None
        lab.clock.advance(EVERY)
    assert events[0]["log_failure"].check(RuntimeError)
    assert len(lab.pruned) == 1
    lab.stop()


def test_stop_waits_for_the_step_under_way(lab: Lab) -> None:
    """A thread that removes files is waited for, and no other step begins."""
    step: Deferred[Swept] = Deferred()
    lab.steps["logs"] = [step]
    lab.retention.start(ALL)
    stopped = Deferred.fromCoroutine(lab.retention.stop())
    assert not stopped.called
    step.callback(Swept(removed=1, done=False))
    assert stopped.called
    assert (len(lab.swept["logs"]), lab.swept["items"]) == (1, [])
    assert lab.clock.getDelayedCalls() == []


def test_stop_in_a_pause_and_before_the_start(lab: Lab) -> None:
    """Stopping takes no time between two steps, and is nothing where nothing was started."""
    lab.rows = 9 * AT_ONCE
    done(Lab().retention.stop())
    lab.retention.start(ALL)
    lab.stop()
    assert len(lab.pruned) == 1


def test_a_round_longer_than_its_interval(lab: Lab) -> None:
    """While a round is under way no other begins."""
    step: Deferred[Swept] = Deferred()
    lab.steps["logs"] = [step]
    lab.retention.start(ALL)
    lab.clock.advance(5 * EVERY)
    assert len(lab.pruned) == 1
    step.callback(Swept(removed=0, done=True))
    lab.clock.advance(EVERY)
    assert len(lab.pruned) == 2
    lab.stop()


def test_a_clock_that_leaps_ahead_makes_nothing_old(lab: Lab) -> None:
    """A year that passes at once is not believed, even in the midst of a round; put right, the clock is."""
    lab.rows = 9 * AT_ONCE
    lab.retention.start(ALL)
    lab.leap = timedelta(days=365)
    with hub_log() as events:
        lab.turn(2 * EVERY)
    assert lab.rows == 8 * AT_ONCE
    assert [event["log_level"] for event in events] == [LogLevel.warn, LogLevel.info]
    lab.leap = timedelta()
    lab.turn(EVERY + 10)
    assert lab.rows == 0
    assert max(before for before, _ in lab.pruned) < START
    lab.stop()


def test_a_clock_is_believed_in_the_end() -> None:
    """Small steps are believed at once, a leap after a day without another one."""
    clock, leap = Clock(), [timedelta()]
    watch = ClockWatch(clock, lambda: START + timedelta(seconds=clock.seconds()) + leap[0])
    leap[0] += timedelta(hours=23)
    assert watch.believed()
    leap[0] += timedelta(hours=25)
    assert not watch.believed()
    clock.advance(MAX_JUMP - 1)
    assert not watch.believed()
    clock.advance(1)
    assert watch.believed()
    leap[0] -= timedelta(days=300)
    assert watch.believed()
