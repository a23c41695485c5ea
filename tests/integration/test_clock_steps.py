"""The wall clock of a hub is stepped forward and back while crawls run, and the process is suspended."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.hubs import Hub, seconds_to_end, until, write_project
from tests.integration.wall_clock import WallClock
from tests.support.redis_server import free_port

CONFIG = """
    hub:
      demo_site: tcp:SITE_PORT:interface=127.0.0.1
      shutdown_grace: 1s
      max_concurrent_runs: 50
      projects: {lab: {path: lab}}
    schedules:
      interval: {spider: brief, interval: 1s, overlap: allow_all}
      cron: {spider: brief, cron: "*/2 * * * * *", overlap: allow_all}
      hanging: {spider: hang, timeout: 5s, stop_grace: 1s, args: {shop: "http://127.0.0.1:SITE_PORT"}}
"""
SPIDERS = """
    import time
    import scrapy

    class Brief(scrapy.Spider):
        name = "brief"

        async def start(self):
            yield {"brief": True}

    class Hang(scrapy.Spider):
        name = "hang"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/slow/600")

    class Polite(scrapy.Spider):
        name = "polite"
        custom_settings = {"DOWNLOAD_DELAY": 0.5, "RANDOMIZE_DOWNLOAD_DELAY": False}

        async def start(self):
            for number in range(1000):
                yield scrapy.Request(f"{self.shop}/robots.txt?{number}", dont_filter=True)

        def parse(self, response):
            yield {"at": time.monotonic()}
"""
SECOND, HOUR, YEAR = timedelta(seconds=1), timedelta(hours=1), timedelta(days=365)
PERIODS = {"interval": 1, "cron": 2}
SOON = 12.0  # seconds; it takes two or three, but thousands of missed ticks are written down before
TIMEOUT = 5
SUSPENDED = 4
MICROSECONDS = 1_000_000  # the ledger's unit, in a second
Rows = list[dict[str, Any]]


@dataclass
class Story:
    """A hub whose clock was stepped again and again, and what was seen meanwhile."""

    hub: Hub
    clock: WallClock
    waits: dict[str, float] = field(default_factory=dict)
    resting: tuple[datetime, datetime] | None = None
    begin: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    timed_out: list[str] = field(default_factory=list)
    by_hand: dict[str, Any] = field(default_factory=dict)
    pages: list[float] = field(default_factory=list)
    status: int = 0
    stopping: float = 0.0

    def step(self, name: str, by: timedelta, within: float = 60.0) -> None:
        """Step the clock and wait until every schedule has run again."""
        self.step_quietly(by)
        self.watch(name, within)

    def step_quietly(self, by: timedelta) -> None:
        """Step the clock at a moment at which nothing is just being written down."""
        until(lambda: 0.5 < self.clock.now().timestamp() % 1 < 0.6, 10)
        self.clock.step(by)

    def watch(self, name: str, within: float = 60.0) -> None:
        """Note how many seconds it takes until every schedule has run once more by the clock as it is now."""
        last, now, begin = newest(self.hub), self.clock.now(), time.monotonic()
        fresh = "SELECT schedule FROM runs WHERE seq > ? AND created_at BETWEEN ? AND ?"
        period = number(now), number(now + HOUR / 2)
        found = lambda: {row["schedule"] for row in self.hub.ledger(fresh, last, *period)}  # noqa: E731
        until(lambda: found() >= set(PERIODS), within, f"a tick of each schedule after {name}")
        self.waits[name] = time.monotonic() - begin

    def hang(self) -> None:
        """Start a run that will time out, and let it hang."""
        status, run = self.hub.post("/api/schedules/hanging/trigger")
        assert status == 201
        self.hub.wait_state(run["id"], "running")
        self.timed_out.append(run["id"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A hub that has lived through every step, and a suspend, and was told to end then."""
    folder = tmp_path_factory.mktemp("clock")
    clock = WallClock(folder)
    config = CONFIG.replace("SITE_PORT", str(free_port()))
    hub = Hub(folder, config, environment=clock.environment)
    write_project(folder / "lab", lab=SPIDERS)
    with hub:
        told = Story(hub, clock)
        live(told)
        yield told


def live(story: Story) -> None:
    """Take a hub through all that is to be seen."""
    hub, polite = story.hub, story.hub.order("polite")
    story.watch("start")
    story.step("+5s", 5 * SECOND)
    story.hang()
    story.step("+1h", HOUR)
    rest(story, HOUR)
    story.step("+1h again", HOUR)
    hub.wait_final(story.timed_out[0])
    story.step("-5s", -5 * SECOND)
    story.hang()
    story.step("+1y", YEAR)
    story.step("-1y", -YEAR)
    hub.wait_final(story.timed_out[1])
    suspend(story)
    story.seconds = time.monotonic() - story.begin
    story.status, story.stopping = seconds_to_end(hub)
    story.pages = [item["at"] for item in hub.items(polite)]


def rest(story: Story, back: timedelta) -> None:
    """Step back, by what schedules rest for, and order a run by hand meanwhile."""
    story.step_quietly(-back)
    begin = story.clock.now()
    run_id = story.hub.order("brief")
    story.by_hand = story.hub.wait_final(run_id)
    until(lambda: story.clock.now() - begin > 2 * SECOND, 10)
    story.resting = (begin, story.clock.now())


def suspend(story: Story) -> None:
    """Stop the process as a suspend does, and let it go on."""
    story.hub.send(signal.SIGSTOP)
    up_again = time.monotonic() + SUSPENDED
    until(lambda: time.monotonic() > up_again, 60)
    story.hub.send(signal.SIGCONT)
    story.watch("suspend")


