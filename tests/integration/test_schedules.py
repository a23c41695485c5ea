"""Every nominal time of every schedule has its row: run, skipped or missed, and why."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from textwrap import dedent
from typing import Any

import pytest

from tests.integration.hubs import Hub, until, write_project
from tests.support.stopwatch import waited

SPIDERS = """
    import asyncio
    import scrapy

    class Quick(scrapy.Spider):
        name = "quick"

        async def start(self):
            yield {"quick": True}

    class Slow(scrapy.Spider):
        name = "slow"

        async def start(self):
            await asyncio.sleep(1.5)
            yield scrapy.Request("data:,slow")

        def parse(self, response):
            yield {"slow": True}
"""
CONFIG = """
    hub:
      projects: {lab: {path: lab}}
    defaults: {catchup: all}
    schedules:
      every_second: {spider: quick, interval: 1s}
      by_cron: {spider: quick, cron: "*/2 * * * * *"}
      skipping: {spider: slow, interval: 1s}
      buffering: {spider: slow, interval: 1s, overlap: buffer_one}
      paused: {spider: quick, interval: 1s}
      disabled: {spider: quick, interval: 1s, enabled: false}
"""
ONCE = '      once: {{spider: quick, at: "{}"}}\n'
DOWN = """
    hub:
      projects: {lab: {path: lab}}
    schedules:
      all: {spider: quick, interval: 1s, catchup: all, overlap: allow_all}
      latest: {spider: quick, interval: 1s, overlap: allow_all}
      careful: {spider: slow, interval: 1s, catchup: all}
"""
SECOND = 1_000_000  # microseconds, as the ledger counts
FOR_EVER = 1 << 62
Rows = list[dict[str, Any]]


class LivedHub(Hub):
    """A hub that has lived its life."""

    stall = 0
    """The microseconds in which it waited for a processor: by so much its ticks may be late."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivedHub]:
    """A hub that has fired for seven seconds, one schedule paused for most of the time, and then ended."""
    hub = LivedHub(tmp_path_factory.mktemp("schedules"), CONFIG)
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        begin = time.monotonic()
        until(lambda: ticks(hub, "paused"), 20, "the first tick")
        assert hub.post("/api/schedules/paused/pause", {"reason": "not today"})[0] == 200
        moment = datetime.now(UTC) + timedelta(seconds=2)
        hub.file.write_text(dedent(CONFIG + ONCE.format(moment.isoformat())))
        assert hub.post("/api/reload")[1]["added"] == ["once"]
        until(lambda: time.monotonic() - begin > 7, 10, "seven seconds")
        until(lambda: hub.get("/api/schedules/once")[1]["next"] == [], 20, "the tick of once")
        hub.stall = int(waited(hub.pid) * SECOND)
        hub.terminate()
        yield hub


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> LivedHub:
    """A hub that was killed, came back after five seconds and fired for another two."""
    hub = LivedHub(tmp_path_factory.mktemp("interrupted"), DOWN)
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        names = ("all", "latest", "careful")
        until(lambda: all(begun(hub, name) for name in names), 20, "the first runs")
        hub.stall = int(waited(hub.pid) * SECOND)
        hub.kill9()
        up_again = time.time() + 5
        until(lambda: time.time() > up_again, 10, "five seconds")
        before = len(ticks(hub, "all"))
        hub.start()
        until(lambda: len(ticks(hub, "all")) >= before + 8, 20, "ticks after the restart")
        hub.stall += int(waited(hub.pid) * SECOND)
        hub.terminate()
    return hub


def ticks(hub: Hub, schedule: str) -> Rows:
    """Return the ledger's rows of a schedule, oldest first."""
    return hub.ledger("SELECT * FROM ticks WHERE schedule = ? ORDER BY nominal_time", schedule)


def runs(hub: Hub, schedule: str) -> Rows:
    """Return the runs of a schedule, oldest first."""
    return hub.ledger("SELECT * FROM runs WHERE schedule = ? ORDER BY seq", schedule)


def begun(hub: Hub, schedule: str) -> bool:
    """Whether a schedule's first run is beyond waiting."""
    return any(run["state"] not in ("queued", "starting") for run in runs(hub, schedule)[:1])


def gaps(rows: Rows) -> set[int]:
    """Return the distances between the nominal times of neighbouring rows."""
    times = [row["nominal_time"] for row in rows]
    return {after - before for before, after in pairwise(times)}


