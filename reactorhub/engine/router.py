"""The engine of a whole hub: shared runs go to one engine, isolated ones to another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.protocols import Crawl, Doctor, Engine
from reactorhub.errors import UnknownSpider
from reactorhub.model.doctor import ProjectReport
from reactorhub.model.isolation import Isolate
from reactorhub.model.run import RunSpec
from reactorhub.model.spider import Catalog

MAX_FIRST_WAIT = 5.0
"""Seconds for which the first load of projects waits for the doctor, at most."""

NOT_READ = "the doctor had not read the project when the hub loaded it; the next reload decides anew"

Projects = Mapping[str, ProjectConfig]


class SharedEngine(Engine, Protocol):
    """Crawls in the hub's own process."""

    def moved(self, projects: Projects) -> list[str]:
        """Return the projects that would have to be loaded anew, which a running process cannot do."""

    def load(self, projects: Projects) -> None:
        """Import the projects that are new and drop those that are gone."""

    def reload(self, projects: Iterable[str]) -> dict[str, str]:
        """Import these projects anew; see :meth:`reactorhub.engine.protocols.ProjectLoader.reload`."""


class SeparateEngine(Engine, Protocol):
    """Crawls in other processes."""

    async def reload(self, projects: Iterable[str]) -> dict[str, str]:
        """List these projects anew; see :meth:`reactorhub.engine.protocols.ProjectLoader.reload`."""

    async def load(self, projects: Projects, anew: bool) -> None:
        """Take runs of these projects from now on, and list the spiders of those that are isolated.

        :param anew: list those, too, that have been listed before and are configured as they were then.
        """

    def recover(self) -> Deferred[Any]:
        """End what an earlier hub has left; fires when that is done."""

    def warm(self, projects: Iterable[str]) -> None:
        """Prepare for runs of these projects."""

    def stop(self) -> Deferred[Any]:
        """End all processes; fires when they are gone."""


