"""The engine of a whole hub hands each run to the engine that it is for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.router import EngineRouter, Projects
from reactorhub.engine.scripted import MemoryEngine
from reactorhub.errors import UnknownSpider
from reactorhub.model.isolation import Isolate
from reactorhub.model.run import RunSpec
from tests.support.deferreds import done

SPIDERS = {"shop": ["prices", "both"], "press": ["news", "both"], "old": ["ages"]}
PROJECTS = {
    "shop": ProjectConfig(name="shop", path=Path("/shop")),
    "press": ProjectConfig(name="press", path=Path("/press"), isolate=Isolate.PROCESS),
    "old": ProjectConfig(name="old", path=Path("/old"), python="/old/bin/python"),
}


class Shared(MemoryEngine):
    """An engine in memory that notes which projects it was told to import."""

    def load(self, projects: Projects) -> None:
        self.loaded = set(projects)
        self._spiders = {name: SPIDERS[name] for name in projects}

    def moved(self, projects: Projects) -> list[str]:
        return list(projects)


class Separate(MemoryEngine):
    """An engine in memory that notes what it was told to list and to make ready."""

    async def load(self, projects: Projects, anew: bool) -> None:
        self.anew = anew
        self._spiders = {name: SPIDERS[name] for name, each in projects.items() if each.isolated}

    def warm(self, projects: Iterable[str]) -> None:
        self.warmed = set(projects)

    def stop(self) -> Deferred[Any]:
        return succeed("stopped")


def router(**projects: ProjectConfig) -> tuple[Shared, Separate, EngineRouter]:
    """A router over two engines in memory, with these projects or with all."""
    shared, separate = Shared({}), Separate({})
    made = EngineRouter(shared, separate)
    done(made.load(projects or PROJECTS))
    return shared, separate, made


def launched(engine: MemoryEngine) -> list[str]:
    """The ids of the runs that an engine was given."""
    return [crawl.run_id for crawl in engine.crawls]


def test_isolated_projects_are_not_imported() -> None:
    """The hub's own process imports only what shares it; of all the catalog tells."""
    shared, separate, engine = router()
    assert shared.loaded == {"shop"}
    assert {(each.project, each.name) for each in engine.catalog().spiders} == {
        (project, name) for project, names in SPIDERS.items() for name in names
    }
    assert engine.moved(PROJECTS) == ["shop"]
    assert separate.anew


@pytest.mark.parametrize(
    ("project", "isolate", "separate"),
    [
        ("shop", Isolate.NONE, False),
        ("shop", Isolate.PROCESS, True),
        ("press", Isolate.PROCESS, True),
        ("press", Isolate.NONE, False),
        ("old", Isolate.PROCESS, True),
        ("old", Isolate.NONE, True),  # accepted before the project had a Python of its own
    ],
)
def test_where_a_run_goes(project: str, isolate: Isolate, separate: bool) -> None:
    """A run goes where its spec says, but for a project that the hub's Python cannot import."""
    shared, apart, engine = router()
    engine.launch("r", RunSpec(spider="both", project=project, isolate=isolate))
    assert (launched(shared), launched(apart)) == (([], ["r"]) if separate else (["r"], []))


def test_a_shared_run_of_an_isolated_project_imports_it() -> None:
    """Only an order that asks for it by name brings the code of an isolated project into the hub, and the
    catalog still shows its spiders once."""
    shared, _, engine = router()
    engine.launch("r", RunSpec(spider="news", project="press", isolate=Isolate.NONE))
    assert shared.loaded == {"shop", "press"}
    names = [each.name for each in engine.catalog().spiders if each.project == "press"]
    assert names == ["news", "both"]
    done(engine.load(PROJECTS))
    assert shared.loaded == {"shop", "press"}


def test_resolving() -> None:
    """A spider is found wherever its project lives; one that several have must be told apart."""
    _, _, engine = router()
    assert [engine.resolve(name, None) for name in ("prices", "news", "ages")] == ["shop", "press", "old"]
    assert engine.resolve("both", "press") == "press"
    with pytest.raises(UnknownSpider, match="say which: shop, press"):
        engine.resolve("both", None)
    for project in (None, "press"):
        with pytest.raises(UnknownSpider):
            engine.resolve("none", project)


def test_what_runs_to_come_are_forked_from_is_made_ready() -> None:
    """Loading with the schedules' specs warms up the projects of those that are isolated."""
    _, separate, engine = router()
    specs = [
        RunSpec(spider="prices", project="shop"),
        RunSpec(spider="news", project="press", isolate=Isolate.PROCESS),
    ]
    done(engine.load(PROJECTS, specs, anew=False))
    assert (separate.warmed, separate.anew) == ({"press"}, False)
    assert engine.stop().result == "stopped"
