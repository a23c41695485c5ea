"""A loader of projects without projects, and the watch over their code on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from reactorhub.engine.code_files import CodeFiles
from reactorhub.engine.projects import ProjectConfig
from reactorhub.hub.code import CodeWatch
from reactorhub.model.run import RunSpec

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class LoadedProjects:
    """Records the names of the projects that each ``load`` was given; ``changed`` are those that moved."""

    def __init__(self, *changed: str) -> None:
        self.changed, self.loads = list(changed), list[list[str]]()
        self.reloads: list[list[str]] = []
        self.kept: dict[str, str] = {}
        self.errors: dict[str, str] = {}

    def moved(self, projects: Mapping[str, ProjectConfig]) -> list[str]:
        """Return the changed projects."""
        return [name for name in projects if name in self.changed]

    async def load(
        self, projects: Mapping[str, ProjectConfig], specs: Iterable[RunSpec] = (), *, anew: bool = True
    ) -> None:
        """Record the names."""
        self.loads.append(list(projects))

    async def reload(self, projects: Iterable[str]) -> Mapping[str, str]:
        """Record the names; keep the old version of those in ``kept``."""
        self.reloads.append(list(projects))
        return {name: self.kept[name] for name in self.reloads[-1] if name in self.kept}

    def code_errors(self) -> Mapping[str, str]:
        """Return what the test says."""
        return self.errors


class Watched:
    """A watch over projects whose files a test changes by hand, at a time of its clock."""

    def __init__(self, projects: Mapping[str, ProjectConfig], loader: LoadedProjects | None = None) -> None:
        self.clock = Clock()
        self.projects = dict(projects)
        self.loader = loader or LoadedProjects()
        self.files: dict[str, CodeFiles] = {}
        self.scans = 0
        self.events: list[tuple[str, Any]] = []
        self.code = CodeWatch(
            clock=self.clock,
            now=self.now,
            loader=self.loader,
            scan=self.scan,
            projects=lambda: self.projects,
            event=lambda kind, about: self.events.append((kind.value, about)),
        )

    def now(self) -> datetime:
        """The wall clock."""
        return datetime.fromtimestamp(MONDAY.timestamp() + self.clock.seconds(), UTC)

    def scan(self, projects: Mapping[str, ProjectConfig]) -> Deferred[Mapping[str, CodeFiles]]:
        """Look at the files."""
        self.scans += 1
        return succeed({name: self.files.get(name, CodeFiles()) for name in projects})

    def edit(self, project: str, **files: int) -> None:
        """Let these files of a project have this size from now on; others are as they were."""
        stamp = int(self.now().timestamp() * 1e9)
        marks = dict(self.files.get(project, CodeFiles()).marks)
        marks |= {path: (0, stamp, size, 1) for path, size in files.items()}
        self.files[project] = CodeFiles(marks)

    def remove(self, project: str, path: str) -> None:
        """Remove a file."""
        self.files[project] = CodeFiles(
            {name: mark for name, mark in self.files[project].marks.items() if name != path}
        )
