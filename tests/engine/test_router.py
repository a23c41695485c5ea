"""The engine of a whole hub hands each run to the engine that it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.router import MAX_FIRST_WAIT, NOT_READ, EngineRouter, Projects
from reactorhub.engine.scripted import MemoryDoctor, MemoryEngine
from reactorhub.errors import UnknownSpider
from reactorhub.model.doctor import ProjectReport
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

    def reload(self, projects: Iterable[str]) -> dict[str, str]:
        self.reloaded = set(projects)
        return {name: "no" for name in self.reloaded if name == "shop"}


class Separate(MemoryEngine):
    """An engine in memory that notes what it was told to list and to make ready."""

    warmed: frozenset[str] | set[str] = frozenset()

    async def load(self, projects: Projects, anew: bool) -> None:
        self.anew = anew
        self._spiders = {name: SPIDERS[name] for name, each in projects.items() if each.isolated}

    def recover(self) -> Deferred[Any]:
        return succeed("recovered")

    async def reload(self, projects: Iterable[str]) -> dict[str, str]:
        self.reloaded = set(projects)
        return {name: "not either" for name in self.reloaded if name == "press"}

    def warm(self, projects: Iterable[str]) -> None:
        self.warmed = {*self.warmed, *projects}

    def stop(self) -> Deferred[Any]:
        return succeed("stopped")


def router(**projects: ProjectConfig) -> tuple[Shared, Separate, EngineRouter]:
    """A router over two engines in memory, with these projects or with all."""
    shared, separate, _, made = routers(MemoryDoctor())
    done(made.load(projects or PROJECTS))
    return shared, separate, made


def routers(doctor: MemoryDoctor) -> tuple[Shared, Separate, MemoryDoctor, EngineRouter]:
    """A router that has loaded nothing yet, with this doctor."""
    shared, separate = Shared({}), Separate({})
    return shared, separate, doctor, EngineRouter(shared, separate, doctor, Clock())


def finding(line: int) -> dict[str, Any]:
    """The view of a finding on a line."""
    return {"file": "shop/prices.py", "line": line, "what": "time.sleep() blocks every crawl"}


def report(**because: int | None) -> ProjectReport:
    """What the doctor says of spiders: the line that decides, or None for one that can share."""
    return ProjectReport(
        spiders={name: {"because": line and finding(line)} for name, line in because.items()}
    )


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


AUTO = {"shop": replace(PROJECTS["shop"], isolate=Isolate.AUTO)}


@pytest.mark.parametrize(
    ("spider", "because"),
    [
        ("both", None),
        ("prices", "shop/prices.py:7: time.sleep() blocks every crawl"),
        ("other", "the doctor does not find the spider in the code of the project"),
    ],
)
@pytest.mark.parametrize("projects", [AUTO, {"shop": PROJECTS["shop"]}])
def test_the_doctor_decides_for_runs_that_leave_it_open(
    spider: str, because: str | None, projects: Projects
) -> None:
    """With ``auto``, whoever said it, a run has a process of its own where the doctor has a reason."""
    shared, separate, _, engine = routers(MemoryDoctor({"shop": report(prices=7, both=None)}))
    spec = RunSpec(spider=spider, project="shop", isolate=Isolate.AUTO)
    done(engine.load(projects, [spec]))
    crawl = engine.launch("1", spec)
    assert crawl.isolated_because == because
    assert (launched(shared), launched(separate)) == (([], ["1"]) if because else (["1"], []))
    assert separate.warmed == (set() if because is None else {"shop"})


def test_a_run_is_isolated_until_the_doctor_has_read_its_project() -> None:
    """Nobody waits for the doctor, and nothing that it would isolate shares the reactor before."""
    shared, separate, doctor, engine = routers(MemoryDoctor({"shop": report(prices=None)}))
    doctor.at_once = False
    done(engine.load({"shop": PROJECTS["shop"]}))
    spec = RunSpec(spider="prices", project="shop", isolate=Isolate.AUTO)
    assert engine.launch("1", spec).isolated_because == "the doctor has not read the project yet"
    assert doctor.asked == [["shop"]]
    doctor.finish()
    assert engine.launch("2", spec).isolated_because is None
    assert (launched(separate), launched(shared)) == (["1"], ["2"])


def test_a_project_that_is_open_is_imported_after_the_doctor_has_read_it() -> None:
    """Before that its import might harm the process."""
    shared, _, doctor, engine = routers(MemoryDoctor({"shop": report(prices=None)}))
    doctor.at_once = False
    loading = Deferred.fromCoroutine(engine.load(AUTO))
    assert not loading.called
    assert not hasattr(shared, "loaded")
    doctor.finish()
    assert loading.called
    assert shared.loaded == {"shop"}


def test_a_start_does_not_wait_long_for_the_doctor() -> None:
    """A project that the doctor has not read by then is isolated as a whole, until the next load decides."""
    shared, separate, clock = Shared({}), Separate({}), Clock()
    doctor = MemoryDoctor({"shop": report(prices=None)})
    doctor.at_once = False
    engine = EngineRouter(shared, separate, doctor, clock)
    loading = Deferred.fromCoroutine(engine.load(AUTO))
    clock.advance(MAX_FIRST_WAIT - 0.1)
    assert not loading.called
    clock.advance(0.1)
    done(loading)
    assert (shared.loaded, separate.resolve("prices", "shop")) == (set(), "shop")
    spec = RunSpec(spider="prices", project="shop", isolate=Isolate.AUTO)
    assert engine.launch("1", spec).isolated_because == NOT_READ
    doctor.finish()
    assert engine.launch("2", spec).isolated_because == NOT_READ
    again = Deferred.fromCoroutine(engine.load(AUTO, anew=False))
    doctor.finish()
    done(again)
    assert (shared.loaded, engine.launch("3", spec).isolated_because) == ({"shop"}, None)


def test_a_reload_waits_for_the_doctor() -> None:
    """The hub works meanwhile, and what the doctor says of the new code is worth waiting for."""
    _, _, doctor, engine = routers(MemoryDoctor({"shop": report(prices=None)}))
    done(engine.load({}))
    doctor.at_once = False
    loading = Deferred.fromCoroutine(engine.load(AUTO))
    assert not loading.called
    doctor.finish()
    assert loading.called


@pytest.mark.parametrize(
    ("said", "because"),
    [
        (ProjectReport(harmful_import="shop/x.py:1: signal.signal()"), "shop/x.py:1: signal.signal()"),
        (ProjectReport(error="its folder is gone"), "its folder is gone"),
    ],
)
def test_an_import_that_harms_or_that_nobody_knows(said: ProjectReport, because: str) -> None:
    """Such a project is isolated as a whole, and each of its runs says why, until the code is another."""
    shared, separate, doctor, engine = routers(MemoryDoctor({"shop": said}))
    done(engine.load(AUTO))
    spec = RunSpec(spider="prices", project="shop", isolate=Isolate.AUTO)
    assert (shared.loaded, separate.resolve("prices", "shop")) == (set(), "shop")
    assert engine.launch("1", spec).isolated_because == because
    doctor.says["shop"] = report(prices=None)
    done(engine.load(AUTO))
    assert (shared.loaded, engine.launch("2", spec).isolated_because) == ({"shop"}, None)


@pytest.mark.parametrize(
    ("project", "because"),
    [("press", "the project is isolated as a whole"), ("old", "the project has a Python of its own")],
)
def test_a_schedule_cannot_open_an_isolated_project(project: str, because: str) -> None:
    """The hub has not imported it, whatever the doctor says of the spider."""
    _, _, engine = router()
    spec = RunSpec(spider="news", project=project, isolate=Isolate.AUTO)
    assert engine.launch("1", spec).isolated_because == because


def test_only_a_reload_has_the_code_read_again() -> None:
    """Another schedule file loads no code, so what the doctor has said stays right."""
    _, _, doctor, engine = routers(MemoryDoctor())
    for anew in (True, False, True):
        done(engine.load(AUTO, anew=anew))
    assert doctor.asked == [["shop"]]
    done(engine.reload(["shop"]))
    assert doctor.asked == [["shop"], ["shop"]]


def test_code_that_stays_in_force_keeps_its_verdict() -> None:
    """Where changed code does not load, runs crawl with the old one: the old verdict holds."""
    _, _, doctor, engine = routers(MemoryDoctor({"shop": report(prices=7)}))
    done(engine.load(AUTO))
    doctor.says["shop"] = report(prices=None)
    spec = RunSpec(spider="prices", project="shop", isolate=Isolate.AUTO)
    for _ in range(2):
        assert done(engine.reload(["shop"])) == {"shop": "no"}
        assert (
            engine.launch("1", spec).isolated_because == "shop/prices.py:7: time.sleep() blocks every crawl"
        )


def test_changed_code_goes_to_its_engine() -> None:
    """Each engine loads what it has, and says what it keeps; names that nobody knows are left out."""
    shared, separate, made = router()
    assert done(made.reload(["shop", "press", "old", "none"])) == {"shop": "no", "press": "not either"}
    assert (shared.reloaded, separate.reloaded) == ({"shop"}, {"press", "old"})
    assert done(made.reload(["old"])) == {}
    assert (shared.reloaded, separate.reloaded) == (set(), {"old"})


def test_the_doctor_reads_changed_code() -> None:
    """A project that leaves it to the doctor moves out of the hub's process once its import would harm it."""
    shared, separate, doctor, made = routers(MemoryDoctor({"shop": report(prices=None)}))
    projects = {"shop": replace(PROJECTS["shop"], isolate=Isolate.AUTO), "old": PROJECTS["old"]}
    done(made.load(projects, anew=False))
    assert (shared.loaded, done(made.reload(["shop"]))) == ({"shop"}, {"shop": "no"})
    doctor.says["shop"] = ProjectReport(error="it cannot be read")
    assert done(made.reload(["shop"])) == {}
    assert (shared.loaded, separate.reloaded) == (set(), {"shop"})
