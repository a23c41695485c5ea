"""What the bench of fairness measures with: the documentation site, and the figures with their targets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.fairness import Fairness
from bench.figures import targets
from bench.manual import LINKS, PAGES, SECTIONS, page
from bench.table import fairness_markdown, markdown
from tests.bench.test_bench import a_report


def a_fairness() -> Fairness:
    """Figures that reach every target."""
    return Fairness(
        status=[0.01] * 99 + [0.11, 0.2],
        longest_step=0.02,
        gated=[40.0, 44.0],
        open=[39.0, 43.0],
        status_open=[1.5] * 10,
        beside=[0.2, 0.3, 0.9],
        alone=[0.2],
        flooded=[0.3],
    )


def test_figures_that_are_good_enough() -> None:
    """All five targets are reached, and the longest step of a callback is not held against the API."""
    found = a_fairness().targets()
    assert [target.reached for target in found] == [True] * 5
    assert [round(target.value, 2) for target in found] == [10, 90, 0.3, 1.02, 1.5]


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"status": [0.031] * 100}, 0),
        ({"longest_step": 0.0}, 1),
        ({"beside": [0.6, 0.7, 0.1]}, 2),
        ({"gated": [38.0, 42.0]}, 3),
        ({"flooded": [0.41]}, 4),
    ],
)
def test_figures_that_are_not(changed: dict[str, float | list[float]], missed: int) -> None:
    """Each figure has a target of its own."""
    found = replace(a_fairness(), **changed).targets()  # type: ignore[arg-type]
    assert [number for number, target in enumerate(found) if not target.reached] == [missed]


def test_fairness_is_part_of_the_report() -> None:
    """Its table and its targets stand in the report, and can be had alone."""
    report = replace(a_report(), fairness=a_fairness())
    assert {target.text for target in a_fairness().targets()} <= {target.text for target in targets(report)}
    for text in (markdown(report), fairness_markdown(a_fairness())):
        assert "| pages per second of 8 heavy crawls, with turns / without | 42.0 / 41.0 |" in text
        assert "| a one-page crawl beside 6 heavy ones, median | 0.30 s | ≤ 0.5 s | pass |" in text


def test_a_page_of_the_manual_is_as_large_as_real_ones() -> None:
    """A page has some 100 kB and hundreds of links, which are its own, to pages that are there."""
    one, other = page(7).decode(), page(47).decode()
    assert 80_000 < len(one) < 120_000
    assert one.count('href="/page/') == SECTIONS * LINKS > 300
    assert page(7).decode() == one
    assert one != other
    numbers = [int(part.partition(".")[0]) for part in one.split('href="/page/')[1:]]
    assert set(numbers) <= set(range(PAGES))
