"""Timeout and cancel end a run in every state, and the slot comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import LONG
from tests.integration.hubs import Hub, until, write_project
from tests.integration.stubborn import STUBBORN
from tests.support.redis_server import free_port
from tests.support.stopwatch import Stopwatch

CONFIG = """
    hub:
      demo_site: tcp:SITE_PORT:interface=127.0.0.1
      max_concurrent_runs: 8
      queues: {single: 1}
      projects: {lab: {path: lab}}
    defaults: {stop_grace: 1s}
    schedules:
      hasty: {spider: hang, timeout: 1s, queue: single}
      graceful: {spider: hang}
"""
SPIDERS = (
    STUBBORN
    + """
    class Visitor(scrapy.Spider):
        shop = "http://127.0.0.1:SITE_PORT"
        page = "/one/1.html"

        async def start(self):
            yield scrapy.Request(self.shop + self.page)

        def parse(self, response):
            yield {"url": response.url}

    class Quick(Visitor):
        name = "quick"

    class Hang(Visitor):
        name = "hang"
        page = "/slow/600"

    class Busy(Visitor):
        name = "busy"
        custom_settings = {"DOWNLOAD_DELAY": 60, "CONCURRENT_REQUESTS": 20}

        async def start(self):
            for number in range(20):
                yield scrapy.Request(f"{self.shop}/one/{number}.html")

    class Swallow(Visitor):
        name = "swallow"
        custom_settings = {"ITEM_PIPELINES": {"spiders.lab.Stubborn": 1}}

    class Thread(Visitor):
        name = "thread"

        async def parse(self, response):
            await deferred_to_future(deferToThread(time.sleep, 25))

    class Linger(Hang):
        name = "linger"

        def closed(self, reason):
            return Deferred()

    class Opening(Visitor):
        name = "opening"
        custom_settings = {"ITEM_PIPELINES": {"spiders.lab.Waiting": 1}}
"""
)
ROUNDS = 200 if LONG else 40
LAST_RUNG = 10.0  # seconds after a forced cancel at which a crawl is no longer waited for


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub whose spiders do not want to end."""
    port = str(free_port())  # known before the hub runs: its schedules cannot ask it where the shop is
    hub = Hub(tmp_path_factory.mktemp("stopping"), CONFIG.replace("SITE_PORT", port))
    write_project(hub.folder / "lab", lab=SPIDERS.replace("SITE_PORT", port))
    with hub:
        yield hub


def cancel(hub: Hub, run_id: str, force: bool = False) -> dict[str, object]:
    """Cancel a run; return the view in the reply."""
    status, view = hub.post(f"/api/runs/{run_id}/cancel", {"force": True} if force else None)
    assert status == 200, view
    return dict(view)


def trigger(hub: Hub, schedule: str) -> str:
    """Run a schedule's spider now; return the run's id."""
    status, view = hub.post(f"/api/schedules/{schedule}/trigger")
    assert status == 201, view
    return str(view["id"])


def test_timeout_frees_the_slot(hub: Hub) -> None:
    """A hung download ends as timed_out after timeout and stop_grace; the run behind it gets the slot."""
    run_id = trigger(hub, "hasty")
    behind = hub.order("quick", queue="single")
    run = hub.wait_final(run_id, 6)
    assert run["state"] == "timed_out"
    assert "timeout of 1 seconds" in run["reason"]
    assert hub.wait_final(behind, 5)["state"] == "succeeded"


def test_cancel_while_queued(hub: Hub) -> None:
    """A run that waits is cancelled when the reply comes, and never starts."""
    holder = hub.order("hang", queue="single")
    hub.wait_state(holder, "running")
    run_id = hub.order("quick", queue="single")
    assert cancel(hub, run_id)["state"] == "cancelled"
    assert hub.run(run_id)["started_at"] is None
    cancel(hub, holder, force=True)
    assert hub.wait_final(holder, 3)["state"] == "cancelled"


def test_graceful_cancel_of_a_hung_download(hub: Hub) -> None:
    """A graceful cancel cuts a hung download off after stop_grace, and Scrapy closes the spider in order."""
    run_id = trigger(hub, "graceful")
    hub.wait_state(run_id, "running")
    assert cancel(hub, run_id)["state"] in ("stopping", "running")
    run = hub.wait_final(run_id, 4)
    assert (run["state"], run["reason"]) == ("cancelled", "cancelled by an operator")
    assert "Spider closed" in hub.log(run_id)
    again = cancel(hub, run_id)
    assert (again["state"], again["finished_at"]) == ("cancelled", run["finished_at"])


def test_forced_cancel_drops_downloads_at_once(hub: Hub) -> None:
    """A forced cancel ends hung downloads and requests that wait for their turn within two seconds."""
    runs = [hub.order("hang"), hub.order("busy")]
    for run_id in runs:
        hub.wait_state(run_id, "running")
    watch = Stopwatch(hub.pid)
    for run_id in runs:
        cancel(hub, run_id, force=True)
    assert [hub.wait_final(run_id)["state"] for run_id in runs] == ["cancelled"] * 2
    assert watch.seconds < 2


def test_forced_cancel_frees_every_slot(hub: Hub) -> None:
    """Whatever a spider is doing, opening included, a forced cancel takes it down the last rung in time."""
    runs = {spider: hub.order(spider) for spider in ("opening", "swallow", "linger", "thread")}
    for spider, run_id in runs.items():
        hub.wait_state(run_id, "starting" if spider == "opening" else "running")
    until(lambda: "200" in hub.log(runs["swallow"]) and "200" in hub.log(runs["thread"]), 10, "the pages")
    watch = Stopwatch(hub.pid)
    for run_id in runs.values():
        cancel(hub, run_id, force=True)
    finals = {spider: hub.wait_final(run_id, 15)["state"] for spider, run_id in runs.items()}
    assert finals == dict.fromkeys(runs, "cancelled")
    assert watch.seconds < LAST_RUNG + 2
    until(lambda: hub.get("/api/status")[1]["slots"]["used"] == 0, 20, "the return of all slots")
    assert hub.wait_final(hub.order("quick"))["state"] == "succeeded"


def test_cancel_at_any_moment(hub: Hub) -> None:
    """A run that is cancelled a little earlier or later in its opening ends as told, or had ended before."""
    spiders = ("hang", "quick", "busy", "swallow", "opening")
    runs = []
    for number in range(ROUNDS):
        runs.append(hub.order(spiders[number % 5]))
        for _ in range(number // 5 % 8):
            hub.run(runs[-1])
        cancel(hub, runs[-1], force=True)
    finals = [hub.wait_final(run_id, 20) for run_id in runs]
    assert {run["state"] for run in finals} <= {"cancelled", "succeeded"}
    assert {run["state"] for run, n in zip(finals, range(ROUNDS), strict=True) if n % 5 != 1} == {"cancelled"}
    until(lambda: hub.get("/api/status")[1]["slots"]["used"] == 0, 20, "the return of all slots")
