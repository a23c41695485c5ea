"""The figures of stats that go to Redis, with their target."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.figures import targets
from bench.redis_stats import StatsCost
from bench.table import as_json, markdown, redis_markdown
from tests.bench.test_bench import a_report


@pytest.mark.parametrize(("sending", "reached"), [([0.07, 0.05, 0.06], True), ([0.09, 0.08, 0.07], False)])
def test_the_target(sending: list[float], reached: bool) -> None:
    """The share of the reactor beyond that of the same crawls without stats must be small."""
    [target] = StatsCost(quiet=[0.04, 0.05, 0.03], sending=sending).targets()
    assert target.reached is reached


def test_it_is_part_of_the_report() -> None:
    """Its table and its target stand in the report, and can be had alone; its figures are in the JSON."""
    cost = StatsCost(quiet=[0.04], sending=[0.06])
    report = replace(a_report(), redis=[cost])
    assert cost.targets()[0] in targets(report)
    for text in (markdown(report), redis_markdown([cost])):
        assert "without / with stats each second | 4.0% / 6.0% |" in text
        assert "| reactor time for the stats of 64 live crawls each second | 2.00 % | ≤ 3 % | pass |" in text
    assert json.loads(json.dumps(as_json(report)))["redis"] == [{"quiet": [0.04], "sending": [0.06]}]
