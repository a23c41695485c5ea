"""Chains and batches in a real hub that is killed in the middle, again and again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.conftest import LONG
from tests.integration.conftest import MakeHub
from tests.integration.hubs import FINAL, Hub, until, write_project

CONFIG = """
    hub:
      name: lab
      max_concurrent_runs: 8
      projects: {lab: {path: lab}}
    defaults: {project: lab, overlap: allow_all}
    schedules:
      first: {spider: brief}
      second: {spider: brief, after: first, args: {of: "{upstream.run_id}"}}
      third: {spider: brief, after: second, after_state: any, args: {of: "{upstream.run_id}"}}
"""
SPIDERS = """
    import asyncio
    import scrapy

    class Brief(scrapy.Spider):
        name = "brief"

        async def start(self):
            await asyncio.sleep(0.2)
            if False:
                yield
"""

KILLS = 25 if LONG else 5


def runs(hub: Hub, query: str = "") -> list[dict[str, Any]]:
    """The views of all runs that a query lets through."""
    status, page = hub.get(f"/api/runs?limit=1000&{query}")
    assert status == 200, page
    return list(page["runs"])


def all_final(hub: Hub) -> bool:
    """Whether no run is left to end."""
    return all(run["state"] in FINAL for run in runs(hub))


def wait_for_ends(hub: Hub, number: int) -> None:
    """Wait until so many runs have ended."""
    until(lambda: len([run for run in runs(hub) if run["state"] in FINAL]) >= number, 20, "some ends")


def test_a_follower_runs_once_for_each_end_whatever_kills_the_hub(make_hub: MakeHub) -> None:
    """Over many kills each success has exactly one follower, no other end has any, and the batch one run."""
    write_project((hub := make_hub(CONFIG)).folder / "lab", lab=SPIDERS)
    hub.start()
    orders = [{"spider": "brief", "args": {"n": str(number)}} for number in range(20)]
    wish = {"run": {"spider": "brief", "args": {"of": "{batch.id}"}, "tags": ["last"]}}
    status, batch = hub.post("/api/batches", {"runs": orders, "on_complete": wish})
    assert status == 201, batch
    for kill in range(KILLS):
        for _ in range(4):
            assert hub.post("/api/schedules/first/trigger")[0] == 201
        wait_for_ends(hub, 2 * kill + 2)
        hub.kill9()
        hub.start()
    until(lambda: all_final(hub), 60, "the last end")

    for name, follower, states in (("first", "second", {"succeeded"}), ("second", "third", FINAL)):
        ends = {run["id"] for run in runs(hub, f"schedule={name}") if run["state"] in states}
        followers = runs(hub, f"schedule={follower}")
        assert Counter(run["upstream"] for run in followers) == Counter(ends)
        assert all(run["args"] == {"of": run["upstream"]} for run in followers)
    ticks = hub.get("/api/schedules/second/ticks?limit=1000")[1]["ticks"]
    assert {tick["run_id"] for tick in ticks} == {run["id"] for run in runs(hub, "schedule=second")}

    done = hub.get(f"/api/batches/{batch['id']}")[1]
    assert (done["done"], done["total"], sum(done["runs"].values())) == (True, 20, 20)
    assert [run["id"] for run in runs(hub, "tag=last")] == [done["completion"]]
