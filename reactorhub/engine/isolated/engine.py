"""The engine for runs that have a process of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from reactorhub.engine.isolated.crawl import IsolatedCrawl
from reactorhub.engine.isolated.listing import Listing
from reactorhub.engine.isolated.strays import DATA_MARK, kill_strays
from reactorhub.engine.isolated.zygotes import Zygote
from reactorhub.engine.projects import ProjectConfig, settings_choice, top_packages
from reactorhub.errors import UnknownSpider, UnreadableProject
from reactorhub.model.run import RunSpec
from reactorhub.model.spider import Catalog
from reactorhub.policies.expectations import FIELD_COUNT, counted_fields

_ADDRESS_SPACE = 4  # times the memory limit
_ALWAYS = 1 << 30  # bytes of address space that any process may have beside its limit: threads reserve much

PathOf = Callable[[str, str, str], Path]


class IsolatedEngine:
    """See :class:`reactorhub.engine.protocols.Engine`. One zygote for each Python, started when first wanted.

    ``catalog`` has the projects that :meth:`load` was given.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, log_path: PathOf, items_path: PathOf, python: str, data_dir: str = ""
    ) -> None:
        """
        :param python: the Python of projects that name none.
        :param data_dir: the hub's data folder, which no other hub has at the same time.
        """
        self.redis_url: str | None = None
        """The setting REDIS_URL of runs whose project says nothing of Redis."""
        self.feeds: str | None = None
        """Given to each run as ``crawler.reactorhub_feeds``."""
        self.module_of: Callable[[str, str], str | None] = lambda project, spider: None
        """Says which module has a spider of a project that is not listed here."""
        self._data_dir = data_dir
        self._reactor = reactor
        self._log_path = log_path
        self._items_path = items_path
        self._python = python
        self._zygotes: dict[str, Zygote] = {}
        self._dying: set[Zygote] = set()
        self._projects: Mapping[str, ProjectConfig] = {}
        self._listings: dict[str, Listing] = {}
        self._stopped = False

    def recover(self) -> Deferred[Any]:
        """Kill what an earlier hub on this data folder has left, if its zygotes were killed with it."""
        if not self._data_dir:
            return succeed([])
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, kill_strays, f"{DATA_MARK}={self._data_dir}")

    async def load(self, projects: Mapping[str, ProjectConfig], anew: bool = True) -> None:
        """Take runs of these projects from now on, and list the spiders of those that are isolated.

        :param anew: list those, too, that have been listed before and are configured as they were then.
        """
        self._projects = projects
        isolated = {name: project for name, project in projects.items() if project.isolated}
        old = {name: each for name, each in self._listings.items() if isolated.get(name) == each.project}
        new = {name: self._list(each) for name, each in isolated.items() if anew or name not in old}
        for name, listing in new.items():
            await listing.done
            if name not in old or listing.catalog.worse_than(old[name].catalog) is None:
                old[name] = listing
        self._listings = {name: old[name] for name in isolated}

    async def reload(self, projects: Iterable[str]) -> dict[str, str]:
        """List the spiders of these projects again, unless that cannot be done any more.

        :return: why a project keeps its old list.
        """
        kept = {}
        new = {name: self._list(self._projects[name]) for name in projects if name in self._listings}
        for name, listing in new.items():
            await listing.done
            error = listing.catalog.worse_than(self._listings[name].catalog)
            if error is None:
                self._listings[name] = listing
            else:
                kept[name] = error
        return kept

    def catalog(self) -> Catalog:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        catalogs = [each.catalog for each in self._listings.values()]
        return Catalog(
            spiders=tuple(spider for each in catalogs for spider in each.spiders),
            broken=tuple(module for each in catalogs for module in each.broken),
            warnings=(
                *(warning for each in self._listings.values() for warning in each.project.warnings),
                *(warning for each in catalogs for warning in each.warnings),
            ),
        )

    def resolve(self, spider: str, project: str | None) -> str:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        among = {name: each for name, each in self._listings.items() if project in (None, name)}
        having = [name for name, each in among.items() if spider in each.modules]
        if len(having) > 1:
            raise UnknownSpider(f"several projects have a spider {spider!r}, say which: {', '.join(having)}")
        if not having:
            broken = [module.module for each in among.values() for module in each.catalog.broken]
            hint = f"; modules that failed to import: {', '.join(broken)}" if broken else ""
            where = "there is" if project is None else f"project {project!r} has"
            raise UnknownSpider(f"{where} no spider {spider!r}{hint}")
        return having[0]

    def launch(self, run_id: str, spec: RunSpec) -> IsolatedCrawl:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        crawl = IsolatedCrawl(self._reactor, run_id, spec.memory_limit)
        project = self._projects.get(spec.project)
        if project is None:
            crawl.lost(f"there is no project {spec.project!r} any more")
            return crawl
        try:
            order = self._order(run_id, spec, project)
        except UnreadableProject as error:
            crawl.lost(str(error))
            return crawl
        except OSError as error:
            crawl.lost(f"the run's log file cannot be opened: {error}")
            return crawl
        try:
            crawl.begin(self._zygote(project), order)
        except OSError as error:
            crawl.lost(f"no process can be started: {error}")
        return crawl

    def warm(self, projects: Iterable[str]) -> None:
        """Start what runs of these projects are forked from."""
        for name in projects:
            if name in self._projects:
                self._zygote(self._projects[name])

    def stop(self) -> Deferred[Any]:
        """End all zygotes and their children; fires when they are gone."""
        self._stopped = True
        return DeferredList([zygote.stop() for zygote in (*self._zygotes.values(), *self._dying)])

    def _zygote(self, project: ProjectConfig) -> Zygote:
        return self._zygote_of(project.python or self._python)

    def _zygote_of(self, python: str) -> Zygote:
        zygote = self._zygotes.get(python)
        if zygote is None:
            zygote = self._zygotes[python] = Zygote(self._reactor, python, self._ended, self._data_dir)
        return zygote

    def _ended(self, zygote: Zygote) -> None:
        self._zygotes = {python: each for python, each in self._zygotes.items() if each is not zygote}
        self._dying.add(zygote)
        zygote.stop().addBoth(lambda _: self._dying.discard(zygote))
        if not (self._stopped or zygote.retired):
            self.log.error("{zygote}; the next run gets a new one", zygote=zygote)

    def _list(self, project: ProjectConfig) -> Listing:
        listing = Listing(self._reactor, project)
        try:
            listing.begin(self._zygote(project), _project_order(project))
        except UnreadableProject as error:
            listing.unreadable(str(error))
        except OSError as error:
            listing.lost(f"no process can be started: {error}")
        return listing

    def _order(self, run_id: str, spec: RunSpec, project: ProjectConfig) -> dict[str, Any]:
        log = self._log_path(spec.project, spec.spider, run_id).absolute()
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        log.touch()
        limit = spec.memory_limit
        order = _project_order(project)
        order["environment"]["SCRAPY_JOB"] = run_id
        return {
            **order,
            "kind": "crawl",
            "run_id": run_id,
            "spider": spec.spider,
            "module": self._module(spec),
            "args": dict(spec.args),
            "settings": dict(spec.settings),
            "redis_url": self.redis_url,
            "feeds": self.feeds,
            "log": str(log),
            "items": str(self._items_path(spec.project, spec.spider, run_id).absolute()),
            "fields": sorted(counted_fields(spec.expect)),
            "field_prefix": FIELD_COUNT,
            "address_space": None if limit is None else max(_ADDRESS_SPACE * limit, limit + _ALWAYS),
        }

    def _module(self, spec: RunSpec) -> str | None:
        listing = self._listings.get(spec.project)
        if listing is None:
            return self.module_of(spec.project, spec.spider)
        return listing.modules.get(spec.spider)


def _project_order(project: ProjectConfig) -> dict[str, Any]:
    choice = settings_choice(project)
    environment = {}
    if choice.module is not None:
        environment["SCRAPY_SETTINGS_MODULE"] = choice.module
    if choice.section is not None:
        environment["SCRAPY_PROJECT"] = choice.section
    return {
        "kind": "list",
        "path": str(project.path),
        "spider_modules": list(project.spider_modules),
        "packages": sorted(top_packages(project)),
        "environment": environment,
    }
