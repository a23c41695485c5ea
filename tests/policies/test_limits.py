"""Limits: what the schedule file says, and what an operator has set instead."""

from __future__ import annotations

from typing import Any

import pytest

from reactorhub.errors import InvalidRequest
from reactorhub.policies.limits import Limits

FILE = Limits(4, {"default": 4, "heavy": 2})


@pytest.mark.parametrize(
    ("chosen", "limit", "queues"),
    [
        ({}, 4, {"default": 4, "heavy": 2}),
        ({"max_concurrent_runs": 2}, 2, {"default": 4, "heavy": 2}),
        ({"max_concurrent_runs": 9}, 9, {"default": 9, "heavy": 2}),
        ({"queues.heavy": 1}, 4, {"default": 4, "heavy": 1}),
        ({"max_concurrent_runs": 9, "queues.default": 3}, 9, {"default": 3, "heavy": 2}),
        ({"queues.gone": 7}, 4, {"default": 4, "heavy": 2}),
    ],
)
def test_an_override_wins_over_the_file(chosen: Any, limit: int, queues: dict[str, int]) -> None:
    """Limits that were set take the place of the file's; a queue as wide as the hub grows with it."""
    assert FILE.overridden(chosen) == Limits(limit, queues)


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


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [("max_concurrent_runs", "4", 4), ("queues.heavy", " 10000\n", 10_000), ("queues.heavy", "007", 7)],
)
def test_a_limit_given_as_text(name: str, text: str, limit: int) -> None:
    """Digits are read as a whole number, with spaces at their ends."""
    assert FILE.read(name, text) == limit


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        *(
            ("max_concurrent_runs", text, "whole number")
            for text in ("", "0", "-1", "4.0", "many", "1" * 999, "٣")
        ),
        ("queues.heavy", "10001", "whole number"),
        ("queues.gone", "1", "no queue 'gone'; there are: default, heavy"),
        ("queues.", "1", "no queue"),
        ("heavy", "1", "no such limit; there are: max_concurrent_runs and queues.NAME"),
    ],
)
def test_a_text_that_makes_no_sense(name: str, text: str, why: str) -> None:
    """A name or a text that is not a limit is refused, with what would be one."""
    with pytest.raises(ValueError, match=why):
        FILE.read(name, text)