class EngineRouter:
    """See :class:`reactorhub.engine.protocols.Engine`.

    The shared engine imports a project that is not isolated as a whole. One that is, it imports only when an
    order asks for a shared run of it by name. ``doctor`` says which spiders can share.

    With ``isolate: auto`` the doctor decides, by the code as it was when it was loaded. A project that says
    so is not imported before the doctor has read it, and never if its import would harm the process. A run
    is isolated as long as the doctor has not read its project. No start waits long for the doctor: a project
    that it needs longer for is isolated as a whole until the next load.
    """

    log = Logger()

    def __init__(
        self, shared: SharedEngine, separate: SeparateEngine, doctor: Doctor, clock: IReactorTime
    ) -> None:
        self._clock = clock
        self._loaded = False
        self._shared = shared
        self._separate = separate
        self.doctor = doctor
        self._given: Projects = {}
        self._projects: Projects = {}
        self._harms: dict[str, str] = {}
        self._older: dict[str, ProjectReport] = {}  # of code that stays since the newer one does not load
        self._asked_for: set[str] = set()

    def recover(self) -> Deferred[Any]:
        """End what an earlier hub has left; fires when that is done. Call it before anything is loaded."""
        return self._separate.recover()

    def moved(self, projects: Projects) -> list[str]:
        """Return the projects that would have to be loaded anew, which a running process cannot do."""
        return self._shared.moved(self._shared_of(projects))

    async def load(self, projects: Projects, specs: Iterable[RunSpec] = (), *, anew: bool = True) -> None:
        """Import the projects that share the hub's process, and have those listed that do not.

        :param specs: runs to come; where they are isolated, what they are forked from is made ready.
        :param anew: list isolated projects again whose configuration has not changed.
        """
        left_open = tuple(spec for spec in specs if spec.isolate is Isolate.AUTO)
        read = self.doctor.known(())
        if anew:
            asking = {spec.project for spec in left_open}
            read = self._have_read([each for n, each in projects.items() if n in asking or _is_open(each)])
        await self._open_ones_known([each for each in projects.values() if _is_open(each)])
        self._older = {n: each for n, each in self._older.items() if self._given[n] == projects.get(n)}
        self._given = projects
        self._projects = {name: self._settled(each) for name, each in projects.items()}
        self._shared.load(self._shared_of(self._projects))
        self._warm(spec for spec in specs if spec.isolate is not Isolate.AUTO)
        read.addCallback(lambda _: self._warm(left_open))
        await self._separate.load(self._projects, anew)

    async def _open_ones_known(self, projects: Iterable[ProjectConfig]) -> None:
        """Wait until the doctor has read these projects; at the start only for a short time."""
        first, self._loaded = not self._loaded, True
        known = self.doctor.known(projects)
        if not first:
            await known
            return
        with suppress(TimeoutError):
            await known.addTimeout(MAX_FIRST_WAIT, self._clock)
        for late in (each.name for each in projects if self.doctor.report(each.name) is None):
            self.log.warn("the doctor has not read project {project} yet: it is isolated", project=late)
            self.doctor.known([each for each in projects if each.name == late]).addCallback(self._read, late)

    def _read(self, _: object, project: str) -> None:
        if self.doctor.report(project) is not None:
            self.log.info("the doctor has read project {project}: the next reload decides", project=project)

    def _have_read(self, projects: Iterable[ProjectConfig]) -> Deferred[None]:
        """Have the doctor read what the process is about to import; of the rest the old report is the right
        one.
        """
        of_all = tuple(projects)
        kept = {n for n, each in self._given.items() if each in of_all and not self._isolated(n)}
        read = self.doctor.read(each for each in of_all if each.name not in kept)
        return read.addCallback(lambda _: self.doctor.known(each for each in of_all if each.name in kept))

    async def reload(self, projects: Iterable[str]) -> dict[str, str]:
        """See :class:`reactorhub.engine.protocols.ProjectLoader`."""
        wanted, before = set(projects) & self._given.keys(), self._shared_of(self._projects)
        reports = {name: self._report(name) for name in wanted}
        await self._read_again(wanted)
        shared = self._shared_of(self._projects)
        kept = self._shared.reload(name for name in wanted if name in shared and name in before)
        self._older = {
            **{name: each for name, each in self._older.items() if name not in wanted},
            **{name: report for name, report in reports.items() if name in kept and report is not None},
        }
        self._shared.load(shared)
        await self._separate.load(self._projects, anew=False)
        return {**kept, **await self._separate.reload(name for name in wanted if self._isolated(name))}

    async def _read_again(self, names: Iterable[str]) -> None:
        """Have the doctor read changed code, where it has been asked about it before."""
        asked = [self._given[name] for name in names if self.doctor.report(name) is not None]
        if asked:
            await self.doctor.read(asked)
            self._projects = {name: self._settled(each) for name, each in self._given.items()}

    def code_errors(self) -> dict[str, str]:
        """See :class:`reactorhub.engine.protocols.ProjectLoader`."""
        return self.catalog().errors()

    def catalog(self) -> Catalog:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        shared, separate = self._shared.catalog(), self._separate.catalog()
        return Catalog(
            spiders=(
                *(each for each in shared.spiders if not self._isolated(each.project)),
                *separate.spiders,
            ),
            broken=(*(each for each in shared.broken if not self._isolated(each.project)), *separate.broken),
            warnings=(*shared.warnings, *separate.warnings),
        )

    def resolve(self, spider: str, project: str | None) -> str:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        if project is not None:
            return self._engine_of(project).resolve(spider, project)
        if not any(each.isolated for each in self._projects.values()):
            return self._shared.resolve(spider, None)
        having = [name for name in self._projects if self._has(name, spider)]
        if len(having) > 1:
            raise UnknownSpider(f"several projects have a spider {spider!r}, say which: {', '.join(having)}")
        return having[0] if having else self._shared.resolve(spider, None)

    def launch(self, run_id: str, spec: RunSpec) -> Crawl:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        because = self._because(spec) if spec.isolate is Isolate.AUTO else None
        if because is not None or self._is_separate(spec):
            crawl = self._separate.launch(run_id, spec)
            crawl.isolated_because = because
            return crawl
        if self._isolated(spec.project) and spec.project not in self._asked_for:
            self._asked_for.add(spec.project)
            self._shared.load(self._shared_of(self._projects))
        return self._shared.launch(run_id, spec)

    def stop(self) -> Deferred[Any]:
        """End all processes; fires when they are gone."""
        return self._separate.stop()

    def _has(self, project: str, spider: str) -> bool:
        try:
            return self._engine_of(project).resolve(spider, project) == project
        except UnknownSpider:
            return False

    def _engine_of(self, project: str) -> Engine:
        return self._separate if self._isolated(project) else self._shared

    def _isolated(self, project: str) -> bool:
        config = self._projects.get(project)
        return config is not None and config.isolated

    def _is_separate(self, spec: RunSpec) -> bool:
        config = self._projects.get(spec.project)
        return spec.isolate is Isolate.PROCESS or (config is not None and config.python is not None)

    def _warm(self, specs: Iterable[RunSpec]) -> None:
        kinds = {(each.project, each.isolate, each.spider): each for each in specs}  # of many schedules, few
        wanted = {each.project for each in kinds.values() if self._because(each) or self._is_separate(each)}
        self._separate.warm(wanted & self._projects.keys())

    def _because(self, spec: RunSpec) -> str | None:
        """Return why a run has a process of its own that may share the reactor; None if it shares it."""
        if spec.isolate is not Isolate.AUTO:
            return None
        config = self._projects.get(spec.project)
        if config is not None and config.isolated:
            own = "has a Python of its own" if config.python else "is isolated as a whole"
            return self._harms.get(spec.project) or f"the project {own}"
        report = self._report(spec.project)
        if report is None:
            self.doctor.known([config] if config else [])
            return "the doctor has not read the project yet"
        return report.because(spec.spider)

    def _report(self, project: str) -> ProjectReport | None:
        """What the doctor has said of the code that is in force."""
        return self._older.get(project) or self.doctor.report(project)

    def _settled(self, config: ProjectConfig) -> ProjectConfig:
        """Return a project as the doctor would have it: isolated as a whole, or as it was."""
        self._harms.pop(config.name, None)
        if not _is_open(config):
            return config
        report = self.doctor.report(config.name)
        harm = NOT_READ if report is None else report.error or report.harmful_import
        if harm is None:
            return config
        self._harms[config.name] = harm
        return replace(config, isolate=Isolate.PROCESS)

    def _shared_of(self, projects: Projects) -> Projects:
        return {
            name: replace(config, isolate=None, memory_limit=None)
            for name, config in projects.items()
            if not config.isolated or (name in self._asked_for and config.python is None)
        }


def _is_open(config: ProjectConfig) -> bool:
    """Whether a project leaves it to the doctor where its runs crawl."""
    return config.isolation.isolate is Isolate.AUTO
