"""Limits that override the file: an order by API or a word of Redis, whoever spoke last."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.policies.limit_overrides import LimitOverrides, SetLimit, read_overrides
from reactorhub.policies.limits import Limits

FILE = Limits(4, {"default": 4, "heavy": 2})
MOST, HEAVY = "max_concurrent_runs", "queues.heavy"


def after(*steps: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """The limits after some steps, each an order (``api``), a hash in Redis (``redis``) or its loss."""
    overrides = LimitOverrides()
    for number, step in enumerate(steps):
        overrides = read_overrides(json.loads(json.dumps(overrides.stored())))
        if "api" in step:
            overrides = overrides.ordered(step["api"], str(number))
        else:
            words = step.get("redis", {})
            overrides, _ = overrides.heard(words, FILE, str(number), data_lost="lost" in step)
    return {name: (limit.value, limit.source) for name, limit in overrides.limits.items()}


def api(**wanted: Any) -> dict[str, Any]:
    """An order by API."""
    return {"api": wanted}


def redis(most: str | None = None, heavy: str | None = None, **more: Any) -> dict[str, Any]:
    """The whole hash in Redis."""
    words = {MOST: most, HEAVY: heavy}
    return {"redis": {name: word for name, word in words.items() if word is not None}, **more}


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([redis("3")], {MOST: (3, "redis")}),
        ([redis("3"), redis("3"), redis("5", "1")], {MOST: (5, "redis"), HEAVY: (1, "redis")}),
        ([redis("3"), api(max_concurrent_runs=7)], {MOST: (7, "api")}),
        ([redis("3"), api(max_concurrent_runs=7), redis("3")], {MOST: (7, "api")}),
        ([redis("3"), api(max_concurrent_runs=7), redis("2")], {MOST: (2, "redis")}),
        ([api(max_concurrent_runs=7), redis("3"), redis()], {}),
        ([redis("3"), api(max_concurrent_runs=7), redis()], {MOST: (7, "api")}),
        ([redis("3"), redis(lost=True)], {MOST: (3, "redis")}),
        ([redis("3"), redis(lost=True), redis()], {MOST: (3, "redis")}),
        ([redis("3"), redis(lost=True), redis(), redis("3")], {MOST: (3, "redis")}),
        ([redis("3"), redis("many")], {MOST: (3, "redis")}),
        ([redis("3"), redis("many"), redis()], {}),
        ([redis("3"), api(max_concurrent_runs=7), redis("many"), redis("3")], {MOST: (3, "redis")}),
        ([redis("3"), api(max_concurrent_runs=None), redis("3")], {}),
        ([redis("3", "1"), api(queues=None)], {MOST: (3, "redis")}),
        ([redis("3", "1"), api(queues={"heavy": None})], {MOST: (3, "redis")}),
        ([api(queues={"heavy": 1}), redis("3")], {MOST: (3, "redis"), HEAVY: (1, "api")}),
    ],
)
def test_who_spoke_last_wins(steps: list[Any], left: dict[str, tuple[int, str]]) -> None:
    """A new word of Redis or an order holds until the next; a restart between any two steps is no word."""
    assert after(*steps) == left


def test_what_makes_no_sense_is_named() -> None:
    """Words that are ignored come back with the reason, as long as they are there."""
    words = {MOST: "4", HEAVY: "all", "slots": "1"}
    overrides, ignored = LimitOverrides().heard(words, FILE, "now", data_lost=False)
    assert [(each.field, each.value) for each in ignored] == [(HEAVY, "all"), ("slots", "1")]
    assert overrides.heard(words, FILE, "later", data_lost=False) == (overrides, ignored)


def test_a_queue_that_the_file_gets_later() -> None:
    """The limit of an unknown queue holds as soon as there is the queue."""
    words = {"queues.fast": "3"}
    overrides, ignored = LimitOverrides().heard(words, FILE, "1", data_lost=False)
    assert (overrides.limits, len(ignored)) == ({}, 1)
    overrides, ignored = overrides.heard(words, Limits(4, {"fast": 4}), "2", data_lost=False)
    assert (overrides.limits, ignored) == ({"queues.fast": SetLimit(3, "redis", "2")}, [])


def test_numbers_of_older_hubs() -> None:
    """What a hub before kept, numbers alone, is read as set by an order."""
    overrides = read_overrides({"max_concurrent_runs": 2, "queues": {"heavy": 1}})
    assert overrides.view() == {
        "max_concurrent_runs": {"value": 2, "from": "api", "since": None},
        "queues": {"heavy": {"value": 1, "from": "api", "since": None}},
    }


def test_nothing_is_kept_of_nothing() -> None:
    """Without overrides and words there is nothing in the ledger and nothing in the view."""
    assert (LimitOverrides().stored(), LimitOverrides().view(), read_overrides(None)) == (
        None,
        {},
        LimitOverrides(),
    )


numbers = st.integers(1, 99)
values = st.none() | numbers
orders = st.fixed_dictionaries(
    {},
    optional={
        MOST: values,
        "queues": st.none() | st.dictionaries(st.sampled_from(["default", "heavy"]), values),
    },
).map(lambda wanted: {"api": wanted})
hashes = st.fixed_dictionaries(
    {}, optional={MOST: numbers.map(str) | st.just("many"), HEAVY: numbers.map(str)}
).map(lambda words: {"redis": words})


@given(st.lists(orders | hashes, max_size=8))
def test_the_last_word_on_each_limit_holds(steps: list[dict[str, Any]]) -> None:
    """For each limit the newest order or the newest changed word decides, or the file after a taking back."""
    said: dict[str, tuple[int, str] | None] = {}
    before: dict[str, str] = {}
    for step in steps:
        if "api" in step:
            wanted = step["api"]
            if wanted.get("queues", {}) is None:
                said["queues.default"] = said[HEAVY] = None
            for name, value in (wanted.get("queues") or {}).items():
                said[f"queues.{name}"] = value and (value, "api")
            if MOST in wanted:
                said[MOST] = wanted[MOST] and (wanted[MOST], "api")
            continue
        for name in (MOST, HEAVY):
            word = step["redis"].get(name)
            if word is None:
                if name in before and (said.get(name) or (0, ""))[1] == "redis":
                    said[name] = None
            elif word != before.get(name) and word != "many":
                said[name] = (int(word), "redis")
        before = step["redis"]
    assert after(*steps) == {name: limit for name, limit in said.items() if limit is not None}


@given(st.lists(orders | hashes, max_size=6))
def test_what_is_stored_reads_the_same(steps: list[dict[str, Any]]) -> None:
    """The ledger gives back what it was given, and the limits in force make sense."""
    overrides = LimitOverrides()
    for step in steps:
        if "api" in step:
            overrides = overrides.ordered(step["api"], "now")
        else:
            overrides, _ = overrides.heard(step["redis"], FILE, "now", data_lost=False)
        assert read_overrides(json.loads(json.dumps(overrides.stored()))) == overrides
        assert FILE.overridden(overrides.values).max_concurrent_runs >= 1
