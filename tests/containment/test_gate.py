"""Runs have the reactor in short turns, and the loop looks at the network in between."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

import pytest

from reactorhub.containment.contexts import RunContext
from reactorhub.containment.fair_order import FREE, TURN
from reactorhub.containment.gate import MAX_LOOKS, FairGate
from reactorhub.containment.loop import contain_loop
from reactorhub.containment.memory_log import MemoryRunLog

FULL = 1 / 64  # seconds of a callback that uses up a turn; a clock adds them up without rounding


class Stage:
    """A contained loop on a clock that only the callbacks of runs move."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.said: list[str] = []
        self.runs = {name: RunContext(name, MemoryRunLog()) for name in "abc"}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.loop.close)
            self.undo = contain_loop(self.loop, lambda: self.now)
            stack.callback(self.undo)
            self._end = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.close()

    def work(self, name: str, count: int, seconds: float = FULL) -> None:
        """Let a run have so many callbacks, each of which takes so long."""
        for _ in range(count):
            self.runs[name].enter(self.loop.call_soon, self._spend, name, seconds)

    def _spend(self, name: str, seconds: float) -> None:
        self.now += seconds
        self.said.append(name)

    def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until a condition holds."""
        for _ in range(1000):
            if condition():
                return
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        raise AssertionError(f"it never came to hold: {self.said}")

    def order(self, count: int) -> str:
        """The names of so many callbacks, in the order in which they ran."""
        self.until(lambda: len(self.said) >= count)
        return "".join(self.said)


def test_runs_take_turns() -> None:
    """Callbacks that were ready together run in turns, each run's in their own order."""
    with Stage() as stage:
        for name in "abc":
            stage.work(name, 3)
        assert stage.order(9) == "aabcabcbc"


def test_the_hub_comes_to_an_end_before_the_next_turn() -> None:
    """A request takes several callbacks, one after the other: no turn comes between two of them."""
    with Stage() as stage:
        stage.work("a", 4)

        def step(left: int) -> None:
            stage.said.append("h")
            if left:
                stage.loop.call_soon(step, left - 1)

        stage.loop.call_soon(step, 5)
        assert stage.order(10) == "a" + "hhhhhh" + "aaa"


def test_a_hub_that_never_rests_starves_no_run() -> None:
    """Runs have their turns although the hub has something to do after each look at the network."""
    with Stage() as stage:
        stage.work("a", 4)

        def step() -> None:
            stage.said.append("h")
            stage.loop.call_soon(step)

        stage.loop.call_soon(step)
        stage.until(lambda: stage.said.count("a") == 4)
        assert stage.said.count("h") <= 4 * (MAX_LOOKS + 3)


def test_a_turn_has_many_short_callbacks() -> None:
    """A turn ends when its time is used up, not after one callback."""
    with Stage() as stage:
        stage.work("a", 12, FULL / 8)
        stage.work("b", 6, FULL / 8)
        assert stage.order(18) == "aaaaaa" + "aabb" * 3


def test_what_takes_little_time_waits_for_nothing() -> None:
    """Below four turns between two looks at the network, everything runs as it comes."""
    with Stage() as stage:
        for name in "abcabcabc":
            stage.work(name, 1, TURN / 20)
        stage.loop.call_soon(stage.loop.stop)
        stage.loop.run_forever()
        assert "".join(stage.said) == "abcabcabc"


def test_the_hub_does_not_wait() -> None:
    """Callbacks of the hub run in each turn of the loop, however many callbacks of runs wait."""
    with Stage() as stage:
        stage.work("a", 5)
        stage.work("b", 5)
        beats: list[int] = []

        def beat() -> None:
            beats.append(len(stage.said))
            if len(stage.said) < 10:
                stage.loop.call_soon(beat)

        stage.loop.call_soon(beat)
        stage.until(lambda: beats and beats[-1] == 10)
        assert set(range(1, 11)) <= set(beats), "it ran between any two callbacks"


def test_the_network_is_looked_at_between_turns() -> None:
    """A socket of the hub's is read before the second of two turns."""
    with Stage() as stage:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        read: list[int] = []
        stage.loop.add_reader(ours, lambda: (ours.recv(9), read.append(len(stage.said))))
        stage.work("a", 4)
        theirs.send(b"hello")
        stage.order(4)
        assert read == [1]
        stage.loop.remove_reader(ours)
        ours.close()
        theirs.close()


