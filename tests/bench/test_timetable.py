"""What the bench says of a hub with thousands of schedules."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from bench.table import timetable_markdown
from bench.timetable import Burst, Timetable, Watched

QUICK = Watched(seconds=0.5, worst=0.02)
GOOD = Timetable(
    schedules=10_000,
    reloaded=5_000,
    start=2.5,
    idle=0.005,
    memory=3_700.0,
    listed=QUICK,
    bursts={"paused": Burst.of([0.001 * number for number in range(90)], QUICK)},
    reloads={"one changed": QUICK},
    worst_stall=0.03,
    checks={"all with the same cron": 1.5},
)
SLOW = Watched(seconds=0.5, worst=0.101)


def test_a_burst_is_summed_up() -> None:
    """Of the lateness of each tick the middle and the 99th percentile are kept."""
    burst = Burst.of([0.001 * number for number in range(1, 1001)], QUICK)
    assert (burst.ticks, burst.p50, burst.p99) == (1000, 0.5, 0.99)


def test_a_good_hub_reaches_every_target() -> None:
    """There are six, all of them reached, and the table says so."""
    assert [target.reached for target in GOOD.targets()] == [True] * 6
    text = timetable_markdown(GOOD)
    assert text.count("| pass |") == 6 and "FAIL" not in text
    assert "| idle CPU with 10,000 schedules | 0.50 % | ≤ 3 % | pass |" in text
    assert "| memory of each | 3.70 kB |" in text


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (replace(GOOD, idle=0.031), [0]),
        (replace(GOOD, bursts={**GOOD.bursts, "crawling": Burst.of([0.101], QUICK)}), [1]),
        (replace(GOOD, bursts={**GOOD.bursts, "crawling": Burst.of([0.001], SLOW)}), []),
        (replace(GOOD, bursts={**GOOD.bursts, "waiting": Burst.of([0.001], SLOW)}), [2]),
        (replace(GOOD, listed=SLOW), [3]),
        (replace(GOOD, reloads={**GOOD.reloads, "all changed": SLOW}), [4]),
        (replace(GOOD, worst_stall=0.101), [4]),
        (replace(GOOD, checks={"all with different crons": 4.1}), [5]),
    ],
)
def test_a_target_that_is_missed_is_named(found: Timetable, missed: list[int]) -> None:
    """The worst case of each counts, and each figure has its own limit."""
    assert [number for number, target in enumerate(found.targets()) if not target.reached] == missed


def test_it_can_be_kept_as_json() -> None:
    """All of it is plain values."""
    assert json.loads(json.dumps(asdict(GOOD)))["bursts"]["paused"]["ticks"] == 90