@pytest.mark.parametrize(("schedule", "seconds", "least"), [("every_second", 1, 6), ("by_cron", 2, 3)])
def test_each_tick_has_one_run(hub: LivedHub, schedule: str, seconds: int, least: int) -> None:
    """An interval and a cron of six fields tick without a gap, each tick with one run, started in time."""
    rows, found = ticks(hub, schedule), runs(hub, schedule)
    assert len(rows) >= least
    assert gaps(rows) == {seconds * SECOND}
    assert all(row["nominal_time"] % (seconds * SECOND) == 0 for row in rows)
    assert {row["outcome"] for row in rows} == {"run"}
    assert [row["run_id"] for row in rows] == [run["id"] for run in found]
    assert [row["nominal_time"] for row in rows] == [run["nominal_time"] for run in found]
    assert all(0 <= run["created_at"] - run["nominal_time"] < SECOND + hub.stall for run in found)


def test_paused_schedule_skips(hub: Hub) -> None:
    """The ticks of a paused schedule are skipped with the reason that was given."""
    rows = ticks(hub, "paused")
    assert gaps(rows) == {SECOND}
    skipped = [row for row in rows if row["outcome"] == "skipped"]
    assert len(skipped) >= 4
    assert rows[-len(skipped) :] == skipped
    assert {row["reason"] for row in skipped} == {"the schedule is paused: not today"}
    assert len(runs(hub, "paused")) == len(rows) - len(skipped)


def test_overlap_skip(hub: Hub) -> None:
    """While a run goes on its schedule's ticks are skipped, and the reason names that run."""
    rows, found = ticks(hub, "skipping"), {run["id"]: run for run in runs(hub, "skipping")}
    skipped = [row for row in rows if row["outcome"] == "skipped"]
    assert gaps(rows) == {SECOND}
    assert len(skipped) >= 2 and len(found) == len(rows) - len(skipped) >= 2
    assert not overlapping(list(found.values()))
    for row in skipped:
        run = found[row["reason"].split()[5]]
        assert row["reason"].startswith("overlap is skip and run")
        # A crawl that has ended is final only once its row is on disk, which a busy machine may delay.
        assert run["created_at"] <= row["recorded_at"] <= (run["finished_at"] or FOR_EVER) + SECOND


def test_overlap_buffer_one(hub: LivedHub) -> None:
    """One run waits for the earlier one and starts right behind it; ticks beyond it are skipped."""
    rows, found = ticks(hub, "buffering"), runs(hub, "buffering")
    skipped = [row for row in rows if row["outcome"] == "skipped"]
    assert gaps(rows) == {SECOND}
    assert [row["outcome"] for row in rows[:2]] == ["run", "run"]
    assert skipped and all("overlap is buffer_one" in row["reason"] for row in skipped)
    assert not overlapping(found)
    assert 0 <= found[1]["started_at"] - found[0]["finished_at"] < SECOND / 2 + hub.stall


def overlapping(found: Rows) -> bool:
    """Whether a run started before the one in front of it had ended."""
    return any(
        (after["started_at"] or FOR_EVER) < (before["finished_at"] or FOR_EVER)
        for before, after in pairwise(found)
    )


def test_once_fires_once(hub: Hub) -> None:
    """A one-shot schedule fires once, at its moment."""
    (row,), (run,) = ticks(hub, "once"), runs(hub, "once")
    assert (row["outcome"], row["run_id"], run["state"]) == ("run", run["id"], "succeeded")


def test_disabled_schedule_does_nothing(hub: Hub) -> None:
    """A disabled schedule has no ticks and no runs."""
    assert (ticks(hub, "disabled"), runs(hub, "disabled")) == ([], [])


def test_downtime_is_accounted_for(interrupted: LivedHub) -> None:
    """After five seconds without a hub each tick has its row, and ``catchup`` says which of them run."""
    hub = interrupted
    assert [gaps(ticks(hub, name)) for name in ("all", "latest", "careful")] == [{SECOND}] * 3
    assert {row["outcome"] for row in ticks(hub, "all")} == {"run"}
    outcomes = "".join(row["outcome"][0] for row in ticks(hub, "latest"))
    down = max(re.findall("m+", outcomes), key=len, default="")
    assert (outcomes[0], outcomes[-1]) == ("r", "r") and len(down) >= 4, outcomes
    assert outcomes.count("m") - len(down) <= hub.stall // SECOND, outcomes
    reasons = {row["reason"] for row in ticks(hub, "latest") if row["outcome"] == "missed"}
    assert all("the hub was not running" in reason for reason in reasons)


def test_caught_up_ticks_keep_the_overlap_rule(interrupted: Hub) -> None:
    """Ticks that are caught up together are no way around ``overlap: skip``."""
    assert not overlapping(runs(interrupted, "careful"))
