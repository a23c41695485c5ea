"""Keys that give a run a process of its own: for a schedule, a project, and by default."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from reactorhub.config import HubConfig, parse
from reactorhub.config.projects import project_mistakes
from reactorhub.errors import ConfigError
from reactorhub.model.isolation import Isolate

MIB = 1 << 20
PROJECTS = """\
hub:
  projects:
    shop: {path: shop}
    press: {path: press, isolate: process, memory_limit: 256MiB}
    old: {path: old, python: old/venv/bin/python}
"""


def read(text: str) -> HubConfig:
    """The config that a text says, below three projects."""
    return parse(PROJECTS + dedent(text), "hub.yaml", {}, Path("/etc/hub"), "host")


def mistakes(text: str) -> list[str]:
    """What is wrong with a text, below three projects."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [f"{mistake.path}: {mistake.message}" for mistake in caught.value.mistakes]


def test_projects() -> None:
    """A project names its Python by a path from the file's own folder, and says how its runs are isolated."""
    projects = read("").projects
    assert projects["old"].python == "/etc/hub/old/venv/bin/python"
    assert [project.isolated for project in projects.values()] == [False, True, True]
    assert projects["press"].memory_limit == 256 * MIB


@pytest.mark.parametrize(
    ("defaults", "schedule", "isolate", "limit"),
    [
        ("", "project: shop", Isolate.NONE, None),
        ("", "project: shop, isolate: process", Isolate.PROCESS, None),
        ("", "project: shop, isolate: process, memory_limit: 64MiB", Isolate.PROCESS, 64),
        ("isolate: process", "project: shop", Isolate.PROCESS, None),
        ("isolate: process", "project: shop, isolate: none", Isolate.NONE, None),
        ("memory_limit: 64MiB", "project: shop", Isolate.NONE, None),
        ("memory_limit: 64MiB", "project: shop, isolate: process", Isolate.PROCESS, 64),
        ("", "project: press", Isolate.PROCESS, 256),
        ("isolate: none, memory_limit: 64MiB", "project: press", Isolate.PROCESS, 256),
        ("", "project: press, memory_limit: 1GiB", Isolate.PROCESS, 1024),
        ("", "project: press, isolate: none", Isolate.NONE, None),
        ("isolate: none", "project: old", Isolate.PROCESS, None),
        ("memory_limit: 64MiB", "project: old", Isolate.PROCESS, 64),
        ("isolate: auto, memory_limit: 64MiB", "project: shop", Isolate.AUTO, 64),
        ("isolate: auto", "project: shop, isolate: none", Isolate.NONE, None),
        ("", "project: press, isolate: auto", Isolate.AUTO, 256),
        ("", "project: shop, isolate: auto, memory_limit: 64MiB", Isolate.AUTO, 64),
    ],
)
def test_the_nearest_decides(defaults: str, schedule: str, isolate: Isolate, limit: int | None) -> None:
    """A schedule goes before its project, and a project before the defaults."""
    config = read(f"defaults: {{{defaults}}}\nschedules: {{it: {{spider: x, {schedule}}}}}\n")
    spec = config.schedules["it"].spec
    assert (spec.isolate, spec.memory_limit) == (isolate, limit and limit * MIB)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("project: shop, isolate: thread", "isolate: must be one of none, process, auto"),
        (
            "project: old, isolate: none",
            "isolate: the project has its own Python, /etc/hub/old/venv/bin/python, so its runs are isolated;"
            " remove this",
        ),
        (
            "project: shop, memory_limit: 64MiB",
            "memory_limit: only a process of its own can have a limit; write isolate: process, too",
        ),
        (
            "project: press, isolate: none, memory_limit: 64MiB",
            "memory_limit: only a process of its own can have a limit; write isolate: process, too",
        ),
        (
            "project: press, memory_limit: 64",
            "memory_limit: '64' is not a size; write it like 512MiB or 2GiB",
        ),
        (
            "project: press, memory_limit: 1MiB",
            "memory_limit: must be at least 64MiB, which a crawl needs, and at most 65536GiB, not '1MiB'",
        ),
    ],
)
def test_mistakes(schedule: str, message: str) -> None:
    """What cannot be is told at its place."""
    assert mistakes(f"schedules: {{it: {{spider: x, {schedule}}}}}\n") == [f"schedules.it.{message}"]


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    """The path of a project's Python has to lead to one."""
    for name in ("shop", "press", "old"):
        (tmp_path / name).mkdir()
    config = parse(PROJECTS, "hub.yaml", {}, tmp_path, "host")
    (mistake,) = project_mistakes(config)
    assert mistake.path == "hub.projects.old.python"
    assert f"there is no Python {tmp_path}/old/venv/bin/python" in mistake.message


def test_a_project_with_a_python_of_its_own_cannot_share(tmp_path: Path) -> None:
    """``isolate: none`` at such a project is a mistake, as it is at a schedule."""
    text = f"hub: {{projects: {{old: {{path: ., python: {sys.executable}, isolate: none}}}}}}"
    (mistake,) = project_mistakes(parse(text, "hub.yaml", {}, tmp_path, "host"))
    assert (mistake.path, mistake.column) == ("hub.projects.old.isolate", text.index("none}") + 1)
    assert "so its runs are isolated; remove this" in mistake.message


def test_isolated_projects_may_have_packages_of_one_name(tmp_path: Path) -> None:
    """Each process has an interpreter of its own, so only projects that share the hub's can be in the way."""
    text = "hub: {projects: {a: {path: a}, b: {path: b, isolate: process}, c: {path: c, isolate: process}}}"
    for name in "abc":
        (tmp_path / name).mkdir()
    assert project_mistakes(parse(text, "hub.yaml", {}, tmp_path, "host")) == []
