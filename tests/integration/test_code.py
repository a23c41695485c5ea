"""Projects whose code is edited while a real hub runs them, in its own process and in others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest

from tests.integration.hubs import Hub, until

PROJECTS = ("shop", "apart", "eager")
CONFIG = """
    hub:
      projects:
        shop: {path: shop}
        apart: {path: apart, isolate: process}
        eager: {path: eager, reload: auto}
"""
SPIDER = """
    import scrapy
    from pages_NAME.helper import VALUE

    class Say(scrapy.Spider):
        name = "say"

        async def start(self):
            yield {"value": VALUE}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with three projects, which all say 1."""
    hub = Hub(tmp_path_factory.mktemp("code"), dedent(CONFIG))
    for name in PROJECTS:
        package = hub.folder / name / f"pages_{name}"
        (package / "spiders").mkdir(parents=True)
        (package.parent / "scrapy.cfg").write_text(f"[settings]\ndefault = pages_{name}.settings\n")
        (package / "settings.py").write_text(f"SPIDER_MODULES = ['pages_{name}.spiders']\n")
        (package / "spiders" / "say.py").write_text(dedent(SPIDER.replace("NAME", name)))
    edit(hub, "VALUE = 1\n")
    with hub:
        yield hub


def edit(hub: Hub, text: str) -> None:
    """Write the same module into each project."""
    for name in PROJECTS:
        (hub.folder / name / f"pages_{name}" / "helper.py").write_text(text)


def said(hub: Hub) -> dict[str, tuple[Any, bool]]:
    """What a new run of each project says, and whether its log begins with what has changed."""
    told = {}
    for name in PROJECTS:
        run = hub.wait_final(hub.post("/api/runs", {"spider": "say", "project": name})[1]["id"])
        value = hub.items(run["id"])[0]["value"] if run["state"] == "succeeded" else run["state"]
        told[name] = value, "code changed" in hub.log(run["id"]).partition("\n")[0]
    return told


def code(hub: Hub) -> dict[str, Any]:
    """What the status says of each project's code."""
    return {each["name"]: each for each in hub.get("/api/status")[1]["projects"]}


def test_changed_code(hub: Hub) -> None:
    """It shows until it is loaded: on request, or of its own accord; runs of their own use it at once."""
    assert said(hub) == {"shop": (1, False), "apart": (1, False), "eager": (1, False)}
    assert all(each["changed_at"] is None for each in code(hub).values())
    edit(hub, "VALUE = 2\n")
    until(lambda: code(hub)["shop"]["changed_at"], 15, "the change")
    until(lambda: code(hub)["eager"]["changed_at"] is None, 15, "the reload of its own accord")
    assert code(hub)["shop"]["note"].startswith("code changed ")
    assert said(hub) == {"shop": (1, True), "apart": (2, False), "eager": (2, False)}
    status, answer = hub.post("/api/reload")
    assert (status, [each["name"] for each in answer["projects"]]) == (200, list(PROJECTS))
    assert said(hub) == {"shop": (2, False), "apart": (2, False), "eager": (2, False)}


def test_code_that_cannot_be_imported(hub: Hub) -> None:
    """The last good version stays in force. The reload answers 200 with the error; SIGHUP loads the next."""
    edit(hub, "VALUE = = 3\n")
    status, answer = hub.post("/api/reload")
    assert status == 200, hub.said
    for each in answer["projects"]:
        assert "cannot be imported: SyntaxError" in each["error"], each
        assert each["changed_at"] is not None
    assert said(hub) == {"shop": (2, True), "apart": ("failed", False), "eager": (2, True)}
    assert len(hub.get("/api/spiders")[1]["spiders"]) == 3
    edit(hub, "VALUE = 4\n")
    assert hub.process is not None
    os.kill(hub.process.pid, signal.SIGHUP)
    until(lambda: all(each["error"] is None for each in code(hub).values()), 15, "the reload")
    assert said(hub) == {"shop": (4, False), "apart": (4, False), "eager": (4, False)}


def test_a_bad_file_loads_no_code(hub: Hub) -> None:
    """A schedule file with mistakes is refused with 422, and nothing else is loaded with it."""
    before = hub.file.read_text()
    edit(hub, "VALUE = 5\n")
    hub.file.write_text(before + "shedules: {}\n")
    assert hub.post("/api/reload")[0] == 422
    until(lambda: code(hub)["shop"]["changed_at"], 15, "the change")
    assert said(hub)["shop"] == (4, True)
    hub.file.write_text(before)
    assert hub.post("/api/reload")[0] == 200
    assert said(hub)["shop"] == (5, False)


def test_a_project_that_was_taken_out_and_put_back(hub: Hub) -> None:
    """It is read anew, whatever version was in force before."""
    before = hub.file.read_text()
    hub.file.write_text(before.replace("shop: {path: shop}", ""))
    assert hub.post("/api/reload")[1]["removed_projects"] == ["shop"]
    edit(hub, "VALUE = 6\n")
    hub.file.write_text(before)
    assert hub.post("/api/reload")[1]["added_projects"] == ["shop"]
    assert said(hub)["shop"] == (6, False)
