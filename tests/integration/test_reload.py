"""The schedule file is edited while the hub runs."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from textwrap import dedent
from typing import Any

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.hubs import Hub, until, write_project
from tests.support.redis_server import RedisServer

CONFIG = """
    hub:
      name: lab
      demo_site: tcp:0:interface=127.0.0.1
      max_concurrent_runs: {limit}
      projects: {{lab: {{path: lab}}}}
      redis: {{url: "{redis}"}}
    schedules:
      steady: {{spider: brief, interval: 7h}}
      {more}
"""
SPIDERS = """
    import scrapy

    class Brief(scrapy.Spider):
        name = "brief"

        async def start(self):
            yield scrapy.Request(f"{self.shop}/slow/{self.seconds}")

        def parse(self, response):
            yield {"url": response.url}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Hub]:
    """A hub whose schedule file is edited by the tests of this module."""
    hub = Hub(tmp_path_factory.mktemp("reload"), text(redis_server))
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        yield hub


@pytest.fixture(autouse=True)
def restored(hub: Hub, redis_server: RedisServer) -> Iterator[None]:
    """Puts the first schedule file back in force after each test."""
    yield
    write(hub, text(redis_server))
    assert hub.post("/api/reload")[0] == 200


def text(redis: RedisServer, limit: object = 4, *schedules: str) -> str:
    """Return a schedule file with more schedules beside the one that is always there."""
    more = "\n      ".join(schedules)
    return dedent(CONFIG.format(redis=redis.url, limit=limit, more=more))


def write(hub: Hub, new: str) -> None:
    """Save the schedule file the way careful editors do."""
    draft = hub.file.with_suffix(".new")
    draft.write_text(new)
    draft.replace(hub.file)


def names(hub: Hub) -> list[str]:
    """Return the names of the schedules in force."""
    return [schedule["name"] for schedule in hub.get("/api/schedules")[1]["schedules"]]


def args(hub: Hub, seconds: str = "0") -> str:
    """Return the arguments of the spider as YAML."""
    return f'{{shop: "{hub.shop}", seconds: "{seconds}"}}'


def test_saving_the_file_is_enough(hub: Hub, redis_server: RedisServer) -> None:
    """An edit is in force a few seconds after it was saved: a new schedule fires, a new limit holds."""
    write(hub, text(redis_server, 7, f"eager: {{spider: brief, interval: 1s, args: {args(hub)}}}"))
    until(lambda: names(hub) == ["steady", "eager"], 20, "the new schedule")
    assert hub.get("/api/limits")[1]["max_concurrent_runs"] == 7
    until(lambda: hub.get("/api/schedules/eager/ticks")[1]["ticks"], 20, "a tick of the new schedule")


@pytest.mark.parametrize("way", ["save", "SIGHUP", "POST"])
def test_bad_file_changes_nothing(hub: Hub, redis_server: RedisServer, way: str) -> None:
    """A bad file leaves the old one in force; status, log, reply and an event say what is wrong with it."""
    before = len(redis_server.events("reactorhub:events"))
    write(hub, text(redis_server, f"too-many-{way}", "other: {spider: brief}"))
    if way == "SIGHUP":
        hub.send(signal.SIGHUP)
    elif way == "POST":
        status, problem = hub.post("/api/reload")
        assert status == 422 and "max_concurrent_runs" in str(problem)
    errors: list[Any] = until(lambda: hub.get("/api/status")[1]["config"]["errors"], 20, "the errors")
    assert len(errors) == 1 and errors[0].startswith(f"{hub.file}:5:")
    assert names(hub) == ["steady"]
    assert hub.get("/api/limits")[1]["max_concurrent_runs"] == 4
    until(
        lambda: "config.rejected" in str(redis_server.events("reactorhub:events")[before:]), 20, "the event"
    )
    assert f"too-many-{way}" in hub.output


def test_mended_file_clears_the_errors(hub: Hub, redis_server: RedisServer) -> None:
    """Once the file is right again it is in force, and status shows no errors."""
    write(hub, "hub: [")
    assert hub.post("/api/reload")[0] == 422
    write(hub, text(redis_server, 4, "other: {spider: brief}"))
    hub.send(signal.SIGHUP)
    until(lambda: names(hub) == ["steady", "other"], 20, "the mended file")
    assert hub.get("/api/status")[1]["config"]["errors"] == []