def newest(hub: Hub) -> int:
    """The number of the newest run."""
    return int(hub.ledger("SELECT ifnull(max(seq), 0) AS n FROM runs")[0]["n"])


def ticks(hub: Hub, schedule: str) -> Rows:
    """The ledger's rows of a schedule, by nominal time."""
    return hub.ledger("SELECT * FROM ticks WHERE schedule = ? ORDER BY nominal_time", schedule)


def unaccounted(rows: Rows, period: int) -> list[int]:
    """The nominal times in whose front some are without a row, or within one."""
    reached, found = rows[0]["nominal_time"], []
    for row in rows:
        found += [row["nominal_time"]] if row["nominal_time"] > reached + period * MICROSECONDS else []
        reached = max(reached, row["until"] or row["nominal_time"])
    return found


def number(moment: datetime) -> int:
    """A moment as the ledger counts."""
    return int(moment.timestamp() * MICROSECONDS)


@pytest.mark.parametrize("name", ["start", "+5s", "+1h", "+1h again", "+1y", "-1y", "suspend"])
def test_no_step_stalls(story: Story, name: str) -> None:
    """After a step forward, a step back of more than a day and a suspend, each schedule soon runs again: it
    takes as long as it takes to write down the ticks that the step passed over."""
    assert story.waits[name] < (8 if name in ("start", "+5s", "suspend") else SOON), story.hub.said


def test_a_small_step_back_is_rested_out(story: Story) -> None:
    """After a step back of 5 seconds schedules rest until the clock has caught up, and no longer."""
    assert 2 < story.waits["-5s"] < SOON, story.waits


def test_schedules_rest_while_orders_run(story: Story) -> None:
    """After a step back of an hour no schedule has a tick, but what is ordered by hand runs."""
    assert story.resting is not None
    begin, stop = map(number, story.resting)
    between = "SELECT * FROM ticks WHERE recorded_at BETWEEN ? AND ?"
    assert story.hub.ledger(between, begin, stop) == []
    assert story.by_hand["state"] == "succeeded"


@pytest.mark.parametrize("schedule", sorted(PERIODS))
def test_no_tick_runs_twice(story: Story, schedule: str) -> None:
    """Over all steps each nominal time has one row and one run at most, and each run its tick. After each
    step there was one run at least."""
    runs = story.hub.ledger("SELECT id, nominal_time FROM runs WHERE schedule = ?", schedule)
    ran = {row["run_id"]: row["nominal_time"] for row in ticks(story.hub, schedule) if row["run_id"]}
    assert {run["id"]: run["nominal_time"] for run in runs} == ran
    assert len(set(ran.values())) == len(ran) == len(runs) >= len(story.waits)


@pytest.mark.parametrize("schedule", sorted(PERIODS))
def test_no_tick_is_forgotten(story: Story, schedule: str) -> None:
    """Over all steps no nominal time is left out: each has a row, or lies in one of many missed ticks."""
    rows = ticks(story.hub, schedule)
    assert unaccounted(rows, PERIODS[schedule]) == []
    assert len(rows) < 5000


@pytest.mark.parametrize("schedule", sorted(PERIODS))
def test_no_step_bursts(story: Story, schedule: str) -> None:
    """A step forward runs one tick more, the latest of those it passed over, and no others."""
    most = story.seconds / PERIODS[schedule] + len(story.waits) + 2
    ran = "SELECT count(*) AS n FROM runs WHERE schedule = ?"
    assert story.hub.ledger(ran, schedule)[0]["n"] <= most


def test_timeouts_do_not_move(story: Story) -> None:
    """A run's timeout counts real seconds, whatever the clock does meanwhile."""
    for run_id in story.timed_out:
        (run,) = story.hub.ledger("SELECT * FROM runs WHERE id = ?", run_id)
        assert run["state"] == "timed_out"
        assert TIMEOUT - 0.5 < json.loads(run["stats"])["elapsed_time_seconds"] < TIMEOUT + 8


def test_delays_do_not_move(story: Story) -> None:
    """A running crawl keeps its DOWNLOAD_DELAY through all steps; the longest wait was the suspend."""
    seconds, waits = story.pages[-1] - story.pages[0], [b - a for a, b in pairwise(story.pages)]
    assert seconds > 15
    assert len(waits) * 0.5 < seconds + 1
    assert seconds - SUSPENDED < len(waits) * 0.5 * 3
    assert SUSPENDED - 1 < max(waits) < SUSPENDED + 8


def test_it_stops_in_order(story: Story) -> None:
    """After all of that the hub still ends by itself, in time, and nothing in it has gone wrong."""
    assert story.status == -signal.SIGTERM
    assert story.stopping < 1 + 4.2
    assert "Traceback" not in story.hub.output + story.hub.errors


def test_a_start_under_a_wrong_clock(story: Story) -> None:
    """A hub that began a year ahead and was killed runs on once the clock is right, and counts from there."""
    hub = story.hub
    story.clock.step(YEAR)
    hub.start()
    story.watch("a year ahead")
    hub.kill9()
    story.clock.step(-YEAR)
    hub.start()
    story.watch("put right")
    hub.terminate()
    assert max(story.waits[name] for name in ("a year ahead", "put right")) < SOON
    progress = hub.ledger("SELECT * FROM marks WHERE name != 'hanging'")
    assert all(mark["since"] < number(story.clock.now()) for mark in progress)
