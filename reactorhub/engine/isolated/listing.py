"""A process that lists the spiders of a project, as the hub sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from reactorhub.engine.isolated.connections import Line
from reactorhub.engine.isolated.zygotes import Zygote, how_ended
from reactorhub.engine.projects import ProjectConfig
from reactorhub.model.spider import SCRAPY_CFG, BrokenModule, Catalog, SpiderInfo

LIST_WITHIN = 60.0  # seconds
_REPORT_WITHIN = 5.0  # seconds in which the report of a dead process is read; others may hold its connection
_number = count(1)


class Listing:
    """See :class:`reactorhub.engine.isolated.connections.Job`.

    When ``done`` fires, ``catalog`` has what the project has, and ``modules`` the module of each spider. It
    never fails: a project that cannot be listed is one whose settings are broken.
    """

    def __init__(self, clock: IReactorTime, project: ProjectConfig) -> None:
        self.done: Deferred[None] = Deferred()
        self.project = project
        self.catalog = Catalog(spiders=(), broken=())
        self.modules: dict[str, str | None] = {}
        self.key = f"list:{os.getpid()}:{next(_number)}"
        self._zygote: Zygote | None = None
        self._line: Line | None = None
        self._pid: int | None = None
        self._status: int | None = None
        self._hung_up = False
        self._clock = clock
        self._timer = clock.callLater(LIST_WITHIN, self._too_slow)

    def begin(self, zygote: Zygote, order: Mapping[str, Any]) -> None:
        """Have the process forked."""
        self._zygote = zygote
        self._line = zygote.fork(self.key, self, order)

    def forked(self, pid: int) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._pid = pid

    def reported(self, report: Mapping[str, Any]) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        try:
            catalog = self._read(report)
        except (KeyError, TypeError, ValueError):
            self.garbled()
        else:
            self._end(catalog)

    def garbled(self) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._fail("it sent the hub what is not a list of spiders")

    def hung_up(self) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._hung_up = True
        if self._status is not None:
            self._died()

    def over_memory(self, used: int) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""

    def exited(self, status: int) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._status = status
        if self._hung_up:
            self._died()
        elif self._timer.active():  # the zygote may be heard before the process's own last report
            self._timer.cancel()
            self._timer = self._clock.callLater(_REPORT_WITHIN, self._died)

    def lost(self, reason: str) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._zygote = None
        self._fail(reason)

    def _died(self) -> None:
        self._fail(f"{how_ended(self._status or 0)} while the project was imported")

    def _too_slow(self) -> None:
        self._fail(f"importing it took longer than {LIST_WITHIN:g} seconds")

    def unreadable(self, error: str) -> None:
        """The project's ``scrapy.cfg`` cannot be used."""
        self._fail(error, SCRAPY_CFG)

    def _fail(self, error: str, module: str = "settings") -> None:
        broken = BrokenModule(project=self.project.name, module=module, error=error, traceback="")
        self._end(Catalog(spiders=(), broken=(broken,)))

    def _end(self, catalog: Catalog) -> None:
        if self.done.called:
            return
        if self._timer.active():
            self._timer.cancel()
        if self._pid is not None and self._zygote is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        if self._zygote is not None:
            self._zygote.reap(self.key)
        if self._line is not None:
            self._line.close()
        self._zygote = self._line = None
        self.catalog = catalog
        self.done.callback(None)

    def _read(self, report: Mapping[str, Any]) -> Catalog:
        self.modules = {each["name"]: each["module"] for each in report["spiders"]}
        spiders = tuple(
            SpiderInfo(
                name=each["name"],
                project=self.project.name,
                docstring=each["docstring"],
                arguments=tuple(each["arguments"]),
            )
            for each in report["spiders"]
        )
        broken = tuple(BrokenModule(project=self.project.name, **each) for each in report["broken"])
        warnings = tuple(
            f"spider {name!r} is defined {len(places)} times: {', '.join(places)}; the last one runs"
            for name, places in report["duplicates"].items()
        )
        return Catalog(spiders=spiders, broken=broken, warnings=warnings)
