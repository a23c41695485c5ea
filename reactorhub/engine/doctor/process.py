"""The hub's side of the doctor: has projects read by a process of its own, and knows what that has said."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.engine.projects import ProjectConfig
from reactorhub.model.doctor import ProjectReport
from reactorhub.model.values import View

READ_WITHIN = 300.0  # seconds in which all projects have to be read
_NOT_TOLD = ("isolate", "memory_limit", "reload")  # of a project: the doctor's verdict does not hang on them


class ProcessDoctor:
    """See :class:`reactorhub.engine.protocols.Doctor`. At most one process reads at a time."""

    log = Logger()

    def __init__(self, reactor: Any, folder: Path) -> None:
        """:param folder: where findings are kept."""
        self._reactor = reactor
        self._folder = folder
        self._reports: dict[str, ProjectReport] = {}
        self._wanted: dict[str, ProjectConfig] = {}
        self._asking: list[tuple[frozenset[str], Deferred[None]]] = []
        self._reading: _Reading | None = None
        self._stopped = False

    def report(self, project: str) -> ProjectReport | None:
        """See :class:`reactorhub.engine.protocols.Doctor`."""
        return self._reports.get(project)

    def read(self, projects: Iterable[ProjectConfig]) -> Deferred[None]:
        """See :class:`reactorhub.engine.protocols.Doctor`."""
        new = {each.name: each for each in projects}
        self._reports = {name: each for name, each in self._reports.items() if name not in new}
        self._wanted |= new
        self._begin()
        return self._answer(new)

    def known(self, projects: Iterable[ProjectConfig]) -> Deferred[None]:
        """See :class:`reactorhub.engine.protocols.Doctor`."""
        all_of_them = {each.name: each for each in projects}
        under_way = {} if self._reading is None else self._reading.projects
        self._wanted |= {
            name: each
            for name, each in all_of_them.items()
            if name not in self._reports and under_way.get(name) != each
        }
        self._begin()
        return self._answer(all_of_them)

    def stop(self) -> None:
        """End the process, if there is one."""
        self._stopped = True
        if self._reading is not None:
            self._reading.kill()

    def _answer(self, projects: Iterable[str]) -> Deferred[None]:
        waiting = (frozenset(projects), Deferred[None](lambda _: self._asking.remove(waiting)))
        self._asking.append(waiting)
        self._tell()
        return waiting[1]

    def _begin(self) -> None:
        if self._reading is not None or not self._wanted or self._stopped:
            return
        projects, self._wanted = self._wanted, {}
        self._reading = reading = _Reading(projects, self._ended)
        reading.begin(
            self._reactor, {"folder": str(self._folder), "projects": list(map(_told, projects.values()))}
        )

    def _ended(self, reading: _Reading, complaint: str) -> None:
        """Take what a process has said. A project that has changed meanwhile is read once more."""
        self._reading = None
        for name in reading.projects:
            if name not in self._wanted:
                self._reports[name] = reading.reports.get(name) or ProjectReport(error=complaint)
        if len(reading.reports) < len(reading.projects) and not self._stopped:
            self.log.error("the doctor could not read all projects: {complaint}", complaint=complaint)
        self._begin()
        self._tell()

    def _tell(self) -> None:
        ready = [each for each in self._asking if each[0] <= self._reports.keys() or self._stopped]
        self._asking = [each for each in self._asking if each not in ready]
        for _, waiting in ready:
            waiting.callback(None)


def _told(project: ProjectConfig) -> dict[str, Any]:
    values = {each.name: getattr(project, each.name) for each in fields(project)}
    return {key: _plain(value) for key, value in values.items() if key not in _NOT_TOLD}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


class _Reading(ProcessProtocol):
    """One process that reads projects."""

    def __init__(
        self, projects: Mapping[str, ProjectConfig], ended: Callable[[_Reading, str], object]
    ) -> None:
        self.projects = projects
        self.reports: dict[str, ProjectReport] = {}
        self._when_ended = ended
        self._rest = b""
        self._complaint = ""
        self._spiders: dict[str, View] = {}
        self._timer: Any = None

    def begin(self, reactor: Any, order: Mapping[str, Any]) -> None:
        """Start it."""
        command = [sys.executable, "-m", "reactorhub.engine.doctor"]
        self._timer = reactor.callLater(READ_WITHIN, self.kill)
        try:
            reactor.spawnProcess(self, command[0], command, env={**os.environ})
        except OSError as error:
            self._end(f"no process can be started: {error}")
            return
        assert self.transport is not None
        self.transport.write(json.dumps(order).encode())
        self.transport.closeStdin()

    def kill(self) -> None:
        """End it; whatever it has not read is not known then."""
        with suppress(ProcessExitedAlready):
            if self.transport is not None:
                self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        """Take the lines that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        """Keep the last line, which says what is wrong."""
        lines = data.decode("utf-8", "replace").strip().splitlines()
        self._complaint = lines[-1] if lines else self._complaint

    def processEnded(self, reason: Failure) -> None:
        """Hand over what it has said."""
        self._end(self._complaint or f"its process ended: {reason.getErrorMessage()}")

    def _end(self, complaint: str) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._when_ended(self, complaint)

    def _take(self, line: Mapping[str, Any]) -> None:
        if "spider" in line:
            self._spiders[line["spider"]["name"]] = line["spider"]
            return
        spiders, self._spiders = self._spiders, {}
        self.reports[line["project"]] = ProjectReport(
            spiders=spiders,
            findings=tuple(line.get("findings", ())),
            harmful_import=line.get("harmful_import"),
            error=line.get("error"),
        )
