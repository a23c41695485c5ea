"""The interface to whatever crawls: Engine and Crawl."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from reactorhub.engine.projects import ProjectConfig
from reactorhub.model.doctor import ProjectReport
from reactorhub.model.run import CrawlEnd, RunSpec
from reactorhub.model.spider import Catalog


class Crawl(Protocol):
    """One crawl in progress.

    The four methods that end it stand in the order of their force. Each may be called at any time, in any
    state and more than once. Each returns at once.
    """

    pid: int | None
    """The process it has for itself; None without one, and until it is known."""

    @property
    def feeds(self) -> bool:
        """Whether the project's own feeds take the items, so there is no items file. Known once opened."""

    @property
    def service(self) -> bool:
        """Whether the spider waits for work, and so may never end by itself. Known once opened."""

    isolated_because: str | None
    """Why it has a process, where that was left to the doctor; else None."""

    opened: Deferred[None]
    """Fires when the spider has opened. Never fires if the crawl ends earlier."""

    done: Deferred[CrawlEnd]
    """Fires once, when the crawl is over and nothing of it runs any more. Never fails."""

    def stats(self) -> Mapping[str, Any]:
        """Return the current stats. They are empty until the crawl has a stats collector."""

    def errors(self) -> int:
        """Return the number of this run's log records of level ERROR and above so far."""

    def stop(self) -> None:
        """Ask for a graceful end: no new requests start, and requests in flight may finish."""

    def abort(self) -> None:
        """Cut off all downloads, and all spider code that awaits something."""

    def cancel_tasks(self) -> None:
        """Cancel every asyncio task of this crawl."""

    def abandon(self) -> None:
        """Stop waiting: ``done`` fires now, even if something of the crawl still runs.

        A process of its own is killed, and ``done`` fires as soon as it is dead.
        """


class Doctor(Protocol):
    """Says of each spider whether it can share the reactor. It reads the code; it does not run it."""

    def report(self, project: str) -> ProjectReport | None:
        """Return what is to be said of a project; None while its code has not been read."""

    def read(self, projects: Iterable[ProjectConfig]) -> Deferred[None]:
        """Read the code of these projects again, and forget what was said of them until that is done.

        :return: fires when all of them have a report. Never fails; may be cancelled.
        """

    def known(self, projects: Iterable[ProjectConfig]) -> Deferred[None]:
        """Read the code of those that have no report. The answer fires as that of :meth:`read` does."""


class ProjectLoader(Protocol):
    """The part of an engine that imports projects."""

    def moved(self, projects: Mapping[str, ProjectConfig]) -> list[str]:
        """Return the names of loaded projects that are other projects now, which would need a restart."""

    async def load(
        self, projects: Mapping[str, ProjectConfig], specs: Iterable[RunSpec] = (), *, anew: bool = True
    ) -> None:
        """Load the projects that are new, and drop those that are gone. Blocks while modules are imported.

        :param specs: runs to come; if they are isolated, what they are forked from is made ready.
        :param anew: list isolated projects again whose configuration has not changed.
        """

    async def reload(self, projects: Iterable[str]) -> Mapping[str, str]:
        """Load these projects anew, for crawls that are launched from now on. Blocks while they are imported.

        A crawl that is under way keeps the code that it began with.

        :return: why the old version stays in force, for each project whose new one cannot be imported.
        """

    def code_errors(self) -> Mapping[str, str]:
        """Return what cannot be imported of the versions in force, one sentence for each project."""


class Engine(Protocol):
    """Runs crawls."""

    def catalog(self) -> Catalog:
        """Return the spiders that can run, and the modules that cannot be imported."""

    def resolve(self, spider: str, project: str | None) -> str:
        """Return the project that has this spider. ``project`` may be None if only one project has it.

        :raises UnknownSpider: if no project has it, or if several have it and ``project`` is None.
        """

    def launch(self, run_id: str, spec: RunSpec) -> Crawl:
        """Begin a crawl. Never raises: the crawl's end reports whatever goes wrong."""
