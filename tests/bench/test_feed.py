"""What the bench of feeds measures with: the spiders, and the figures with their targets."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from scrapy import Spider

from bench.fed import KEY, spider_class
from bench.feed import Feed
from bench.figures import targets
from bench.table import feed_markdown, markdown
from reactorhub.spiderkit import RedisSpider
from tests.bench.test_bench import a_report


def a_feed() -> Feed:
    """Figures that reach every target."""
    return Feed(
        rates={"reactorhub": [510.0, 500.0, 90.0], "scrapy-redis": [400.0], "bare": [600.0]},
        cpu={
            "reactorhub": [0.0016, 0.00158, 0.0030],
            "scrapy-redis": [0.0018, 0.0018, 0.0018],
            "bare": [0.0017, 0.0015, 0.0015],
        },
        delays={"reactorhub": [0.001] * 98 + [0.04, 0.2], "scrapy-redis": [2.5, 4.9]},
    )


def test_figures_that_are_good_enough() -> None:
    """The median of the rounds counts: for the CPU of the feed, that of the differences in each round."""
    found = a_feed()
    assert [(round(target.value), target.reached) for target in found.targets()] == [(40, True), (80, True)]
    assert found.rows()[0] == ["reactorhub", "500", "1.0", "40.0", "1600", "80"]
    assert found.rows()[2] == ["URLs in memory", "600", "", "", "1500", ""]


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"delays": {"reactorhub": [0.051] * 9}}, 0),
        ({"cpu": {"reactorhub": [0.00161], "bare": [0.0015]}}, 1),
    ],
)
def test_figures_that_are_not(changed: dict[str, dict[str, list[float]]], missed: int) -> None:
    """Each figure has a target of its own."""
    found = replace(a_feed(), **changed).targets()
    assert [number for number, target in enumerate(found) if not target.reached] == [missed]


def test_feed_is_part_of_the_report() -> None:
    """Its table and its targets stand in the report, and can be had alone."""
    report = replace(a_report(), feed=a_feed())
    assert {target.text for target in a_feed().targets()} <= {target.text for target in targets(report)}
    for text in (markdown(report), feed_markdown(a_feed())):
        assert "| scrapy-redis 0.9.1 | 400 | 2500.0 | 4900.0 | 1800 | 300 |" in text
        assert "| from push to request of an idle spider, p99 | 40.0 ms | ≤ 50 ms | pass |" in text


def test_spiders_differ_in_nothing_but_their_base(capsys: pytest.CaptureFixture[str]) -> None:
    """Each counts its items, and says what it cost when all are there."""
    for kind, base in (("reactorhub", RedisSpider), ("bare", Spider)):
        cls = spider_class(kind, "http://canned", 2)
        assert issubclass(cls, base)
        assert cls.redis_key == KEY  # type: ignore[attr-defined]
        spider = cls()
        for number in range(2):
            page = SimpleNamespace(url=f"http://canned/{number}")
            assert list(spider.parse(page)) == [{"url": page.url}]  # type: ignore[arg-type]
        assert set(json.loads(capsys.readouterr().out)) == {"first", "last", "cpu"}
