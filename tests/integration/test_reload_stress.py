"""A hub that is told to reload a hundred times a second, by every way there is, while its file is in flux."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LONG
from tests.integration.hubs import Hub, until, write_project
from tests.support.stopwatch import waited

SPIDERS = """
    import asyncio
    from pathlib import Path
    import scrapy

    class Brief(scrapy.Spider):
        name = "brief"

        async def start(self):
            yield {"brief": True}

    class Patient(scrapy.Spider):
        name = "patient"

        async def start(self):
            while not Path("go").exists():
                await asyncio.sleep(0.05)
            yield {"patient": True}
"""
SECONDS = 60 if LONG else 5
A_SECOND = 100  # reloads that are asked for
STEADY = {"spider": "brief", "interval": "1s", "overlap": "allow_all", "catchup": "all"}
MICROSECONDS = 1_000_000  # the ledger's unit, in a second
Rows = list[dict[str, Any]]


def config(**schedules: Any) -> str:
    """A schedule file in one pair of braces, of which no part is a schedule file."""
    hub = {"max_concurrent_runs": 20, "projects": {"lab": {"path": "lab"}}}
    return json.dumps({"schedules": {"steady": STEADY, **schedules}, "hub": hub})


@dataclass
class Storm:
    """What a hub was put through, and what it answered."""

    hub: Hub
    chance: random.Random = field(default_factory=lambda: random.Random(1731))
    asked: Counter[str] = field(default_factory=Counter)
    answers: list[Future[tuple[int, Any]]] = field(default_factory=list)
    patient: str = ""
    went_on: bool = False
    stall: float = 0.0
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)

    def edit(self) -> None:
        """Leave the file whole or half-written, with other schedules beside the steady one, or remove it."""
        chance, file = self.chance, self.hub.file
        names = chance.sample(["gone", "renamed", "third"], chance.randrange(4))
        text = config(**{name: self._schedule() for name in names})
        way = chance.choice(["whole", "at once", "half", "two steps", "removed"])
        if way == "removed":
            file.unlink(missing_ok=True)
        elif way == "at once":
            draft = file.with_suffix(".new")
            draft.write_text(text)
            draft.replace(file)
        elif way == "whole":
            file.write_text(text)
        else:
            cut = chance.randrange(1, len(text) - 1)
            with file.open("w") as half:
                half.write(text[:cut])
                half.flush()
                half.write(text[cut:] if way == "two steps" else "")
        self.asked[way] += 1

    def _schedule(self) -> dict[str, Any]:
        return {"spider": "patient", "interval": self.chance.choice(["1h", "2h"])}

    def rage(self, seconds: float, workers: ThreadPoolExecutor) -> None:
        """Edit the file and ask for a reload again and again."""
        begin, number = time.monotonic(), 0
        while time.monotonic() - begin < seconds:
            self.edit()
            if self.chance.random() < 0.5:
                self.answers.append(workers.submit(self.hub.post, "/api/reload"))
            else:
                self.hub.send(signal.SIGHUP)
            number += 1
            due = begin + number / A_SECOND
            until(lambda due=due: time.monotonic() >= due, 10)  # type: ignore[misc]


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    """A hub after the storm, with its last file in force and told to end."""
    hub = Hub(tmp_path_factory.mktemp("storm"), config(gone={"spider": "patient", "interval": "1h"}))
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub, ThreadPoolExecutor(8) as workers:
        storm = Storm(hub, patient=hub.post("/api/schedules/gone/trigger")[1]["id"])
        hub.wait_state(storm.patient, "running")
        storm.rage(SECONDS / 5, workers)
        storm.before = weight(hub.pid)
        storm.rage(SECONDS * 4 / 5, workers)
        subside(storm)
        yield storm


def subside(storm: Storm) -> None:
    """Wait for all answers, put a last file in force, let the patient run end, and end the hub."""
    hub = storm.hub
    for answer in storm.answers:
        answer.result(60)
    hub.file.write_text(config(last={"spider": "brief", "interval": "1h"}))
    assert hub.post("/api/reload")[0] == 200
    storm.went_on = hub.run(storm.patient)["state"] == "running"
    (hub.folder / "go").touch()
    hub.wait_final(storm.patient)
    seen = len(ticks(hub))
    until(lambda: len(ticks(hub)) >= seen + 3, 20, "three ticks after the storm")
    storm.after = weight(hub.pid)
    storm.stall = waited(hub.pid)


def weight(pid: int) -> tuple[int, int]:
    """The memory in KiB that a process occupies, and how many files it has open."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(resident.split()[1]), len(list(Path(f"/proc/{pid}/fd").iterdir()))


def ticks(hub: Hub) -> Rows:
    """The rows of the schedule that no edit touches, by nominal time."""
    return hub.ledger("SELECT * FROM ticks WHERE schedule = 'steady' ORDER BY nominal_time")


def test_an_unchanged_schedule_keeps_every_tick(storm: Storm) -> None:
    """Each second has one row, and each row a run of its own: none is lost, doubled or skipped."""
    rows = ticks(storm.hub)
    times = [row["nominal_time"] for row in rows]
    assert len(times) > SECONDS
    assert {after - before for before, after in pairwise(times)} == {MICROSECONDS}
    assert {row["outcome"] for row in rows} == {"run"}
    runs = storm.hub.ledger("SELECT id FROM runs WHERE schedule = 'steady' ORDER BY seq")
    assert [run["id"] for run in runs] == [row["run_id"] for row in rows]


def test_ticks_are_not_late(storm: Storm) -> None:
    """However many reloads are under way, a tick runs within a second or two of its time, plus what the
    machine let the hub wait."""
    runs = storm.hub.ledger("SELECT * FROM runs WHERE schedule = 'steady'")
    assert max(run["created_at"] - run["nominal_time"] for run in runs) < (3 + storm.stall) * MICROSECONDS


def test_a_run_under_way_is_untouched(storm: Storm) -> None:
    """A run goes on though its schedule was removed, renamed and added again; it ends as ever."""
    assert storm.went_on
    assert storm.hub.run(storm.patient)["state"] == "succeeded"


def test_every_order_is_answered(storm: Storm) -> None:
    """Each POST hears what has changed, or what is wrong with the file; orders that meet share a reload."""
    statuses = Counter(answer.result()[0] for answer in storm.answers)
    assert set(statuses) == {200, 422}
    reloads = storm.hub.output.count("the schedule file is in force")
    refusals = storm.hub.output.count("the schedule file is not put in force")
    assert reloads > 0 and refusals > 0
    assert reloads + refusals <= sum(storm.asked.values()) + SECONDS


def test_the_last_good_file_is_in_force(storm: Storm) -> None:
    """When all is over the file as it stands holds, and status shows no mistakes."""
    names = [schedule["name"] for schedule in storm.hub.get("/api/schedules")[1]["schedules"]]
    assert names == ["steady", "last"]
    assert storm.hub.get("/api/status")[1]["config"]["errors"] == []


def test_nothing_has_piled_up(storm: Storm) -> None:
    """Neither memory nor open files have grown with the reloads, and nothing in the hub has gone wrong."""
    (memory, files), (memory_after, files_after) = storm.before, storm.after
    assert memory_after - memory < 30_000, (storm.before, storm.after)
    assert files_after - files < 12, (storm.before, storm.after)
    assert "Traceback" not in storm.hub.output + storm.hub.errors