def test_reply_lists_what_changed(hub: Hub, redis_server: RedisServer) -> None:
    """POST /api/reload answers with what was added, changed and removed."""
    write(hub, text(redis_server, 4, "a: {spider: brief}", "b: {spider: brief, interval: 1h}"))
    assert hub.post("/api/reload")[1]["added"] == ["a", "b"]
    write(hub, text(redis_server, 4, "b: {spider: brief, interval: 2h}", "c: {spider: brief}"))
    status, changes = hub.post("/api/reload")
    assert status == 200
    told = {key: changes[key] for key in ("added", "changed", "removed", "unchanged")}
    assert told == {"added": ["c"], "changed": ["b"], "removed": ["a"], "unchanged": 1}


def test_unchanged_schedules_keep_their_next_fire(hub: Hub, redis_server: RedisServer) -> None:
    """An edit next to it does not move a schedule's next times."""
    before = hub.get("/api/schedules/steady")[1]["next"]
    write(hub, text(redis_server, 4, "other: {spider: brief, interval: 1h}"))
    assert hub.post("/api/reload")[0] == 200
    assert hub.get("/api/schedules/steady")[1]["next"] == before


def test_running_crawls_are_untouched(hub: Hub, redis_server: RedisServer) -> None:
    """A run goes on to its end though its schedule was removed from the file meanwhile."""
    write(hub, text(redis_server, 4, f"gone: {{spider: brief, args: {args(hub, '1.5')}}}"))
    assert hub.post("/api/reload")[0] == 200
    run_id = hub.post("/api/schedules/gone/trigger")[1]["id"]
    hub.wait_state(run_id, "running")
    write(hub, text(redis_server))
    assert hub.post("/api/reload")[1]["removed"] == ["gone"]
    assert hub.run(run_id)["state"] == "running"
    assert hub.wait_final(run_id)["state"] == "succeeded"


PROJECTS = """
    hub:
      projects: {{{name}: {{path: {name}, spider_modules: [{module}]}}}}
    schedules: {{steady: {{spider: {spider}, interval: 7h}}}}
"""


def test_a_reload_that_is_not_kept_leaves_the_projects(make_hub: MakeHub) -> None:
    """While another program holds the ledger a reload is refused, and spiders are those of the old file; once
    it is put in force, a run that still waits for a project that is gone fails and says so."""
    old, new = (
        PROJECTS.format(name=name, module=f"{name}_spiders", spider=spider)
        for name, spider in (("one", "first"), ("two", "second"))
    )
    hub = make_hub(old)
    for name, spider in (("one", "first"), ("two", "second")):
        (hub.folder / name).mkdir()
        source = f"import scrapy\n\nclass Idle(scrapy.Spider):\n    name = {spider!r}\n"
        (hub.folder / name / f"{name}_spiders.py").write_text(source)
    hub.start()
    write(hub, dedent(new))
    with closing(sqlite3.connect(hub.data / "hub.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert hub.post("/api/reload")[0] == 503
        other.execute("ROLLBACK")
    assert spiders(hub) == ["first"]
    run_id = hub.post("/api/schedules/steady/trigger")[1]["id"]
    assert hub.wait_final(run_id)["finish_reason"] == "finished"

    assert hub.post("/api/reload")[0] == 200
    assert spiders(hub) == ["second"]
    again = hub.post(f"/api/runs/{run_id}/rerun")[1]["id"]
    assert "there is no project 'one'; there are: two" in hub.wait_final(again)["error"]


def spiders(hub: Hub) -> list[str]:
    """Return the names of the spiders that can run."""
    return [spider["name"] for spider in hub.get("/api/spiders")[1]["spiders"]]


EAGER = """
    import os
    import signal
    from pathlib import Path

    import scrapy

    file = Path({file!r})
    text = file.read_text()
    if "late" not in text:
        file.write_text(text.replace("steady", "late"))
        if {told}:
            os.kill(os.getpid(), signal.SIGHUP)

    class Brief(scrapy.Spider):
        name = "brief"
"""


@pytest.mark.parametrize("told", [False, True])
def test_an_edit_during_the_start_is_seen(make_hub: MakeHub, told: bool) -> None:
    """What is saved after the hub has read its file, and before it is ready, comes into force once it is;
    a SIGHUP in that time ends nothing and is obeyed then."""
    hub = make_hub(
        "hub: {projects: {lab: {path: lab}}}\nschedules: {steady: {spider: brief, interval: 7h}}\n"
    )
    write_project(hub.folder / "lab", lab=EAGER.format(file=str(hub.file), told=told))
    hub.start()
    until(lambda: names(hub) == ["late"], 20, "the edit")
    assert hub.output.index("the hub listens on") < hub.output.index("the schedule file is in force")
