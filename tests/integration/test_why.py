"""The look from outside at a real hub: while it runs, after kill -9, and after a clean stop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.integration.conftest import MakeHub
from tests.integration.hubs import REACTORHUB, Hub, until, write_project
from tests.support.warm_start import WARM

CONFIG = """
    hub:
      name: lab
      shutdown_grace: 1s
      demo_site: tcp:0:interface=127.0.0.1
      max_concurrent_runs: 1
      projects: {lab: {path: lab}}
    schedules:
      hanging: {spider: hang, interval: 1s}
"""
SPIDERS = """
    import asyncio
    import scrapy

    class Hang(scrapy.Spider):
        name = "hang"

        async def start(self):
            await asyncio.sleep(600)
            yield {}
"""


def asked(hub: Hub, *words: str) -> dict[str, Any]:
    """Give a command of ``reactorhub`` that prints JSON."""
    places = ["-c", str(hub.file), "--data-dir", str(hub.data), "--json"]
    result = WARM.run([REACTORHUB, *words, *places], Path.cwd(), os.environ)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def kinds(view: dict[str, Any]) -> list[str]:
    """The kinds of what was found."""
    return [each["kind"] for each in view["findings"]]


def files(hub: Hub) -> dict[str, tuple[int, int]]:
    """The files of the ledger, each with its size and when it was written."""
    found = (file for file in hub.data.glob("hub.db*") if not file.name.endswith("-shm"))
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in found}


def test_the_answers_follow_the_hub(make_hub: MakeHub) -> None:
    """A running hub is named with what it skips, a dead one is missed, and nothing is ever written."""
    write_project((hub := make_hub(CONFIG)).folder / "lab", lab=SPIDERS)
    hub.start()
    view = until(lambda: _skipping(hub), 20, "a skipped tick")
    assert view["hub"]["pid"] == hub.pid and view["hub"]["http"].startswith("http://127.0.0.1:")
    assert {"last_skipped", "running"} <= set(kinds(view))
    last = view["ticks"][0]
    assert (
        "overlap is skip and run" in asked(hub, "why", "hanging", "--at", last["nominal_time"])["at"]["text"]
    )
    plan = asked(hub, "plan", "--next", "1m")
    assert plan["hours"][0]["in_use"] > 0 and plan["skips"][0]["schedule"] == "hanging"

    hub.kill9()
    before = files(hub)
    assert before.keys() == {"hub.db", "hub.db-wal"}
    view = asked(hub, "why", "hanging")
    assert kinds(view)[0] == "no_hub" and "running" not in kinds(view) and view["counts"]["skipped"] > 0
    assert files(hub) == before

    hub.start()
    assert kinds(asked(hub, "why", "hanging"))[0] != "no_hub"
    hub.terminate()
    before = files(hub)
    assert before.keys() == {"hub.db"}
    view = asked(hub, "why", "hanging")
    assert kinds(view)[0] == "no_hub" and view["counts"]["run"] > 0
    assert files(hub) == before and not list(hub.data.glob("hub.db-*"))


def _skipping(hub: Hub) -> dict[str, Any] | None:
    view = asked(hub, "why", "hanging", "-n", "3")
    return view if "last_skipped" in kinds(view) else None
