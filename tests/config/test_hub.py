"""The section hub: its keys, their defaults and their mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from reactorhub.config import RedisConfig
from reactorhub.engine.projects import ProjectConfig
from reactorhub.storage.retention import RetentionConfig
from tests.config.config_cases import FULL, NAME, NUMBER, SPAN, in_hub, read


def test_hub_keys() -> None:
    """Each key of hub arrives; relative paths start from the file's folder."""
    config = read(FULL)
    assert (config.name, config.http, config.demo_site) == (
        "hub-1",
        "tcp:6800:interface=127.0.0.1",
        "tcp:6801",
    )
    assert (config.data_dir, config.timezone) == (Path("/etc/hub/state"), "Europe/Berlin")
    assert (config.max_concurrent_runs, config.max_queued_runs, config.shutdown_grace) == (4, 50, 90.0)
    assert config.queues == {"default": 4, "heavy": 2}
    assert config.redis == RedisConfig(url="redis://127.0.0.1:6379/0", embedded=False, prefix="mine:")
    assert config.retention == RetentionConfig(runs=timedelta(days=90), logs=timedelta(hours=12))
    assert config.projects == {
        "shop": ProjectConfig(name="shop", path=Path("/etc/shop")),
        "blog": ProjectConfig(name="blog", path=Path("/srv/blog"), spider_modules=("blog.spiders",)),
    }


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        ("embedded", RedisConfig(embedded=True)),
        ("{embedded: true, prefix: 'p:'}", RedisConfig(embedded=True, prefix="p:")),
        ("{embedded: false, url: u}", RedisConfig(url="u")),
        ("{url: u, inbox: false}", RedisConfig(url="u", inbox=False)),
        ("{url: u, inbox: true}", RedisConfig(url="u", inbox=True)),
    ],
)
def test_redis(redis: str, expected: RedisConfig) -> None:
    """Redis is a server elsewhere or the embedded one, by a word or by a key."""
    assert read(f"hub: {{redis: {redis}}}").redis == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("htp: x", "hub.htp: unknown key 'htp'; did you mean 'http'?"),
        ("watchdog: {warn_after: 1s}", "hub.watchdog: unknown key 'watchdog'"),
        ("max_concurrent_runs: 0", f"hub.max_concurrent_runs: {NUMBER}, not '0'"),
        ("max_concurrent_runs: 010", f"hub.max_concurrent_runs: {NUMBER}, not '010'"),
        ("max_concurrent_runs: 1_000", f"hub.max_concurrent_runs: {NUMBER}, not '1_000'"),
        ("max_concurrent_runs: 1.0", f"hub.max_concurrent_runs: {NUMBER}, not '1.0'"),
        ("max_concurrent_runs: '4'", f"hub.max_concurrent_runs: {NUMBER}, without quotes, not '4'"),
        ("max_concurrent_runs: [4]", "hub.max_concurrent_runs: must be one value, not a list"),
        ("max_concurrent_runs:", "hub.max_concurrent_runs: is empty; write a value, or remove the key"),
        ("http: 12:30", "hub.http: must be text; put '12:30' in quotes"),
        ("http: ''", "hub.http: must be a text on one line, and not empty"),
        ('data_dir: "a\\0b"', "hub.data_dir: must be a text on one line, and not empty"),
        ("name: my hub", f"hub.name: {NAME}"),
        (
            "shutdown_grace: 60",
            "hub.shutdown_grace: write a unit after '60': s, m, h or d, such as 90s or 15m",
        ),
        ("shutdown_grace: 0s", "hub.shutdown_grace: must be more than 0s and at most 36500d, not '0s'"),
        ("shutdown_grace: 30m1h", f"hub.shutdown_grace: '30m1h' {SPAN}"),
        ("shutdown_grace: -5s", f"hub.shutdown_grace: '-5s' {SPAN}"),
        (
            "timezone: Europe/Berln",
            "hub.timezone: there is no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        ),
        ("timezone: ../etc", "hub.timezone: there is no time zone '../etc'; names look like Europe/Berlin"),
        ("queues: {heavy: none}", f"hub.queues.heavy: {NUMBER}, without quotes, not 'none'"),
        ("queues: {a b: 1}", f"hub.queues.a b: {NAME}"),
        ("queues: [heavy]", "hub.queues: must be a mapping of keys to values"),
        ("projects: {..: {}}", f"hub.projects...: {NAME}"),
        ("projects: {shop: ../shop}", "hub.projects.shop: must be a mapping of keys to values"),
        ("projects: {shop: {pth: x}}", "hub.projects.shop.pth: unknown key 'pth'; did you mean 'path'?"),
        ("projects: {shop: {spider_modules: a.b}}", "hub.projects.shop.spider_modules: must be a list"),
        ("redis: redis://x", "hub.redis: write redis: embedded, or redis: {url: ...}"),
        ("redis: {}", "hub.redis: write either url, or embedded: true"),
        ("redis: {url: x, embedded: true}", "hub.redis: write either url, or embedded: true"),
        (
            "redis: {embedded: yes}",
            "hub.redis.embedded: write true or false instead of 'yes', without quotes",
        ),
        (
            "retention: {runs: 90}",
            "hub.retention.runs: write a unit after '90': s, m, h or d, such as 90s or 15m",
        ),
        ("retention: {items: }", "hub.retention.items: is empty; write a value, or remove the key"),
        ("retention: {log: 1d}", "hub.retention.log: unknown key 'log'; did you mean 'logs'?"),
        ("retention: 90d", "hub.retention: must be a mapping of keys to values"),
        ("redis: {ulr: x}", "hub.redis.ulr: unknown key 'ulr'; did you mean 'url'?"),
    ],
)
def test_mistakes_in_hub(text: str, expected: str) -> None:
    """Each wrong key or value under hub is one sentence that says what to write."""
    assert in_hub(text) == [expected]
