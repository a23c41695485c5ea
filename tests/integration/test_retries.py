"""Runs that fail are tried again, by a real hub that is killed in between."""

from __future__ import annotations

from typing import Any

from tests.integration.conftest import MakeHub
from tests.integration.hubs import Hub, until, write_project

CONFIG = """
    hub:
      name: lab
      max_concurrent_runs: 4
      projects: {lab: {path: lab}}
    defaults: {project: lab}
    schedules:
      bad:
        spider: bad
        retry: {max_retries: 2, delay: 3s, backoff: 1}
        pause_on_failure: 1
      hang: {spider: hang, retry: {max_retries: 1, delay: 0.1s}}
"""
SPIDERS = """
    import asyncio
    import scrapy

    class Bad(scrapy.Spider):
        name = "bad"

        async def start(self):
            raise RuntimeError("the shop is closed")
            yield

    class Hang(scrapy.Spider):
        name = "hang"

        async def start(self):
            await asyncio.sleep(600)
            yield
"""


def runs(hub: Hub, schedule: str) -> list[dict[str, Any]]:
    """The views of a schedule's runs, oldest first."""
    status, page = hub.get(f"/api/runs?schedule={schedule}")
    assert status == 200, page
    return list(reversed(page["runs"]))


def states(hub: Hub, schedule: str) -> list[str]:
    """The states of a schedule's runs, oldest first."""
    return [run["state"] for run in runs(hub, schedule)]


def test_attempts_go_on_after_kill_9(make_hub: MakeHub) -> None:
    """A failing run is tried again twice, over a kill -9; the API shows the chain and then the pause.

    Another run dies with the hub, and has its next attempt after the start.
    """
    write_project((hub := make_hub(CONFIG)).folder / "lab", lab=SPIDERS)
    hub.start()
    first = hub.post("/api/schedules/bad/trigger")[1]["id"]
    hanging = hub.post("/api/schedules/hang/trigger")[1]["id"]
    hub.wait_final(first)
    hub.wait_state(hanging, "running")
    assert states(hub, "bad") == ["failed", "queued"]
    hub.kill9()

    hub.start()
    until(lambda: states(hub, "bad") == ["failed"] * 3, 30, "three failures")
    attempts = runs(hub, "bad")
    assert [run["attempt"] for run in attempts] == [1, 2, 3]
    assert [run["retry_of"] for run in attempts] == [None, first, attempts[1]["id"]]
    assert all("the shop is closed" in run["error"] for run in attempts)
    assert [run["not_before"] <= run["started_at"] for run in attempts[1:]] == [True, True]

    until(lambda: hub.get("/api/schedules/bad")[1]["paused"], 10, "the pause")
    assert hub.get("/api/schedules/bad")[1]["paused_reason"].startswith("1 run in a row failed, the last: ")

    until(lambda: states(hub, "hang")[1:] == ["running"], 10, "the next attempt")
    assert [(run["state"], run["retry_of"]) for run in runs(hub, "hang")] == [
        ("interrupted", None),
        ("running", hanging),
    ]
