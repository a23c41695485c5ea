"""Whose turn it is among the runs of a schedule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from reactorhub.runs.buffer import OverlapBuffer


def test_one_after_the_other() -> None:
    """With room for one, each waits until the one before has left, in the order in which they came."""
    buffer = OverlapBuffer()
    waits = [buffer.wait("hourly", name, 1) for name in "abc"]
    assert [wait.called for wait in waits] == [True, False, False]
    buffer.leave("hourly", "a")
    assert [wait.called for wait in waits] == [True, True, False]
    buffer.leave("hourly", "b")
    assert waits[2].called


def test_schedules_do_not_wait_for_each_other() -> None:
    """Each schedule has a line of its own."""
    buffer = OverlapBuffer()
    assert buffer.wait("hourly", "a", 1).called and buffer.wait("daily", "b", 1).called


def test_those_who_wait_for_nobody_are_waited_for() -> None:
    """A run that enters goes on at once, and counts."""
    buffer = OverlapBuffer()
    buffer.enter("hourly", "a")
    buffer.enter("hourly", "b")
    wait = buffer.wait("hourly", "c", 2)
    assert not wait.called
    buffer.leave("hourly", "a")
    assert wait.called


def test_leaving_while_waiting() -> None:
    """A run that leaves the line holds nobody up, and its turn never comes."""
    buffer = OverlapBuffer()
    first, second, third = (buffer.wait("hourly", name, 1) for name in "abc")
    buffer.leave("hourly", "b")
    buffer.leave("hourly", "a")
    assert (first.called, second.called, third.called) == (True, False, True)


def test_a_cancelled_wait() -> None:
    """A wait that was cancelled holds nobody up once its run has left."""
    buffer = OverlapBuffer()
    buffer.enter("hourly", "a")
    cancelled, last = buffer.wait("hourly", "b", 1), buffer.wait("hourly", "c", 1)
    failures: list[object] = []
    cancelled.addErrback(lambda failure: failures.append(failure.check(CancelledError)))
    cancelled.cancel()
    buffer.leave("hourly", "a")
    buffer.leave("hourly", "b")
    assert failures == [CancelledError] and last.called


@given(st.integers(1, 3), st.lists(st.integers(0, 9), max_size=40))
def test_never_more_than_so_many_at_once(limit: int, moves: list[int]) -> None:
    """Whatever comes and leaves, at most so many go on, and nobody waits while there is room."""
    buffer = OverlapBuffer()
    waits: dict[str, Deferred[None]] = {}
    for number, move in enumerate(moves):
        if move < 6 or not waits:
            waits[str(number)] = buffer.wait("hourly", str(number), limit)
        else:
            gone = list(waits)[move % len(waits)]
            del waits[gone]
            buffer.leave("hourly", gone)
        going = [wait.called for wait in waits.values()]
        assert going == sorted(going, reverse=True)
        assert sum(going) == min(limit, len(waits))
