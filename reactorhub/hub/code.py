"""Loads changed code of projects: on request, and of its own accord where a project wants that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.engine.code_files import CodeFiles
from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.protocols import ProjectLoader
from reactorhub.events.types import EventType
from reactorhub.model.code import CodeReload, ProjectCode
from reactorhub.model.values import View
from reactorhub.wire.views import code_view

_EVERY = 2.0  # seconds between two looks at the files; also how long they must rest before they are loaded
_SHARE = 20.0  # times as long as a look took is waited until the next, so that it costs 5 % of a core at most
_SELDOM = 30.0  # seconds; looks are never rarer

Projects = Mapping[str, ProjectConfig]
Scan = Callable[[Projects], Deferred[Mapping[str, CodeFiles]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """What is in force of a project, and which files were loaded, tried last and seen last."""

    code: ProjectCode
    loaded: CodeFiles
    tried: CodeFiles
    seen: CodeFiles


class CodeWatch:
    """Knows which version of each project's code is in force, and loads newer ones.

    A version that cannot be imported leaves the one before it in force. Loads never overlap.
    """

    log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        now: Callable[[], datetime],
        loader: ProjectLoader,
        scan: Scan,
        projects: Callable[[], Projects],
        event: Callable[[EventType, View], object],
    ) -> None:
        """
        :param scan: looks at the files of projects, in another thread.
        :param projects: returns the projects of the config in force.
        """
        self._clock = clock
        self._now = now
        self._loader = loader
        self._scan = scan
        self._projects = projects
        self._event = event
        self._versions: dict[str, _Version] = {}
        self._lock = DeferredLock()
        self._timer: Any = None
        self._watching = False
        self._took = 0.0

    async def load(self, projects: Projects, load: Callable[[], Any]) -> None:
        """Call ``load``, which loads those of these projects that are new; note which version that is."""
        await self._lock.acquire()
        try:
            self._versions = {name: each for name, each in self._versions.items() if name in projects}
            files = await self._scan(_without(projects, self._versions))
            await load()
            errors = self._loader.code_errors()
            for name, found in files.items():
                code = ProjectCode(name=name, loaded_at=self._now(), error=errors.get(name))
                self._versions[name] = _Version(code=code, loaded=found, tried=found, seen=found)
        finally:
            self._lock.release()

    def watch(self) -> None:
        """Begin to look at the files again and again."""
        self._watching = True
        self._timer = self._clock.callLater(_EVERY, self._look_soon)

    def stop(self) -> None:
        """Look no more."""
        self._watching = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def views(self) -> list[View]:
        """Return the views of all projects."""
        return [self._view(each.code) for each in self._versions.values()]

    def note(self, project: str) -> str | None:
        """Return a sentence if a project's files are newer than what is in force of them."""
        version = self._versions.get(project)
        return None if version is None else stale_note(version.code, self._now())

    async def reload(self) -> list[View]:
        """Load the projects whose files have changed or could not be imported; return the views of all."""
        await self._lock.acquire()
        try:
            await self._look_at_files()
            changed = [
                name
                for name, each in self._versions.items()
                if each.code.stale or each.code.error is not None
            ]
            await self._load_anew(changed)
        finally:
            self._lock.release()
        return self.views()

    def _look_soon(self) -> None:
        looking = Deferred.fromCoroutine(self._look())
        looking.addErrback(self._broken)
        looking.addCallback(self._next_look)

    def _next_look(self, _: object) -> None:
        if self._watching:
            rest = min(max(_EVERY, self._took * _SHARE), _SELDOM)
            self._timer = self._clock.callLater(rest, self._look_soon)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("the hub could not look at the code of its projects; it will try again", failure)

    async def _look(self) -> None:
        await self._lock.acquire()
        try:
            before = {name: each.seen for name, each in self._versions.items()}
            await self._look_at_files()
            projects = self._projects()
            await self._load_anew(
                [
                    name
                    for name, each in self._versions.items()
                    if name in projects
                    and projects[name].reload is CodeReload.AUTO
                    and each.seen == before[name]
                    and each.seen != each.tried
                ]
            )
        finally:
            self._lock.release()

    async def _look_at_files(self) -> None:
        projects = {name: each for name, each in self._projects().items() if name in self._versions}
        began = self._clock.seconds()
        files = await self._scan(projects)
        self._took = self._clock.seconds() - began
        for name, seen in files.items():
            version = self._versions[name]
            changed = None
            if seen != version.loaded:
                changed = seen.changed_at(version.loaded) or version.code.changed_at or self._now()
            self._versions[name] = replace(version, seen=seen, code=replace(version.code, changed_at=changed))

    async def _load_anew(self, names: Iterable[str]) -> None:
        names = list(names)
        if not names:
            return
        kept = await self._loader.reload(names)
        errors = self._loader.code_errors()
        for name in names:
            version = self._versions[name]
            self._versions[name] = (
                self._refused(version, kept[name])
                if name in kept
                else self._in_force(version, errors.get(name))
            )
        changed = [self._view(self._versions[name].code) for name in names]
        self._event(EventType.CODE_RELOADED, {"code": {"projects": changed}})

    def _in_force(self, version: _Version, error: str | None) -> _Version:
        self.log.info("project {project}: its changed code is loaded", project=version.code.name)
        code = ProjectCode(name=version.code.name, loaded_at=self._now(), error=error)
        return replace(version, code=code, loaded=version.seen, tried=version.seen)

    def _refused(self, version: _Version, error: str) -> _Version:
        self.log.error(
            "project {project}: its changed code cannot be loaded, the one before stays in force: {error}",
            project=version.code.name,
            error=error,
        )
        return replace(version, code=replace(version.code, error=error), tried=version.seen)

    def _view(self, code: ProjectCode) -> View:
        return {**code_view(code), "note": stale_note(code, self._now())}


def stale_note(code: ProjectCode, now: datetime) -> str | None:
    """Return ``code changed 14:02, loaded 09:00``, in local time, with the day where it is not today."""
    if code.changed_at is None:
        return None
    return f"code changed {_short(code.changed_at, now)}, loaded {_short(code.loaded_at, now)}"


def _short(moment: datetime, now: datetime) -> str:
    local = moment.astimezone()
    today = local.date() == now.astimezone().date()
    return local.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")


def _without(projects: Projects, known: Mapping[str, Any]) -> Projects:
    return {name: each for name, each in projects.items() if name not in known}
