"""Slots: limits, lanes, priority, resizing, and that none is ever lost."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from reactorhub.runs.slots import Slots


def granted(clock, slots, *orders):
    """Acquire once for each (queue, priority), let the clock grant, return the names in grant order."""
    order = []
    for name, queue, priority in orders:
        slots.acquire(queue, priority).addCallback(lambda _, name=name: order.append(name))
    settle(clock)
    return order


def settle(clock):
    for _ in range(5000):
        if not clock.getDelayedCalls():
            return
        clock.advance(0)
    raise AssertionError("the pool never came to rest")


def test_grants_up_to_the_limit_in_order_of_arrival():
    """Among equals, who came first goes first, and no more than the limit hold a slot."""
    clock = Clock()
    slots = Slots(clock, 2)
    assert granted(clock, slots, ("a", "default", 0), ("b", "default", 0), ("c", "default", 0)) == ["a", "b"]
    assert (slots.tokens, slots.used, len(slots.waiting)) == (0, 2, 1)


def test_higher_priority_goes_first():
    """A later waiter with a higher priority overtakes the earlier ones."""
    clock = Clock()
    slots = Slots(clock, 1)
    order = granted(clock, slots, ("low", "default", -1), ("mid", "default", 0), ("high", "default", 9))
    for _ in range(2):
        slots.release()
        settle(clock)
    assert order == ["high", "mid", "low"]


def test_nothing_is_granted_while_held():
    """Who asks while the pool is held waits in line, also when slots come back, until it is held no more."""
    clock = Clock()
    slots = Slots(clock, 2)
    order = granted(clock, slots, ("a", "default", 0))
    slots.acquire().addCallback(lambda _: order.append("b"))
    slots.hold(True)
    settle(clock)
    slots.release()
    slots.acquire("default", 9).addCallback(lambda _: order.append("c"))
    settle(clock)
    assert order == ["a"]
    slots.hold(False)
    settle(clock)
    assert order == ["a", "c", "b"] and slots.used == 2


def test_a_full_queue_does_not_hold_up_the_others():
    """Waiters of a queue at its own limit are passed over."""
    clock = Clock()
    slots = Slots(clock, 3, {"heavy": 1})
    order = granted(clock, slots, ("h1", "heavy", 5), ("h2", "heavy", 5), ("d1", "default", 0))
    assert order == ["h1", "d1"]
    slots.release("heavy")
    settle(clock)
    assert order == ["h1", "d1", "h2"]


class OverlapBuffer(Clock):
    """A clock on which each turn makes only those calls that were there when it began, as a reactor does."""

    def turn(self):
        calls, self.calls = self.calls, []
        for call in calls:
            call.called = 1
            call.func(*call.args, **call.kw)


def test_one_grant_a_turn():
    """Grants never come in the call that asked, and only one comes in each turn of the reactor."""
    clock = OverlapBuffer()
    slots = Slots(clock, 10)
    fired = [slots.acquire() for _ in range(3)]
    seen = [sum(each.called for each in fired)]
    for _ in range(3):
        clock.turn()
        seen.append(sum(each.called for each in fired))
    assert seen == [0, 1, 2, 3]


def test_resize_wakes_waiters_and_lowering_drains():
    """A raised limit grants at once; a lowered one takes effect as slots come back."""
    clock = Clock()
    slots = Slots(clock, 1)
    order = granted(clock, slots, *((str(n), "default", 0) for n in range(6)))
    slots.resize(3)
    settle(clock)
    assert order == ["0", "1", "2"]
    slots.resize(1)
    slots.release()
    slots.release()
    settle(clock)
    assert (order, slots.tokens) == (["0", "1", "2"], 0)
    slots.release()
    settle(clock)
    assert order == ["0", "1", "2", "3"]


def test_cancelling_a_waiter_gives_up_its_place():
    """A cancelled acquire leaves the line and costs no slot."""
    clock = Clock()
    slots = Slots(clock, 1)
    first, second, third = (slots.acquire() for _ in range(3))
    settle(clock)
    second.addErrback(lambda failure: failure.trap(CancelledError))
    second.cancel()
    slots.release()
    settle(clock)
    assert (first.called, third.called, slots.used, slots.waiting) == (True, True, 1, [])


def test_a_release_too_many_is_refused():
    """Releasing what nobody holds is an error, not a slot out of nothing."""
    with pytest.raises(ValueError, match="no slot of queue 'default' is held"):
        Slots(Clock(), 1).release()


def test_two_thousand_that_release_at_once_do_not_recurse():
    """Waiters whose work ends within the grant all get their turn, and the pool is full again."""
    clock = Clock()
    slots = Slots(clock, 2)
    done = []
    for number in range(2000):
        slots.acquire().addCallback(lambda _, number=number: (done.append(number), slots.release()))
    settle(clock)
    assert (done, slots.tokens, slots.used) == (list(range(2000)), 2, 0)


class Pool(RuleBasedStateMachine):
    """Whatever is asked in whatever order: held + free == limit, and no queue is over its own limit."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.slots = Slots(self.clock, 3, {"heavy": 2})
        self.held, self.pending = [], []

    @rule(queue=st.sampled_from(["default", "heavy"]), priority=st.integers(-2, 2))
    def acquire(self, queue, priority):
        waiter = self.slots.acquire(queue, priority)
        waiter.addCallback(lambda _: (self.pending.remove(waiter), self.held.append(queue)))
        waiter.addErrback(lambda failure: failure.trap(CancelledError))
        self.pending.append(waiter)

    @rule()
    def turn(self):
        self.clock.advance(0)

    @rule(data=st.data())
    def release(self, data):
        if self.held:
            queue = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            self.slots.release(queue)

    @rule(data=st.data())
    def cancel(self, data):
        if self.pending:
            self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1))).cancel()

    @rule(limit=st.integers(1, 6), heavy=st.integers(1, 3))
    def resize(self, limit, heavy):
        self.slots.resize(limit, {"heavy": heavy})

    @invariant()
    def nothing_is_lost(self):
        assert self.slots.used + self.slots.tokens == self.slots.limit
        assert self.slots.used == len(self.held)
        assert len(self.slots.waiting) == len(self.pending)

    def teardown(self):
        settle(self.clock)
        while self.held:
            self.slots.release(self.held.pop())
            settle(self.clock)
        assert self.slots.tokens == self.slots.limit
        assert self.pending == []


TestPool = Pool.TestCase
