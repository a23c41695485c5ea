"""Limits: what the schedule file says, and what an operator has set instead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.errors import InvalidRequest
from reactorhub.policies.limits import Limits, merged

FILE = Limits(4, {"default": 4, "heavy": 2})


@pytest.mark.parametrize(
    ("override", "limit", "queues"),
    [
        (None, 4, {"default": 4, "heavy": 2}),
        ({}, 4, {"default": 4, "heavy": 2}),
        ({"max_concurrent_runs": 2}, 2, {"default": 4, "heavy": 2}),
        ({"max_concurrent_runs": 9}, 9, {"default": 9, "heavy": 2}),
        ({"queues": {"heavy": 1}}, 4, {"default": 4, "heavy": 1}),
        ({"max_concurrent_runs": 9, "queues": {"default": 3}}, 9, {"default": 3, "heavy": 2}),
        ({"queues": {"gone": 7}}, 4, {"default": 4, "heavy": 2}),
    ],
)
def test_an_override_wins_over_the_file(override: Any, limit: int, queues: dict[str, int]) -> None:
    """An operator's limits take the place of the file's; a queue as wide as the hub grows with it."""
    assert FILE.overridden(override) == Limits(limit, queues)


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"max_concurrent_runs": 0}, {"max_concurrent_runs"}),
        ({"max_concurrent_runs": -1}, {"max_concurrent_runs"}),
        ({"max_concurrent_runs": 10_001}, {"max_concurrent_runs"}),
        ({"queues": {"heavy": 10_001}}, {"queues.heavy"}),
        ({"max_concurrent_runs": "4"}, {"max_concurrent_runs"}),
        ({"max_concurrent_runs": 1.0}, {"max_concurrent_runs"}),
        ({"max_concurrent_runs": True}, {"max_concurrent_runs"}),
        ({"queues": 3}, {"queues"}),
        ({"queues": {"heavy": 0, "gone": 1}}, {"queues.heavy", "queues.gone"}),
        ({"slots": 1, "max_concurrent_runs": [], "queues": []}, {"slots", "max_concurrent_runs", "queues"}),
    ],
)
def test_what_makes_no_sense_is_refused_whole(wanted: dict[str, Any], fields: set[str]) -> None:
    """All mistakes of a change are named at once, each under its own name."""
    with pytest.raises(InvalidRequest) as caught:
        FILE.check(wanted)
    assert set(caught.value.fields) == fields


@pytest.mark.parametrize(
    "wanted",
    [{}, {"max_concurrent_runs": 1}, {"queues": {}}, {"max_concurrent_runs": 99, "queues": {"heavy": 99}}],
)
def test_what_makes_sense_is_taken(wanted: dict[str, Any]) -> None:
    """Whole numbers from 1 on, for queues that there are, pass; none of them need be given."""
    FILE.check(wanted)
    assert FILE.overridden(merged(None, wanted)).max_concurrent_runs >= 1


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ({"max_concurrent_runs": None}, {"queues": {"heavy": 1, "gone": 7}}),
        ({"queues": {"heavy": None}}, {"max_concurrent_runs": 2, "queues": {"gone": 7}}),
        ({"queues": {"gone": None, "heavy": 3}}, {"max_concurrent_runs": 2, "queues": {"heavy": 3}}),
        ({"queues": None}, {"max_concurrent_runs": 2, "queues": {}}),
        ({"max_concurrent_runs": None, "queues": None}, {}),
    ],
)
def test_null_takes_back_what_was_set(wanted: dict[str, Any], left: dict[str, Any]) -> None:
    """What an operator takes back is the file's again, even for a queue that has gone."""
    FILE.check(wanted)
    override = {"max_concurrent_runs": 2, "queues": {"heavy": 1, "gone": 7}}
    assert merged(override, wanted) == left
    assert merged(None, wanted) in ({}, {"queues": {"heavy": 3}})


numbers = st.integers(1, 99)
changes = st.fixed_dictionaries(
    {},
    optional={
        "max_concurrent_runs": numbers,
        "queues": st.dictionaries(st.sampled_from(["default", "heavy"]), numbers),
    },
)


@given(st.lists(changes, max_size=6))
def test_changes_add_up(wanted: list[dict[str, Any]]) -> None:
    """Of several changes the last word on each limit holds, and what nobody mentioned stays as it was."""
    override: dict[str, Any] = {}
    for each in wanted:
        override = merged(override, each)
    now = FILE.overridden(override)
    for name in FILE.queues:
        said = [each["queues"][name] for each in wanted if name in each.get("queues", {})]
        assert not said or now.queues[name] == said[-1]
    said = [each["max_concurrent_runs"] for each in wanted if "max_concurrent_runs" in each]
    assert now.max_concurrent_runs == (said[-1] if said else 4)
