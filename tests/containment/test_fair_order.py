"""Whose turn it is: runs that always wait share alike, and one that seldom waits comes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.containment.fair_order import CREDIT, TURN, FairOrder

SLOW = 10 * TURN  # the longest single callback in these tests

costs = st.floats(0.0001, SLOW)


def order(*names: str) -> FairOrder[str]:
    """An order that these runs have joined, in this order."""
    found: FairOrder[str] = FairOrder()
    for name in names:
        found = found.joined(name)
    return found


def turns(found: FairOrder[str], count: int, seconds: float = TURN) -> tuple[str, FairOrder[str]]:
    """So many turns of equal length, as the first letters of who had them, and the order afterwards."""
    said = ""
    for _ in range(count):
        who = found.next()
        said += who
        found = served(found, who, seconds)
    return said, found


def served(found: FairOrder[str], who: str, seconds: float) -> FairOrder[str]:
    """The order after a turn of a run that then wants more."""
    return found.begun(who).joined(who, found.had[who] + seconds)


@pytest.mark.parametrize(
    ("names", "expected"),
    [("a", "aaaaaa"), ("ab", "ababab"), ("abc", "abcabc"), ("cab", "cabcab")],
)
def test_equals_take_turns_in_the_order_of_their_coming(names: str, expected: str) -> None:
    """Runs that want as much as each other go round and round."""
    assert turns(order(*names), 6)[0] == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (TURN, "abababab"),
        (3 * TURN, "abbbabbb"),
        (7 * TURN, "abbbbbbb"),
    ],
)
def test_a_long_callback_is_made_up_for(seconds: float, expected: str) -> None:
    """A run whose callbacks take longer than a turn waits until the others have had as much."""
    found, said = order("a", "b"), ""
    for _ in expected:
        who = found.next()
        said += who
        found = served(found, who, seconds if who == "a" else TURN)
    assert said == expected


def test_a_newcomer_comes_first_and_catches_up_a_little() -> None:
    """A run that did not want the reactor so far has the next turns, until its credit is used up."""
    _, busy = turns(order("a", "b"), 100)
    said, _ = turns(busy.joined("c"), 12)
    assert said.startswith("c" * round(CREDIT / TURN))
    assert set(said[6:]) == set("abc")


def test_a_run_that_comes_back_keeps_what_it_had() -> None:
    """Leaving the order and joining it again gives no run more than staying in it."""
    _, found = turns(order("a", "b"), 4)
    had = found.had["a"]
    assert found.begun("a").joined("a", had).had["a"] == had


def test_idle_hours_are_not_saved_up() -> None:
    """However long a run did not want the reactor, it catches up no more than its credit."""
    _, found = turns(order("a", "b"), 10_000)
    assert found.joined("c", had=0.0).had["c"] == found.level - CREDIT


def test_who_is_behind() -> None:
    """A run that catches up is behind those that always wait, until it has had as much."""
    _, busy = turns(order("a", "b"), 100)
    found = busy.joined("c")
    assert [found.is_behind(who) for who in "abc"] == [False, False, True]
    assert not served(found, "c", CREDIT).is_behind("c")


def test_nobody_waits() -> None:
    """There is no next turn when nobody waits."""
    with pytest.raises(ValueError, match="empty"):
        order("a").begun("a").next()


@given(st.integers(2, 6), st.lists(costs, min_size=1, max_size=60))
def test_nobody_is_far_behind(count: int, spent: list[float]) -> None:
    """However long single turns take, no two waiting runs are further apart than the longest of them."""
    found = order(*"abcdef"[:count])
    for seconds in spent:
        found = served(found, found.next(), seconds)
        assert max(found.had.values()) - min(found.had.values()) <= max(spent) + 1e-9


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), costs), max_size=80))
def test_who_waits_has_a_turn_soon(steps: list[tuple[str, bool, float]]) -> None:
    """Whoever comes and goes: a waiting run sees the others take at most their credit and one turn each."""
    found, had = order("me"), dict.fromkeys("abcd", -CREDIT)
    since = dict.fromkeys("abcd", 0.0)
    for who, leaves, seconds in steps:
        if who in found.had and leaves:
            had[who], found = found.had[who], found.begun(who)
        elif who not in found.had:
            found = found.joined(who, had[who])
        if found.next() == "me":
            since = dict.fromkeys("abcd", 0.0)
            found = served(found, "me", TURN)
            continue
        other = found.next()
        since[other] += seconds
        found = served(found, other, seconds)
        had[other] = found.had[other]
        assert since[other] <= 2 * CREDIT + TURN + 2 * SLOW


@given(st.lists(st.tuples(st.sampled_from("abc"), costs), max_size=50))
def test_the_level_never_falls(steps: list[tuple[str, float]]) -> None:
    """The level that newcomers are measured by only rises."""
    found = order("a", "b", "c")
    for who, seconds in steps:
        later = served(found.begun(who).joined(who, found.had[who]), found.next(), seconds)
        assert later.level >= found.level
        found = later
