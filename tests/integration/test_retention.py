"""A real hub with a past: what is too old goes while it runs, and nothing else."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.past import make_past
from reactorhub.storage.retention import AT_ONCE
from tests.integration.hubs import Hub, until, write_project

DAY = 86_400
CONFIG = """
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      projects: {{lab: {{path: lab}}}}
      retention: {rules}
    schedules:
      schedule-1: {{spider: brief, interval: 7h}}
"""
SPIDERS = """
    import scrapy

    class Brief(scrapy.Spider):
        name = "brief"

        async def start(self):
            yield scrapy.Request(self.shop + "/")

        def parse(self, response):
            yield {"url": response.url}
"""
ROWS = 730  # runs, and ticks, over a year
PAST = 1000  # enough for a round of some seconds


def kept(hub: Hub) -> tuple[int, int]:
    """How many runs and ticks the ledger has."""
    ledger = hub.get("/api/status")[1]["ledger"]
    return ledger["runs"], ledger["ticks"]


def aged(path: Path, days: float) -> Path:
    """Make a file that was last written so many days ago, in a folder as old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("something\n")
    for each in (path, path.parent, path.parent.parent):
        os.utime(each, (time.time() - days * DAY,) * 2)
    return path


def settled(hub: Hub) -> tuple[int, int]:
    """How many runs and ticks are left once the first round is over, which its line in the log says."""
    until(
        lambda: "retention deleted" in hub.output,
        30,
        "the end of a round",
    )
    return kept(hub)


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """Old rows and files are gone soon after the start, and the rest is there and answers."""
    hub = Hub(tmp_path, CONFIG.format(rules="{runs: 300d, logs: 14d}"))
    write_project(tmp_path / "lab", lab=SPIDERS)
    hub.data.mkdir()
    make_past(hub.data / "hub.db", ROWS, datetime.now(UTC))
    old, new = (aged(hub.data / "logs/lab/brief" / f"{days}.log", days) for days in (15, 13))
    items = aged(hub.data / "items/lab/brief/99.jsonl", 99)
    with hub:
        runs, ticks = settled(hub)
        assert runs == pytest.approx(ROWS * 300 / 365, abs=2)
        assert ticks == pytest.approx(runs, abs=1)
        assert [path.exists() for path in (old, new, items)] == [False, True, True]
        page = hub.get("/api/runs?limit=1000")[1]
        assert (len(page["runs"]), page["next_cursor"]) == (runs, None)
        last = hub.get("/api/schedules/schedule-1")[1]["last_run"]
        status, problem = hub.get(last["links"]["log"])
        assert (status, "hub.retention.logs" in problem["detail"]) == (404, True)


def test_a_kill_amid_the_steps(tmp_path: Path) -> None:
    """A hub that is killed while it removes goes on at its next start, and counts right all the time."""
    hub = Hub(tmp_path, CONFIG.format(rules="{runs: 10d}"))
    write_project(tmp_path / "lab", lab=SPIDERS)
    hub.data.mkdir()
    make_past(hub.data / "hub.db", PAST, datetime.now(UTC))
    with hub:
        until(lambda: kept(hub)[0] < PAST * 0.9, 30, "the first steps")
        hub.kill9()
        with closing(sqlite3.connect(hub.data / "hub.db")) as db:
            (amount,) = db.execute("SELECT sum(amount) FROM counters WHERE name <> 'ticks'").fetchone()
            assert (amount,) == db.execute("SELECT count(*) FROM runs").fetchone()
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert 0 < amount < PAST * 0.9
        hub.start()
        assert settled(hub)[0] == pytest.approx(PAST * 10 / 365, abs=2)


def test_a_reload_takes_the_rule_back(tmp_path: Path) -> None:
    """Who sees that too much goes, and says so in the file, keeps all that has not gone yet."""
    hub = Hub(tmp_path, CONFIG.format(rules="{runs: 10d}"))
    write_project(tmp_path / "lab", lab=SPIDERS)
    hub.data.mkdir()
    make_past(hub.data / "hub.db", PAST, datetime.now(UTC))
    with hub:
        until(lambda: kept(hub)[0] < PAST, 30, "the first step")
        hub.file.write_text(hub.file.read_text().replace("{runs: 10d}", "{items: 10d}"))
        assert hub.post("/api/reload")[0] == 200
        left = kept(hub)
        assert left[0] > PAST / 2
        assert left[0] - AT_ONCE <= settled(hub)[0] <= left[0]
