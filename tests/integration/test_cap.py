"""The limit on concurrent runs holds, at every moment and while it is changed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import pytest

from tests.integration.hubs import Hub, until, write_project

CONFIG = """
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      max_concurrent_runs: 4
      queues: {default: 100, heavy: 2}
      projects: {lab: {path: lab}}
    schedules: {}
"""
SPIDERS = """
    import scrapy

    class Brief(scrapy.Spider):
        name = "brief"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/slow/0.05")

        def parse(self, response):
            yield {"url": response.url}

    class Broken(scrapy.Spider):
        name = "broken"

        def __init__(self, **kwargs):
            raise ValueError("broken from the start")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that lets four runs go on at once, two of them heavy."""
    hub = Hub(tmp_path_factory.mktemp("cap"), CONFIG)
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        yield hub


def max_at_once(hub: Hub, queue: str, runs: list[str]) -> int:
    """How many of these runs of a queue were active at once, at the most, as the ledger tells."""
    rows = [row for row in hub.ledger("SELECT * FROM runs WHERE queue = ?", queue) if row["id"] in runs]
    moves = [(row["started_at"], 1) for row in rows] + [(row["finished_at"], -1) for row in rows]
    return max(accumulate(change for _, change in sorted(moves)))


def test_never_more_than_four_of_a_hundred(hub: Hub) -> None:
    """Of 100 runs never more than four are active, the API says so all the while, and all succeed."""
    runs = [hub.order("brief") for _ in range(100)]
    used = []

    def all_final() -> bool:
        view = hub.get("/api/status")[1]
        active = sum(view["runs"][state] for state in ("starting", "running", "stopping"))
        used.append(max(view["slots"]["used"], active))
        return not active and not view["runs"]["queued"]

    until(all_final, 40, "the end of all runs")
    assert max(used) <= 4
    assert max_at_once(hub, "default", runs) == 4
    assert {hub.run(run_id)["state"] for run_id in runs} == {"succeeded"}


def test_queues_have_limits_of_their_own(hub: Hub) -> None:
    """Runs of a queue stay within its limit and leave the other slots to others."""
    heavy = [hub.order("brief", queue="heavy") for _ in range(8)]
    light = [hub.order("brief") for _ in range(8)]
    for run_id in (*heavy, *light):
        hub.wait_final(run_id)
    assert max_at_once(hub, "heavy", heavy) == 2
    assert max_at_once(hub, "default", light) <= 4


def test_a_new_limit_holds_at_once(hub: Hub) -> None:
    """A limit that is set while runs wait holds for those that start after it."""
    status, limits = hub.patch("/api/limits", {"max_concurrent_runs": 1})
    assert (status, limits["max_concurrent_runs"]) == (200, 1)
    runs = [hub.order("brief") for _ in range(6)]
    for run_id in runs:
        hub.wait_final(run_id)
    assert max_at_once(hub, "default", runs) == 1
    assert hub.patch("/api/limits", {"max_concurrent_runs": 4})[0] == 200


def test_many_that_fail_at_once(hub: Hub) -> None:
    """300 queued runs that raise in ``__init__`` all fail with the reason, and the pool is full again."""
    runs = [hub.order("broken") for _ in range(300)]
    last = hub.wait_final(runs[-1], 40)
    assert last["state"] == "failed" and "broken from the start" in last["error"]
    until(lambda: hub.get("/api/status")[1]["slots"]["used"] == 0, 10, "the return of all slots")
    failed = hub.ledger("SELECT count(*) AS n FROM runs WHERE spider = 'broken' AND state = 'failed'")
    assert failed[0]["n"] == 300
