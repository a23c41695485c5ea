"""The engine: it loads the projects of the hub and launches their crawls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from reactorhub.containment.contexts import RunContext, RunLog
from reactorhub.engine.isolated.child.told import job_argument
from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.protocols import Crawl
from reactorhub.engine.scrapy.class_state import own_class
from reactorhub.engine.scrapy.crawl import ScrapyCrawl
from reactorhub.engine.scrapy.crawler import HubCrawler
from reactorhub.engine.scrapy.process import import_components
from reactorhub.engine.scrapy.project import Project
from reactorhub.errors import UnknownSpider
from reactorhub.model.run import CrawlEnd, RunSpec
from reactorhub.model.spider import Catalog
from reactorhub.policies.expectations import counted_fields
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.lent import LentClient


class LogOpener(Protocol):
    """Opens the log of a run."""

    def open(self, project: str, spider: str, run_id: str) -> RunLog:
        """:raises OSError: if the file cannot be opened."""


class ScrapyEngine:
    """See :class:`reactorhub.engine.protocols.Engine`. One CrawlerRunner for each project."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        logs: LogOpener,
        items_path: Callable[[str, str, str], Path],
        on_end: Callable[[], None] = lambda: None,
        on_import: Callable[[str], None] = lambda project: None,
    ) -> None:
        """
        :param on_end: called whenever a crawl is about to close its log.
        :param on_import: called with the name of a project that has been imported, before anything else runs.
        """
        self.note: Callable[[str], str | None] = lambda project: None
        """Returns a sentence for the beginning of the log of a project's run, or None."""
        self.redis: RedisClient | None = None
        """Lent to each run as ``crawler.reactorhub_connection``."""
        self.feeds: str | None = None
        """Given to each run as ``crawler.reactorhub_feeds``."""
        self._clock = clock
        self._on_end = on_end
        self._on_import = on_import
        self._logs = logs
        self._items_path = items_path
        self._projects: dict[str, Project] = {}

    def moved(self, projects: Mapping[str, ProjectConfig]) -> list[str]:
        """Return the loaded projects whose definition has changed. A process cannot load them again."""
        return [
            name
            for name, project in projects.items()
            if name in self._projects and self._projects[name].config != project
        ]

    def load(self, projects: Mapping[str, ProjectConfig]) -> None:
        """Load new projects and drop projects that are gone. Blocks while modules are imported."""
        import_components()
        for name in self._projects.keys() - projects.keys():
            self._projects.pop(name).retire()
        self._projects = {
            name: self._projects.get(name) or self._loaded(config) for name, config in projects.items()
        }

    def reload(self, projects: Iterable[str]) -> dict[str, str]:
        """Import these projects anew; see :meth:`reactorhub.engine.protocols.ProjectLoader.reload`."""
        kept = {}
        for name in projects:
            if (old := self._projects.get(name)) is not None and (error := self._replace(old)) is not None:
                kept[name] = error
        return kept

    def _replace(self, old: Project) -> str | None:
        """Put a new version of a project in the place of the old one, unless it is worse; then return why."""
        new = self._loaded(old.config)
        error = new.catalog().worse_than(old.catalog()) if old.runner is not None else None
        if error is not None:
            new.retire()
            return error
        self._projects[old.config.name] = new
        old.retire()
        return None

    def _loaded(self, config: ProjectConfig) -> Project:
        project = Project(config)
        self._on_import(config.name)
        for warning in project.warnings:
            self.log.warn("{warning}", warning=warning)
        return project

    def catalog(self) -> Catalog:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        catalogs = [project.catalog() for project in self._projects.values()]
        return Catalog(
            spiders=tuple(spider for each in catalogs for spider in each.spiders),
            broken=tuple(module for each in catalogs for module in each.broken),
            warnings=tuple(warning for each in catalogs for warning in each.warnings),
        )

    def resolve(self, spider: str, project: str | None) -> str:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        if project is not None and project not in self._projects:
            raise UnknownSpider(self._no_spider(spider, project))
        having = [
            name for name, each in self._projects.items() if project in (None, name) and each.has(spider)
        ]
        if len(having) > 1:
            raise UnknownSpider(f"several projects have a spider {spider!r}, say which: {', '.join(having)}")
        if not having:
            raise UnknownSpider(self._no_spider(spider, project))
        return having[0]

    def module_of(self, project: str, spider: str) -> str | None:
        """Return the module that defines a spider of a loaded project; None if that is not known."""
        loaded = self._projects.get(project)
        return None if loaded is None else loaded.modules.get(spider)

    def launch(self, run_id: str, spec: RunSpec) -> Crawl:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        try:
            run_log = self._logs.open(spec.project, spec.spider, run_id)
        except OSError as error:
            return _Stillborn(f"the run's log file cannot be opened: {error}")
        if note := self.note(spec.project):
            run_log.write("reactorhub", note)
        items = self._items_path(spec.project, spec.spider, run_id)
        project = self._projects.get(spec.project)
        context = RunContext(run_id, run_log, None if project is None else project.context)
        crawl = ScrapyCrawl(self._clock, context, items, counted_fields(spec.expect), self._on_end)
        if project is not None:
            project.used_by(crawl.done)
        crawl.begin(partial(self._make, run_id, spec))
        return crawl

    def _make(self, run_id: str, spec: RunSpec) -> tuple[HubCrawler, Callable[[], Deferred[None]]]:
        project = self._projects.get(spec.project)
        spidercls = None if project is None else project.spider_class(spec.spider)
        if project is None or project.runner is None or spidercls is None:
            raise UnknownSpider(self._no_spider(spec.spider, spec.project))
        own = own_class(spidercls, run_id)
        crawler = project.runner.crawler_for(HubCrawler, own, dict(spec.settings), run_id)
        assert isinstance(crawler, HubCrawler)
        crawler.reactorhub_connection = None if self.redis is None else LentClient(self.redis)
        crawler.reactorhub_feeds = self.feeds
        args = {**spec.args, **job_argument(spidercls, run_id)}
        return crawler, partial(project.runner.crawl, crawler, **args)

    def _no_spider(self, spider: str, project: str | None) -> str:
        if project is not None and project not in self._projects:
            return f"there is no project {project!r}; there are: {', '.join(self._projects)}"
        where = f"project {project!r} has" if project is not None else "there is"
        broken = [module.module for each in self._projects.values() for module in each.broken]
        hint = f"; modules that failed to import: {', '.join(broken)}" if broken else ""
        return f"{where} no spider {spider!r}{hint}"


class _Stillborn:
    """A crawl that failed before it began."""

    pid: int | None = None
    feeds = service = False
    isolated_because: str | None = None

    def __init__(self, failure: str) -> None:
        self.opened: Deferred[None] = Deferred()
        self.done: Deferred[CrawlEnd] = succeed(CrawlEnd(failure=failure))

    def stats(self) -> Mapping[str, object]:
        return {}

    def errors(self) -> int:
        return 0

    def stop(self) -> None:
        """Do nothing: nothing runs. The other three orders do nothing either."""

    abort = cancel_tasks = abandon = stop
