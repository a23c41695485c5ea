"""Two hubs on one Redis, while hubs and Redis are killed, frozen and started again at random."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LONG
from tests.integration.hubs import FINAL, Hub, until, write_project
from tests.support.redis_server import RedisServer

CONFIG = """
    hub:
      name: {name}
      max_concurrent_runs: 4
      projects: {{lab: {{path: ../lab}}}}
      redis: {{url: "{redis}"}}
    schedules: {{}}
"""
SPIDERS = """
    import asyncio
    import scrapy

    class Wait(scrapy.Spider):
        name = "wait"

        async def start(self):
            await asyncio.sleep(float(self.seconds))
            yield {"waited": self.seconds}
"""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
SEEDS = range(5 if LONG else 1)
SECONDS = 60.0 if LONG else 3.0
SETTLE_WITHIN = 90.0  # seconds; what a hub left behind is taken over after 30


class Fleet:
    """Two hubs, their Redis, and the entries that were pushed."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.redis = RedisServer()
        self.pushed: list[str] = []
        self._chance = chance
        self._redis_is = "dead"
        self._running: set[str] = set()
        self.hubs: dict[str, Hub] = {}
        write_project(folder / "lab", lab=SPIDERS)
        for name in ("east", "west"):
            (folder / name).mkdir()
            self.hubs[name] = Hub(folder / name, CONFIG.format(name=name, redis=self.redis.url))

    def push(self) -> None:
        """Push a few entries."""
        if self._redis_is != "up":
            return
        for _ in range(self._chance.randint(1, 8)):
            entry_id = f"order-{len(self.pushed)}"
            args = {"seconds": str(round(self._chance.random() / 2, 2))}
            entry = json.dumps({"spider": "wait", "id": entry_id, "args": args})
            self.redis.ask("RPUSH", "reactorhub:inbox", entry)
            self.pushed.append(entry)

    def end_a_hub(self) -> None:
        """Kill a hub, or stop it in order."""
        name = self._chance.choice(sorted(self.hubs))
        if name in self._running:
            hub = self.hubs[name]
            self._chance.choice([hub.kill9, hub.terminate])()
            self._running.remove(name)

    def start_hubs(self) -> None:
        """Start the hubs that do not run."""
        for name in sorted(self.hubs.keys() - self._running):
            self.hubs[name].start()
            self._running.add(name)

    def break_redis(self) -> None:
        """Kill Redis, freeze it, or close its connections."""
        if self._redis_is != "up":
            return
        fault = self._chance.choice(["dead", "frozen", "cut"])
        if fault == "dead":
            self.redis.kill()
        elif fault == "frozen":
            self.redis.freeze()
        else:
            self.redis.ask("CLIENT", "KILL", "TYPE", "normal")
            return
        self._redis_is = fault

    def repair_redis(self) -> None:
        """Undo that."""
        if self._redis_is == "dead":
            self.redis.start(*DURABLE)
        elif self._redis_is == "frozen":
            self.redis.thaw()
        self._redis_is = "up"

    def runs(self) -> dict[str, list[dict[str, Any]]]:
        """Return the runs of each entry in the ledgers of all hubs, by the key of the entry."""
        found: dict[str, list[dict[str, Any]]] = {}
        for hub in self.hubs.values():
            for row in hub.ledger("SELECT id, key, state FROM runs WHERE key IS NOT NULL"):
                found.setdefault(row["key"], []).append(row)
        return found

    def settled(self) -> bool:
        """Whether all entries have become runs, and all runs have ended."""
        runs = self.runs()
        states = {row["state"] for rows in runs.values() for row in rows}
        waiting = self.redis.ask("LLEN", "reactorhub:inbox")
        return not waiting and len(runs) == len(self.pushed) and states <= FINAL

    def close(self) -> None:
        """End everything."""
        for hub in self.hubs.values():
            hub.close()
        self.redis.close()


@pytest.fixture
def fleet(tmp_path: Path, seed: int) -> Iterator[Fleet]:
    """Two hubs and a Redis that run."""
    fleet = Fleet(tmp_path, random.Random(seed))
    try:
        fleet.repair_redis()
        fleet.start_hubs()
        yield fleet
    finally:
        fleet.close()


def storm(fleet: Fleet, chance: random.Random) -> None:
    """Do one thing after the other, and leave all of them running."""
    begin = time.monotonic()
    steps: list[Callable[[], None]] = [fleet.push, fleet.end_a_hub, fleet.start_hubs, fleet.break_redis]
    while time.monotonic() - begin < SECONDS:
        chance.choice([*steps, fleet.push, fleet.start_hubs, fleet.repair_redis, fleet.repair_redis])()
        pause = time.monotonic() + chance.random()
        until(lambda pause=pause: time.monotonic() > pause, 5, "a moment")
    fleet.repair_redis()
    fleet.start_hubs()
    fleet.push()


@pytest.mark.parametrize("seed", SEEDS)
def test_storm(fleet: Fleet, seed: int) -> None:
    """Each entry is one run of one hub, and Redis says of hubs and runs what the hubs' ledgers say."""
    storm(fleet, random.Random(seed))
    until(fleet.settled, SETTLE_WITHIN, "the end of all runs")
    runs = fleet.runs()
    for key, rows in runs.items():
        assert [row["state"] for row in rows if row["state"] != "cancelled"] != [], f"{key} is lost"
        assert sum(row["state"] != "cancelled" for row in rows) == 1, f"{key} ran more than once: {rows}"

    def reported() -> bool:
        rows = [row for rows in runs.values() for row in rows]
        hashes = {row["id"]: fleet.redis.hash(f"reactorhub:run:{row['id']}") for row in rows}
        return all(hashes[row["id"]].get("state") == row["state"] for row in rows)

    until(reported, 30, "the states of all runs in Redis")
    until(lambda: set(fleet.redis.ask("ZRANGE", "reactorhub:hubs", 0, -1)) == set(fleet.hubs), 10, "the hubs")
    until(lambda: fleet.redis.ask("ZRANGE", "reactorhub:live", 0, -1) == [], 40, "the end of live runs")
    for name, hub in fleet.hubs.items():
        assert fleet.redis.hash(f"reactorhub:hub:{name}")["pid"] == str(hub.pid)
        connection = hub.get("/api/status")[1]["redis"]
        assert (connection["state"], connection["conflict"]) == ("connected", None)
        assert "because of a bug" not in hub.output
