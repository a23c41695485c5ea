"""Whose turn it is among the runs of a schedule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from reactorhub.runs.buffer import Turns


def test_one_after_the_other() -> None:
    """With room for one, each waits until the one before has left, in the order in which they came."""
    turns = Turns()
    waits = [turns.wait("hourly", name, 1) for name in "abc"]
    assert [wait.called for wait in waits] == [True, False, False]
    turns.leave("hourly", "a")
    assert [wait.called for wait in waits] == [True, True, False]
    turns.leave("hourly", "b")
    assert waits[2].called


def test_schedules_do_not_wait_for_each_other() -> None:
    """Each schedule has a line of its own."""
    turns = Turns()
    assert turns.wait("hourly", "a", 1).called and turns.wait("daily", "b", 1).called


def test_those_who_wait_for_nobody_are_waited_for() -> None:
    """A run that enters goes on at once, and counts."""
    turns = Turns()
    turns.enter("hourly", "a")
    turns.enter("hourly", "b")
    wait = turns.wait("hourly", "c", 2)
    assert not wait.called
    turns.leave("hourly", "a")
    assert wait.called


def test_leaving_while_waiting() -> None:
    """A run that leaves the line holds nobody up, and its turn never comes."""
    turns = Turns()
    first, second, third = (turns.wait("hourly", name, 1) for name in "abc")
    turns.leave("hourly", "b")
    turns.leave("hourly", "a")
    assert (first.called, second.called, third.called) == (True, False, True)


def test_a_cancelled_wait() -> None:
    """A wait that was cancelled holds nobody up once its run has left."""
    turns = Turns()
    turns.enter("hourly", "a")
    cancelled, last = turns.wait("hourly", "b", 1), turns.wait("hourly", "c", 1)
    failures: list[object] = []
    cancelled.addErrback(lambda failure: failures.append(failure.check(CancelledError)))
    cancelled.cancel()
    turns.leave("hourly", "a")
    turns.leave("hourly", "b")
    assert failures == [CancelledError] and last.called


@given(st.integers(1, 3), st.lists(st.integers(0, 9), max_size=40))
def test_never_more_than_so_many_at_once(most: int, moves: list[int]) -> None:
    """Whatever comes and leaves, at most so many go on, and nobody waits while there is room."""
    turns = Turns()
    waits: dict[str, Deferred[None]] = {}
    for number, move in enumerate(moves):
        if move < 6 or not waits:
            waits[str(number)] = turns.wait("hourly", str(number), most)
        else:
            gone = list(waits)[move % len(waits)]
            del waits[gone]
            turns.leave("hourly", gone)
        going = [wait.called for wait in waits.values()]
        assert going == sorted(going, reverse=True)
        assert sum(going) == min(most, len(waits))
