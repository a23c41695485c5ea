"""What the ledger promises when the hub dies without a word."""

from __future__ import annotations

from tests.integration.conftest import MakeHub
from tests.integration.hubs import FINAL, Hub, until, write_project

CONFIG = """
    hub:
      name: lab
      demo_site: tcp:0:interface=127.0.0.1
      max_concurrent_runs: 1
      projects: {lab: {path: lab}}
    schedules: {}
"""
SPIDERS = """
    import scrapy

    class Hang(scrapy.Spider):
        name = "hang"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/slow/600")

    class Number(scrapy.Spider):
        name = "number"

        async def start(self):
            yield {"n": self.n}
"""


def numbered(hub: Hub, count: int) -> list[str]:
    """Order so many runs, each of which brings home its own number; return their ids."""
    return [hub.order("number", {"n": str(number)}) for number in range(count)]


def openings(hub: Hub, run_id: str) -> int:
    """How often a run's spider has opened, over all starts of the hub."""
    return sum(path.read_text().count("Spider opened") for path in hub.data.rglob(f"{run_id}.log"))


def test_queued_runs_survive_kill_9(make_hub: MakeHub) -> None:
    """After kill -9 the run under way is interrupted, and all 50 that waited run once, in their order."""
    write_project((hub := make_hub(CONFIG)).folder / "lab", lab=SPIDERS)
    hub.start()
    hanging = hub.order("hang")
    waiting = numbered(hub, 50)
    hub.wait_state(hanging, "running")
    hub.kill9()

    hub.start()
    rows = hub.wait_all_final(51, 40)
    assert [row["id"] for row in rows] == [hanging, *waiting]
    assert [row["state"] for row in rows] == ["interrupted", *["succeeded"] * 50]
    assert "the hub ended" in rows[0]["reason"]
    started = [row["started_at"] for row in rows[1:]]
    assert started == sorted(started)
    assert [hub.items(run_id) for run_id in waiting] == [[{"n": str(number)}] for number in range(50)]
    assert [openings(hub, run_id) for run_id in (hanging, *waiting)] == [1] * 51


def test_nothing_runs_twice(make_hub: MakeHub) -> None:
    """Killed in the middle of many short runs, the hub starts none of them a second time and forgets none."""
    write_project((hub := make_hub(CONFIG)).folder / "lab", lab=SPIDERS)
    hub.start()
    runs = numbered(hub, 60)
    done = "SELECT count(*) AS n FROM runs WHERE state = 'succeeded'"
    until(lambda: hub.ledger(done)[0]["n"] >= 5, 20, "the first five ends")
    hub.kill9()
    left = hub.ledger("SELECT count(*) AS n FROM runs WHERE state = 'queued'")[0]["n"]

    hub.start()
    rows = hub.wait_all_final(60, 40)
    assert left > 0, "all had run before the kill; nothing was shown"
    assert [row["id"] for row in rows] == runs
    assert {row["state"] for row in rows} <= FINAL - {"failed"}
    assert [row["state"] for row in rows].count("succeeded") >= 59
    assert max(openings(hub, run_id) for run_id in runs) == 1
