"""A hub that is told to stop ends in time, whatever its spiders do."""

from __future__ import annotations

import signal

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.hubs import Hub, seconds_to_end, until, write_project
from tests.integration.stubborn import STUBBORN

CONFIG = """
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      max_concurrent_runs: 8
      shutdown_grace: {grace}
      projects: {{lab: {{path: lab}}}}
    schedules: {{}}
"""
SPIDERS = (
    STUBBORN
    + """
    class Visitor(scrapy.Spider):
        page = "/one/1.html"

        async def start(self):
            yield scrapy.Request(self.shop + self.page)

    class Brief(Visitor):
        name = "brief"
        page = "/slow/1.5"

        def parse(self, response):
            yield {"url": response.url}

    class Hang(Visitor):
        name = "hang"
        page = "/slow/600"

    class Loop(Visitor):
        name = "loop"

        def parse(self, response):
            self.logger.info("STUCK")
            while True:
                pass

    class Sleep(Visitor):
        name = "sleep"

        def parse(self, response):
            self.logger.info("STUCK")
            time.sleep(600)

    class Thread(Visitor):
        name = "thread"

        async def parse(self, response):
            self.logger.info("STUCK")
            await deferred_to_future(deferToThread(time.sleep, 600))

    class Swallow(Visitor):
        name = "swallow"
        custom_settings = {"ITEM_PIPELINES": {"spiders.lab.Stubborn": 1}}

        def parse(self, response):
            self.logger.info("STUCK")
            yield {"url": response.url}

    class Linger(Visitor):
        name = "linger"
        page = "/slow/600"

        def closed(self, reason):
            return Deferred()

    class Opening(scrapy.Spider):
        name = "opening"
        custom_settings = {"ITEM_PIPELINES": {"spiders.lab.Waiting": 1}}
"""
)
SIGNALLED = {number: (0, -number, 128 + number) for number in (signal.SIGTERM, signal.SIGINT)}


def lab(make_hub: MakeHub, grace: str) -> Hub:
    """Return a running hub on the spiders of this module."""
    hub = make_hub(CONFIG.format(grace=grace))
    write_project(hub.folder / "lab", lab=SPIDERS)
    return hub.start()


def stuck(hub: Hub, spider: str) -> str:
    """Order a run of a spider and wait until its callback is where it never comes back from."""
    run_id = hub.order(spider)
    until(lambda: any("STUCK" in path.read_text() for path in hub.data.rglob(f"{run_id}.log")), 15, spider)
    return run_id


def states(hub: Hub) -> dict[str, str]:
    """Return the state of each run by id, as the ledger says."""
    return {row["id"]: row["state"] for row in hub.ledger("SELECT id, state FROM runs")}


def needed(hub: Hub, number: int = signal.SIGTERM) -> float:
    """Send a signal; return how long the process took to end, with a status that tells of the signal."""
    status, seconds = seconds_to_end(hub, number)
    assert status in SIGNALLED[signal.Signals(number)]
    return seconds


def test_hanging_crawls_are_interrupted(make_hub: MakeHub) -> None:
    """Hung downloads, openings, pipelines and closings are interrupted within the grace and 5 seconds."""
    hub = lab(make_hub, "1s")
    runs = [hub.order(spider) for spider in ("hang", "linger", "opening")] + [stuck(hub, "swallow")]
    hub.wait_state(runs[1], "running")
    assert needed(hub) < 1 + 5
    assert states(hub) == dict.fromkeys(runs, "interrupted")
    assert "shut down" in hub.ledger("SELECT reason FROM runs")[0]["reason"]
    assert not (hub.data / "ready.json").exists()


def test_thread_that_never_returns(make_hub: MakeHub) -> None:
    """A thread that a spider has left behind does not keep the process, and its run is interrupted."""
    hub = lab(make_hub, "1s")
    run_id = stuck(hub, "thread")
    assert needed(hub) < 1 + 5
    assert states(hub) == {run_id: "interrupted"}


@pytest.mark.parametrize(("spider", "number"), [("loop", signal.SIGTERM), ("sleep", signal.SIGINT)])
def test_callback_that_never_returns(make_hub: MakeHub, spider: str, number: int) -> None:
    """A callback that blocks for ever does not keep the process; the next start says what was interrupted."""
    hub = lab(make_hub, "1s")
    run_id = stuck(hub, spider)
    assert needed(hub, number) < 1 + 5
    hub.start()
    assert hub.run(run_id)["state"] == "interrupted"


def test_second_signal_skips_the_grace(make_hub: MakeHub) -> None:
    """With a minute of grace left, a second SIGTERM ends the hub within 5 seconds. An order that was taken
    just before the hub began to stop waits for the next start."""
    hub = lab(make_hub, "60s")
    order = {"spider": "hang", "args": {"shop": hub.shop}}
    going = hub.order("hang")
    hub.wait_state(going, "running")
    hub.send(signal.SIGTERM)
    until(lambda: hub.post("/api/runs", order)[0] == 503, 20, "the refusal of orders")
    assert needed(hub) < 5
    found = states(hub)
    assert found.pop(going) == "interrupted"
    assert set(found.values()) <= {"queued", "interrupted"}


def test_grace_lets_crawls_finish(make_hub: MakeHub) -> None:
    """Crawls that finish within the grace succeed, runs that wait stay queued, and then the hub ends."""
    hub = lab(make_hub, "60s")
    assert hub.patch("/api/limits", {"max_concurrent_runs": 1})[0] == 200
    running, waiting = hub.order("brief"), hub.order("brief")
    hub.wait_state(running, "running")
    assert needed(hub) < 10
    assert states(hub) == {running: "succeeded", waiting: "queued"}
    assert len(hub.items(running)) == 1
