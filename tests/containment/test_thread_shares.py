"""Each run has its share of a pool, and what it wants beyond that waits in its own line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.containment.contexts import RunContext
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.thread_shares import ThreadShares

LIMIT = 2


class Pool:
    """A pool that works on order."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.stopped = False

    def take(self, call: Callable[[], Any]) -> None:
        if self.stopped:
            raise RuntimeError("no more work")
        self.calls.append(call)


def run(name: str) -> RunContext:
    """A run that hands over calls."""
    return RunContext(name, MemoryRunLog())


@given(st.lists(st.sampled_from(["a", "b", None, "work"]), max_size=40))
def test_shares(steps: list[str | None]) -> None:
    """However calls come and end, no run exceeds its share, and each call is done once, in order."""
    shares, pool, said = ThreadShares(LIMIT), Pool(), list[tuple[str | None, int]]()
    runs = {name: run(name) for name in ("a", "b")}
    wanted: list[tuple[str | None, int]] = []
    for number, step in enumerate(steps):
        if step == "work":
            if pool.calls:
                pool.calls.pop(0)()
            continue
        wanted.append((step, number))

        def call(step: str | None = step, number: int = number) -> None:
            said.append((step, number))

        if step is None:
            shares.hand_over(pool.take, call)
        else:
            runs[step].enter(shares.hand_over, pool.take, call)
        own = sum(each[0] is not None for each in wanted) - sum(each[0] is not None for each in said)
        assert shares.waiting() >= own - LIMIT * len(runs)
    while pool.calls:
        pool.calls.pop(0)()
    assert sorted(said, key=str) == sorted(wanted, key=str)
    for name in ("a", "b"):
        assert [each for each in said if each[0] == name] == [each for each in wanted if each[0] == name]
    assert shares.waiting() == 0


def test_a_run_that_has_its_share() -> None:
    """Its further calls do not reach the pool; those of others, and of nobody, do."""
    shares, pool, busy, other = ThreadShares(LIMIT), Pool(), run("busy"), run("other")
    for _ in range(5):
        busy.enter(shares.hand_over, pool.take, print)
    assert (len(pool.calls), shares.waiting()) == (LIMIT, 3)
    other.enter(shares.hand_over, pool.take, print)
    shares.hand_over(pool.take, print)
    assert len(pool.calls) == LIMIT + 2


def test_a_call_that_raises_gives_its_place_back() -> None:
    """The exception belongs to the pool, and the next call follows."""
    shares, pool, busy = ThreadShares(1), Pool(), run("busy")

    def fail() -> None:
        raise ValueError("no")

    busy.enter(shares.hand_over, pool.take, fail)
    busy.enter(shares.hand_over, pool.take, lambda: 7)
    with pytest.raises(ValueError, match="no"):
        pool.calls.pop(0)()
    assert pool.calls.pop(0)() == 7


def test_a_pool_that_has_stopped() -> None:
    """What it does not take is told to whoever asks, and nothing waits for it."""
    shares, pool, busy = ThreadShares(1), Pool(), run("busy")
    pool.stopped = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no more work"):
            busy.enter(shares.hand_over, pool.take, print)
    assert shares.waiting() == 0
