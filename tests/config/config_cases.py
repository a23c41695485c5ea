"""Schedule files for the tests of the config, and what is wrong with a text."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from reactorhub.config import HubConfig, parse
from reactorhub.errors import ConfigError
from reactorhub.model.schedule import Schedule

ENVIRON = {"N": "4", "WORD": "on", "SECRET": "hunter2", "EMPTY": ""}
FULL = """\
hub:
  http: tcp:6800:interface=127.0.0.1
  data_dir: state
  name: hub-1
  timezone: Europe/Berlin
  max_concurrent_runs: ${N}
  max_queued_runs: 50
  queues: {heavy: 2}
  shutdown_grace: 1m30s
  projects:
    shop: {path: ../shop}
    blog: {path: /srv/blog, spider_modules: [blog.spiders]}
  redis: {url: "redis://127.0.0.1:6379/0", prefix: "mine:"}
  retention: {runs: 90d, logs: 12h}
  demo_site: tcp:6801
defaults:
  project: shop
  timeout: 2h
  args: {category: laptops, page: 007}
  settings: {DOWNLOAD_DELAY: 0.5}
schedules:
  prices:
    spider: prices
    cron: "*/15 8-20 * * mon-fri"
    timezone: America/New_York
    overlap: buffer_one
    catchup: all
    catchup_window: 1d
    args: {page: 1.50, sort: on, none: "null", day: 2026-01-01, empty: ""}
    settings: {TELNETCONSOLE_ENABLED: false, ITEM_PIPELINES: {a.B: 300, a.C: null}, CODES: [500, "x"]}
    queue: heavy
    priority: -5
    timeout: 90s
    stop_grace: 0.5s
    enabled: false
    tags: [daily, "1"]
    run_on_start: true
  sitemap: {spider: sitemap, interval: 6h, anchor: 2026-01-01T00:30:00+01:00}
  launch: {spider: prices, at: "2026-12-01T08:00:00+01:00", misfire_grace_time: 5m, project: blog}
  by_hand: {spider: prices}
"""


def read(text: str, **environ: str) -> HubConfig:
    """Parse ``text`` as ``schedule.yaml`` in ``/etc/hub``."""
    return parse(textwrap.dedent(text), "schedule.yaml", ENVIRON | environ, Path("/etc/hub"), "host")


def mistakes(text: str) -> list[str]:
    """What is wrong with ``text``, file name aside."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(mistake).removeprefix("schedule.yaml:") for mistake in caught.value.mistakes]


def only(schedule: str, **environ: str) -> Schedule:
    """The schedule made of the keys in ``schedule``, in a file with nothing else."""
    return read(f"schedules: {{a: {{spider: s, {schedule}}}}}", **environ).schedules["a"]


def in_hub(text: str) -> list[str]:
    """What is wrong with one line under ``hub``, place aside."""
    return [mistake.split(": ", 1)[1] for mistake in mistakes(f"hub:\n  {text}\n")]


def in_schedule(text: str) -> list[str]:
    """What is wrong with one line of a schedule, place aside."""
    return [
        mistake.split(": ", 1)[1] for mistake in mistakes(f"schedules:\n  a:\n    spider: s\n    {text}\n")
    ]


NUMBER = "must be a whole number from 1 to 10000"
SPAN = "is not a duration; write it like 90s, 15m, 2h, 1d or 1h30m"
NAME = "a name has up to 100 letters (a to z), digits, _ - and . and starts with a letter, digit or _"
TIME = "is not a time; write it like 2026-12-01T08:00:00+01:00, or 2026-12-01T08:00:00 for a local time"
FIELDS = "write five: minute hour day-of-month month day-of-week, or six with second first"
LEAVES_ONE = "cancel_other allows one run at a time; remove max_instances, or choose another overlap"
LONGER = "is longer than max_delay; make it shorter, or max_delay longer"
