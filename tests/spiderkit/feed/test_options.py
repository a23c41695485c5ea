"""What a spider and its settings say about its feed and its server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from scrapy.settings import Settings

from reactorhub.spiderkit.feed.options import FeedOptions, blocking_settings, options_of


def read(spider: dict[str, Any] | None = None, **settings: Any) -> FeedOptions:
    """The options of a spider named shop."""
    return options_of(SimpleNamespace(name="shop", **(spider or {})), Settings(settings))


def test_defaults() -> None:
    """They are those of scrapy-redis; the batch is as large as the concurrency."""
    assert read() == FeedOptions(redis_key="shop:start_urls", batch=16)
    assert read(CONCURRENT_REQUESTS=7).batch == 7


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"REDIS_START_URLS_KEY": "urls:%(name)s"}, {"redis_key": "urls:shop"}),
        ({"REDIS_START_URLS_KEY": "urls"}, {"redis_key": "urls"}),
        ({"REDIS_START_URLS_AS_SET": True}, {"kind": "set"}),
        ({"REDIS_START_URLS_AS_ZSET": "1"}, {"kind": "zset"}),
        ({"REDIS_ENCODING": "latin-1"}, {"encoding": "latin-1"}),
        ({"REDIS_DECODE_RESPONSES": True}, {"decode": True}),
        ({"MAX_IDLE_TIME_BEFORE_CLOSE": 5}, {"max_idle_time": 5}),
        ({"REDIS_ACK": "tree"}, {"tree": True}),
        ({"REDIS_LEASE": "90"}, {"lease": 90}),
        ({"REDIS_MAX_DELIVERIES": "2"}, {"max_deliveries": 2}),
    ],
)
def test_settings(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting of scrapy-redis, and each of the feed's own."""
    assert read(**settings) == FeedOptions(**{"redis_key": "shop:start_urls", **expected})


def test_attributes_win_over_settings() -> None:
    """Also as text, since arguments of the command line are text."""
    attributes = {
        "redis_key": "mine:%(name)s",
        "redis_batch_size": "3",
        "redis_encoding": "ascii",
        "max_idle_time": "1.5",
    }
    found = read(attributes, REDIS_START_URLS_KEY="x", REDIS_ENCODING="utf-8", MAX_IDLE_TIME_BEFORE_CLOSE=9)
    assert found == FeedOptions(redis_key="mine:shop", batch=3, encoding="ascii", max_idle_time=1.5)


@pytest.mark.parametrize(
    ("spider", "settings", "message"),
    [
        ({"redis_key": "  "}, {}, "redis_key must not be empty"),
        ({"redis_key": "%(other)s"}, {}, "redis_key '%(other)s' may contain %(name)s"),
        ({"redis_key": "100%"}, {}, "redis_key '100%' may contain"),
        ({"redis_batch_size": "many"}, {}, "redis_batch_size must be an integer"),
        ({"redis_batch_size": 0}, {}, "redis_batch_size must be at least 1"),
        ({"max_idle_time": "long"}, {}, "max_idle_time must be a number of seconds"),
        ({"max_idle_time": -1}, {}, "max_idle_time must be at least 0 seconds"),
        ({"redis_encoding": "klingon"}, {}, "is not an encoding"),
        ({}, {"REDIS_ACK": "maybe"}, "REDIS_ACK must be response or tree, not 'maybe'"),
        ({}, {"REDIS_LEASE": 0}, "REDIS_LEASE must be at least 0.1 seconds"),
        ({}, {"REDIS_LEASE": "inf"}, "REDIS_LEASE must be at least"),
        ({}, {"REDIS_MAX_DELIVERIES": "x"}, "REDIS_MAX_DELIVERIES must be an integer"),
    ],
)
def test_mistakes_are_named(spider: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    """A value that cannot be used is named, with what it must be."""
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        read(spider, **settings)


def test_settings_that_block() -> None:
    """The scheduler, the dupefilter and the stats of scrapy_redis wait for Redis in each of their calls."""
    kind = type("Stats", (), {"__module__": "scrapy_redis.stats"})
    settings = {"SCHEDULER": "scrapy_redis.scheduler.Scheduler", "STATS_CLASS": kind}
    assert blocking_settings(Settings(settings)) == ["SCHEDULER", "STATS_CLASS"]
    assert blocking_settings(Settings()) == []
