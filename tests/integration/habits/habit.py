"""One habit of real projects: its files, the runs that are ordered, and what each of them must bring home."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from tests.integration.hubs import Hub

SAME = "as under `scrapy crawl`"
PAGE = "data:text/html,one"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run must have brought home. ``items`` and ``errors`` that are None are not compared."""

    items: tuple[Mapping[str, Any], ...] | None = ({"url": PAGE},)
    state: str = "succeeded"
    errors: int | None = 0
    reason: str = ""
    log: tuple[str, ...] = ()
    not_in_log: tuple[str, ...] = ()

    def check(self, hub: Hub, run: Mapping[str, Any]) -> None:
        """:raises AssertionError: if the run is another."""
        log = hub.log(run["id"])
        errors = run["errors"] if self.errors is None else self.errors
        assert (run["state"], run["errors"]) == (self.state, errors), f"{run}\n{log}"
        assert self.reason in (run["reason"] or ""), run
        for text in self.log:
            assert text in log, log
        for text in self.not_in_log:
            assert text not in log, log
        if self.items is not None:
            assert tuple(hub.items(run["id"])) == self.items, log


@dataclass(frozen=True, slots=True)
class Order:
    """A run that is ordered, or triggered where ``schedule`` names one. ``shared``: where that differs."""

    spider: str
    outcome: Outcome = field(default_factory=Outcome)
    shared: Outcome | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    schedule: str = ""

    def submit(self, hub: Hub, project: str) -> str:
        """Give the order; return the run's id."""
        if self.schedule:
            status, view = hub.post(f"/api/schedules/{self.schedule}/trigger")
        else:
            order = {"spider": self.spider, "project": project, "args": dict(self.args)}
            status, view = hub.post("/api/runs", order)
        assert status in (200, 201), (view, self.broken(hub, project))
        return str(view["id"])

    @staticmethod
    def broken(hub: Hub, project: str) -> str:
        """Return what the hub says of a project's broken modules."""
        broken = hub.get("/api/spiders")[1]["broken"]
        return " ".join(str(each) for each in broken if each["project"] == project)


@dataclass(frozen=True, slots=True)
class Habit:
    """What projects do (``does``: a row of the page about it), and what comes of it.

    :ivar shared: what the page says of the shared process.
    :ivar spiders: source of the modules below ``spiders/``, by name.
    :ivar files: other files, by path below the project's folder.
    :ivar keys: what ``hub.projects`` says of the project.
    :ivar schedules: schedules of the file.
    :ivar broken: the modules or spiders that must be listed as broken.
    :ivar check: looks at what the runs have left, after the last of them.
    :ivar check_shared: the same where the shared process differs.
    """

    does: str
    project: str
    spiders: Mapping[str, str]
    orders: tuple[Order, ...]
    shared: str = SAME
    settings: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    schedules: Mapping[str, Any] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    check: Callable[[Hub, Path], None] | None = None
    check_shared: Callable[[Hub, Path], None] | None = None

    def write(self, folder: Path) -> None:
        """Write the project into ``folder``, as ``scrapy startproject`` lays one out."""
        package = f"{self.project}_project"
        texts = {
            "scrapy.cfg": f"[settings]\ndefault = {package}.settings\nstaging = {package}.staging\n",
            f"{package}/__init__.py": "",
            f"{package}/settings.py": f'SPIDER_MODULES = ["{package}.spiders"]\n{dedent(self.settings)}',
            f"{package}/spiders/__init__.py": "",
            **{f"{package}/spiders/{name}.py": text for name, text in self.spiders.items()},
            **self.files,
        }
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))


def spider(name: str, parse: str, *, top: str = "", body: str = "") -> str:
    """Return the source of a spider of one page.

    :param parse: the body of its callback.
    :param top: what stands above its class, and ``body`` what stands in it.
    """
    head = f"import scrapy\n{dedent(top)}\n\nclass Reader(scrapy.Spider):\n    name = {name!r}\n"
    start = "" if "def start(" in body or "start_urls" in top else f"    start_urls = [{PAGE!r}]\n"
    callback = f"    def parse(self, response):\n{indent(dedent(parse).strip(), ' ' * 8)}\n"
    return head + start + indent(dedent(body), "    ") + callback


def write_hub(folder: Path, habits: tuple[Habit, ...], isolate: str) -> str:
    """Write all projects below ``folder``; return the text of the schedule file that names them."""
    for habit in habits:
        habit.write(folder / habit.project)
    keys = {"isolate": isolate} if isolate != "none" else {}
    projects = {habit.project: {"path": habit.project, **keys, **habit.keys} for habit in habits}
    schedules = {
        name: {"project": habit.project, **keys} for habit in habits for name, keys in habit.schedules.items()
    }
    config = {
        "hub": {"projects": projects, "shutdown_grace": "1s", "demo_site": "tcp:0:interface=127.0.0.1"},
        "schedules": schedules,
    }
    return json.dumps(config)