def test_a_socket_of_a_run_is_read_once() -> None:
    """The loop hands in the handle of a readable socket in each turn; it runs once for what is there."""
    with Stage() as stage:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)

        def read() -> None:
            stage.said.append(ours.recv(9).decode())

        stage.runs["b"].enter(stage.loop.add_reader, ours, read)
        stage.work("a", 3)
        theirs.send(b"hello")
        stage.until(lambda: "hello" in stage.said and stage.said.count("a") == 3)
        assert stage.said.count("hello") == 1
        stage.loop.remove_reader(ours)
        ours.close()
        theirs.close()


def test_what_is_cancelled_while_it_waits_does_not_run() -> None:
    """A handle that is cancelled in the queue of its run is dropped."""
    with Stage() as stage:
        stage.work("a", 2)
        late = stage.runs["b"].enter(stage.loop.call_soon, stage.said.append, "late")
        stage.work("b", 1)
        stage.loop.call_soon(late.cancel)
        stage.order(3)
        assert "late" not in stage.said


def test_a_cancelled_task_ends_while_its_run_waits() -> None:
    """Cancelling a task needs a turn of its run, and gets one although others always want one."""
    with Stage() as stage:

        async def wait() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                stage.said.append("cancelled")

        task = stage.runs["b"].enter(stage.loop.create_task, wait())
        stage.loop.call_soon(stage.loop.stop)
        stage.loop.run_forever()

        def again() -> None:
            stage.work("a", 1)
            if not task.done():
                stage.runs["a"].enter(stage.loop.call_soon, again)

        stage.work("a", 3)
        again()
        task.cancel()
        stage.until(task.done)
        assert stage.said.count("a") < 5
        assert "cancelled" in stage.said


def test_a_run_that_is_over_does_not_wait() -> None:
    """What a run that is over has left runs at once, in its order; nothing stays in the gate."""
    with Stage() as stage:
        stage.work("a", 3)
        stage.work("b", 2)
        stage.loop.call_soon(stage.loop.stop)
        stage.loop.run_forever()
        stage.runs["b"].over = True
        stage.work("b", 1)
        stage.work("c", 1)
        stage.order(7)
        assert stage.said.count("b") == 3
        stage.until(lambda: True)
        assert stage.order(7).index("b") < 7


def test_an_exception_does_not_end_the_turns() -> None:
    """A callback that raises is reported; the others have their turns."""
    with Stage() as stage:

        def fail() -> None:
            stage.now += FULL
            raise SystemExit(3)

        stage.work("a", 2)
        stage.runs["b"].enter(stage.loop.call_soon, fail)
        stage.work("b", 2)
        assert sorted(stage.order(4)) == list("aabb")


def test_another_loop_is_left_alone() -> None:
    """A loop that a spider runs in a thread of its own has nothing to do with the gate."""
    with Stage() as stage:
        stage.work("a", 2)
        other = asyncio.new_event_loop()
        stage.runs["a"].enter(other.call_soon, stage.said.append, "other")
        other.call_soon(other.stop)
        other.run_forever()
        other.close()
        assert stage.said == ["other"]


def test_undoing_loses_nothing() -> None:
    """What waits when the gate is taken away runs as the loop would have run it."""
    with Stage() as stage:
        stage.work("a", 3)
        stage.work("b", 3)
        stage.loop.call_soon(stage.loop.stop)
        stage.loop.run_forever()
        assert len(stage.said) < 6
        stage.undo()
        assert sorted(stage.order(6)) == list("aaabbb")


class Handle:
    """A handle's double. It notes that it ran, or raises."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._run = note

    def cancelled(self) -> bool:
        """Return False."""
        return False


def test_an_interrupt_within_a_turn_leaves_the_gate_working() -> None:
    """If a signal handler raises in the middle of a turn, the next turn is called for nevertheless."""
    calls: list[Callable[[], None]] = []
    now = [0.0]
    gate = FairGate(calls.append, lambda: now[0])
    run, ran = RunContext("a", MemoryRunLog()), []

    def interrupted() -> None:
        raise KeyboardInterrupt

    handles: list[Any] = [Handle(interrupted), Handle(lambda: ran.append(1))]
    gate.spent = FREE
    gate.count()
    for handle in handles:
        assert gate.keeps(run, handle)
    with pytest.raises(KeyboardInterrupt):
        calls.pop(0)()
    while calls:
        calls.pop(0)()
    assert ran == [1]
    assert gate.open
