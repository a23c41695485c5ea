"""Measures a hub that has thousands of schedules: at rest, when many are due, and when they change."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.contenders import Hub
from bench.errors import BenchError
from bench.ledger import opened
from bench.plans import SPIDER, Plan, alike, all_different, due, resting
from bench.probe import Probe
from bench.procfs import cpu_seconds, memory
from bench.programs import installed
from bench.timetable import CRAWLING, Burst, Timetable, Watched

AT_ONCE = 16
AFTERWARDS = 0.5  # seconds after an order in which calls still count as made beside it
PATIENCE = 30.0  # seconds until all ticks of a moment have to be on disk
LOOK_AGAIN = 0.02  # seconds
FAR = timedelta(days=100)
HEALTH, STATUS = "/healthz", "/api/status"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: numbers of schedules, and seconds.

    ``settle`` is for what a hub still does after its start; ``ahead`` of the moment at which many are due
    they are put into the file.
    """

    schedules: int = 10_000
    reloaded: int = 5_000
    due: int = 1_000
    idle: float = 20.0
    settle: float = 2.0
    ahead: float = 10.0


class Punctuality:
    """Measures one hub after the other."""

    def __init__(self, scale: Scale, project: Path, folder: Path, say: Callable[[str], None]) -> None:
        """
        :param project: the folder of the project that has the spider of the plans.
        :param folder: an empty one, for everything that is written.
        """
        self._scale = scale
        self._project = project
        self._folder = folder
        self._say = say

    def measure(self) -> Timetable:
        """Return all figures.

        :raises BenchError: if a tick was lost or a hub did something else than it should.
        """
        scale, now = self._scale, datetime.now(UTC)
        with self._hub("alone", {}) as hub:
            time.sleep(self._scale.settle)
            alone = memory(hub.process.pid)
        began = time.monotonic()
        with self._hub("many", resting(scale.schedules, now)) as hub:
            start = time.monotonic() - began
            time.sleep(self._scale.settle)
            each = (memory(hub.process.pid) - alone) / scale.schedules
            idle = self._idle(hub)
            listed = self._watched(hub, lambda client: client.get("/api/schedules"))
            bursts = self._bursts(hub, resting(scale.schedules - scale.due, now))
        with self._hub("changing", resting(scale.reloaded, now)) as hub:
            time.sleep(self._scale.settle)
            reloads = self._reloads(hub, now)
            with Client(hub.base) as client:
                stall = client.get(STATUS)["reactor"]["worst_stall"]
        return Timetable(
            schedules=scale.schedules,
            reloaded=scale.reloaded,
            start=start,
            idle=idle,
            memory=each,
            listed=listed,
            bursts=bursts,
            reloads=reloads,
            worst_stall=stall,
            checks=self._checks(),
        )

    def _hub(self, name: str, plan: Plan) -> Hub:
        self._say(f"a hub with {len(plan):,} schedules")
        return Hub(self._project, self._folder / name, AT_ONCE, plan, shutdown_grace="1s")

    def _idle(self, hub: Hub) -> float:
        before, start = cpu_seconds(hub.process.pid), time.monotonic()
        time.sleep(self._scale.idle)
        return (cpu_seconds(hub.process.pid) - before) / (time.monotonic() - start)

    def _watched(self, hub: Hub, order: Callable[[Client], Any]) -> Watched:
        """Return how long an order took, and how long the simplest calls took from before it until after."""
        with Probe(hub.base, HEALTH, self._folder) as probe, Client(hub.base) as client:
            start = time.monotonic()
            order(client)
            seconds = time.monotonic() - start
            time.sleep(AFTERWARDS)
            return Watched(seconds=seconds, worst=max(delay for _, delay in probe.answers()))

    # -- many due at once

    def _bursts(self, hub: Hub, others: Plan) -> dict[str, Burst]:
        """Let many be due while they are paused, while crawls can start, and while all slots are taken."""
        with Client(hub.base) as client:  # imports and caches are paid once in a process that stays
            for _ in range(AT_ONCE):
                client.post("/api/runs", {"spider": SPIDER})
        hub.settle()
        self._reload(hub, {**others, **due("paused", self._scale.due, datetime.now(UTC) + FAR)})
        with Client(hub.base) as client:
            for number in range(self._scale.due):
                client.post(f"/api/schedules/paused-{number:05}/pause", {})
        bursts = {
            "paused": self._burst(hub, "paused", others),
            CRAWLING: self._burst(hub, "crawling", others),
        }
        hub.settle()
        with Client(hub.base) as client:
            for _ in range(AT_ONCE):
                client.post("/api/runs", {"spider": SPIDER, "args": {"seconds": "1000"}})
        time.sleep(self._scale.settle)
        return {**bursts, "all slots taken": self._burst(hub, "waiting", others)}

    def _burst(self, hub: Hub, kind: str, others: Plan) -> Burst:
        moment = (datetime.now(UTC) + timedelta(seconds=self._scale.ahead)).replace(microsecond=0)
        self._reload(hub, {**others, **due(kind, self._scale.due, moment)})
        if datetime.now(UTC) > moment - timedelta(seconds=1):
            raise BenchError(f"the reload before {moment:%T} took too long; let there be more time for it")
        with Probe(hub.base, STATUS, self._folder) as probe, opened(hub.data / "hub.db") as ledger:
            deadline = moment.timestamp() + PATIENCE
            while ledger.ticks(moment) < self._scale.due:
                if time.time() > deadline:
                    raise BenchError(f"{ledger.ticks(moment)} of {self._scale.due} ticks are on disk")
                time.sleep(LOOK_AGAIN)
            on_disk = time.time() - moment.timestamp()
            time.sleep(AFTERWARDS)
            answers = [(when - moment.timestamp(), delay) for when, delay in probe.answers()]
            late = ledger.lateness(moment)
        worst = max(delay for when, delay in answers if when + delay >= 0)
        self._say(f"{kind}: all {len(late):,} on disk after {on_disk:.3f} s")
        return Burst.of(late, Watched(seconds=on_disk, worst=worst))

    # -- changes

    def _reload(self, hub: Hub, plan: Plan) -> None:
        hub.write(plan)
        with Client(hub.base) as client:
            client.post("/api/reload", {})

    def _reloads(self, hub: Hub, now: datetime) -> dict[str, Watched]:
        count = self._scale.reloaded
        whole, other = resting(count, now), resting(count, now, version=1)
        one = {**whole, **dict(list(other.items())[-1:])}
        plans = {
            "nothing changed": whole,
            "one changed": one,
            "all changed": other,
            "half removed": dict(list(other.items())[::2]),
            "half added": other,
            "all at other times": all_different(count),
        }
        return {name: self._reloaded(hub, name, plan) for name, plan in plans.items()}

    def _reloaded(self, hub: Hub, name: str, plan: Plan) -> Watched:
        hub.write(plan)
        found = self._watched(hub, lambda client: client.post("/api/reload", {}))
        self._say(f"reload, {name}: {found.seconds:.2f} s, slowest call {found.worst_ms:.0f} ms")
        return found

    def _checks(self) -> dict[str, float]:
        count = self._scale.reloaded
        return {
            "all with the same cron": self._check(alike(count)),
            "all with different crons": self._check(all_different(count)),
        }

    def _check(self, plan: Plan) -> float:
        hub = Hub(self._project, self._folder / f"check-{id(plan)}", AT_ONCE, plan)
        start = time.monotonic()
        command = [installed("reactorhub"), "check", str(hub.file)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
        if found.returncode:
            raise BenchError(f"the check has found mistakes:\n{found.stdout[-2000:]}{found.stderr[-2000:]}")
        return seconds
