"""The bench of many schedules, run on few: it measures real hubs, so that it has to be true of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import bench
from bench.punctuality import Punctuality, Scale
from bench.table import timetable_markdown

SMALL = Scale(schedules=60, reloaded=40, due=20, idle=0.5, settle=0.2, ahead=3.0)


def test_the_bench_of_schedules_works_on_few(tmp_path: Path) -> None:
    """Every tick is found in the ledger, each reload and each check succeeds, and all has a figure."""
    project = Path(shutil.copytree(Path(bench.__file__).parent / "project", tmp_path / "project"))
    said: list[str] = []
    found = Punctuality(SMALL, project, tmp_path / "hubs", said.append).measure()
    assert {name: burst.ticks for name, burst in found.bursts.items()} == {
        "paused": 20,
        "crawling": 20,
        "all slots taken": 20,
    }
    assert all(0 <= burst.p50 <= burst.p99 for burst in found.bursts.values())
    assert len(found.reloads) == 6 and len(found.checks) == 2 and found.start > 0
    assert "| target | measured | wanted |" in timetable_markdown(found)
    assert "a hub with 60 schedules" in said
