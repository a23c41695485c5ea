"""The engine of a whole hub: shared runs go to one engine, isolated ones to another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.protocols import Crawl, Engine
from reactorhub.errors import UnknownSpider
from reactorhub.model.isolation import Isolate
from reactorhub.model.run import RunSpec
from reactorhub.model.spider import Catalog

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

    def warm(self, projects: Iterable[str]) -> None:
        """Prepare for runs of these projects."""

    def stop(self) -> Deferred[Any]:
        """End all processes; fires when they are gone."""


class EngineRouter:
    """See :class:`reactorhub.engine.protocols.Engine`.

    The shared engine imports a project that is not isolated as a whole. One that is, it imports only when an
    order asks for a shared run of it by name.
    """

    def __init__(self, shared: SharedEngine, separate: SeparateEngine) -> None:
        self._shared = shared
        self._separate = separate
        self._projects: Projects = {}
        self._asked_for: set[str] = set()

    def moved(self, projects: Projects) -> list[str]:
        """Return the projects that would have to be loaded anew, which a running process cannot do."""
        return self._shared.moved(self._shared_of(projects))

    async def load(self, projects: Projects, specs: Iterable[RunSpec] = (), *, anew: bool = True) -> None:
        """Import the projects that share the hub's process, and have those listed that do not.

        :param specs: runs to come; where they are isolated, what they are forked from is made ready.
        :param anew: list isolated projects again whose configuration has not changed.
        """
        self._projects = projects
        self._shared.load(self._shared_of(projects))
        self._separate.warm({spec.project for spec in specs if self._is_separate(spec)})
        await self._separate.load(projects, anew)

    async def reload(self, projects: Iterable[str]) -> dict[str, str]:
        """See :class:`reactorhub.engine.protocols.ProjectLoader`."""
        wanted, shared = set(projects), self._shared_of(self._projects)
        kept = self._shared.reload(name for name in wanted if name in shared)
        return {**kept, **await self._separate.reload(name for name in wanted if self._isolated(name))}

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
        if self._is_separate(spec):
            return self._separate.launch(run_id, spec)
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

    def _shared_of(self, projects: Projects) -> Projects:
        return {
            name: config
            for name, config in projects.items()
            if not config.isolated or (name in self._asked_for and config.python is None)
        }
