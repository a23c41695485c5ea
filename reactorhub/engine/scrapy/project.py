"""One Scrapy project in the hub's process: its settings, its runner, its spiders."""

from __future__ import annotations

import pickle
import sys
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoaderProtocol
from twisted.internet.defer import Deferred

from reactorhub.containment.contexts import ProjectContext
from reactorhub.containment.logging_views import changes, enable_loggers
from reactorhub.containment.module_places import place_of
from reactorhub.containment.modules import MODULES
from reactorhub.engine.isolated.child.spiders import arguments, classes_of, docstring, module_of
from reactorhub.engine.isolated.child.told import tell_settings
from reactorhub.engine.projects import PLAIN_FOLDER, ProjectConfig, settings_choice, top_packages
from reactorhub.engine.scrapy.class_state import divide
from reactorhub.engine.scrapy.environment import add_own_settings
from reactorhub.engine.scrapy.loader import TolerantSpiderLoader, broken_module
from reactorhub.engine.scrapy.private import UnmergedRunner, crawler_with, without_left_out
from reactorhub.engine.scrapy.process import set_up_logging
from reactorhub.errors import UnreadableProject
from reactorhub.model.spider import SCRAPY_CFG, BrokenModule, Catalog, SpiderInfo

# The hub's own defaults: above Scrapy's, below the project's. Scrapy's CONCURRENT_ITEMS is 100: each response
# starts a hundred asyncio tasks, which cost more than the response itself in most crawls.
DEFAULTS: dict[str, Any] = {"CONCURRENT_ITEMS": 8}

# Settings that would affect the whole process: consoles that execute code, a memory limit that reads the
# peak of the whole process, another reactor. Nothing overrides these values.
FORCED: dict[str, Any] = {
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "MEMUSAGE_ENABLED": False,
    "TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    "ASYNCIO_EVENT_LOOP": None,
}


class Project:
    """A loaded project. No method raises for a mistake of the project: ``broken`` lists those."""

    def __init__(self, config: ProjectConfig) -> None:
        """Import the project's settings and spider modules. Blocks meanwhile."""
        self.config = config
        self.context = ProjectContext(config.name, config.path)
        self.broken: list[BrokenModule] = []
        self.warnings: list[str] = list(config.warnings)
        self.runner: HubRunner | None = None
        self._infos: dict[str, SpiderInfo] = {}
        self.modules: dict[str, str | None] = {}
        """The module of each spider that can run."""
        self._crawls = 0
        self._retired = False
        MODULES.add(self.context, place_of(config.path, top_packages(config)))
        path = list(sys.path)
        self.context.importing = True
        try:
            self.context.import_with(self._load)
            self.context.enter(self._settle_logging)
        finally:
            MODULES.settle(self.context, path)
            self.context.importing = False

    def spider_class(self, name: str) -> type[Spider] | None:
        """Return the spider of this name, or None.

        :raises BaseException: whatever a loader of the project's own raises.
        """
        return self.runner.spider_loader.load(name) if self.runner is not None and self.has(name) else None

    def has(self, name: str) -> bool:
        """Return whether there is a spider of this name. A loader of the project's own may have new ones."""
        if name in self._infos or self.runner is None:
            return name in self._infos
        try:
            return name in self.runner.spider_loader.list()
        except BaseException:  # noqa: BLE001 - code of the project
            return False

    def catalog(self) -> Catalog:
        """Return all spiders that can run, by name, and what is broken."""
        spiders = tuple(self._infos[name] for name in sorted(self._infos))
        return Catalog(spiders=spiders, broken=tuple(self.broken), warnings=tuple(self.warnings))

    def used_by(self, done: Deferred[Any]) -> None:
        """Keep the modules of this version at least until ``done`` fires, the end of a crawl."""
        self._crawls += 1
        done.addBoth(self._unused)

    def retire(self) -> None:
        """Forget the modules of this version as soon as no crawl uses them."""
        self._retired = True
        self._forget_if_unused()

    def _unused(self, result: Any) -> Any:
        self._crawls -= 1
        self._forget_if_unused()
        return result

    def _forget_if_unused(self) -> None:
        if self._retired and not self._crawls:
            MODULES.drop(self.context)
            self.context.logging = None  # timers that a run has cancelled keep its context for a while

    def _load(self) -> None:
        try:
            self.runner = HubRunner(self._settings())
        except UnreadableProject as error:
            self.broken.append(BrokenModule(project="", module=SCRAPY_CFG, error=str(error), traceback=""))
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a settings module breaks that project only
            self.broken.append(broken_module(self.context.settings_module or "settings", error))
        else:
            loader = self.runner.spider_loader
            self.broken.extend(getattr(loader, "broken", ()))
            if isinstance(loader, TolerantSpiderLoader):
                self.warnings.extend(loader.duplicates())
            self._list(loader)
        self.broken = [replace(module, project=self.config.name) for module in self.broken]

    def _list(self, loader: SpiderLoaderProtocol) -> None:
        try:
            classes, odd = classes_of(loader)
        except BaseException as error:  # noqa: BLE001 - the loader may be the project's own
            self.broken.append(broken_module(type(loader).__module__, error))
            return
        self.broken.extend(BrokenModule(project="", **each) for each in odd)
        for spidercls in classes.values():
            divide(spidercls)
        self._infos = {
            name: SpiderInfo(
                name=name,
                project=self.config.name,
                docstring=docstring(spidercls),
                arguments=tuple(arguments(spidercls)),
            )
            for name, spidercls in classes.items()
        }
        self.modules = {name: module_of(spidercls) for name, spidercls in classes.items()}

    def _settle_logging(self) -> None:
        """Name what the import has done to logging, then set it up as ``scrapy crawl`` does at this point."""
        if changed := changes(self.context):
            self.warnings.append(
                f"project {self.config.name!r} sets up logging when it is imported ({', '.join(changed)}); "
                "this holds for its own runs only"
            )
        set_up_logging()
        enable_loggers(self.context)

    def _settings(self) -> Settings:
        settings = Settings()
        settings.setdict(DEFAULTS, priority="command")
        settings.set("SPIDER_LOADER_CLASS", TolerantSpiderLoader, priority="command")
        choice = settings_choice(self.config)
        module = self.context.settings_module = choice.module
        self.context.section = choice.section
        add_own_settings(settings, self.context)
        if self.config.spider_modules:
            settings.set("SPIDER_MODULES", list(self.config.spider_modules), priority="cmdline")
        elif module is None:
            settings.set("SPIDER_MODULES", [PLAIN_FOLDER], priority="project")
        return settings


class HubRunner(UnmergedRunner):
    """A CrawlerRunner that makes crawlers for single runs, with a fast copy of its settings."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._blueprint = _Blueprint(self.settings)

    def crawler_for(
        self, kind: type[Crawler], spidercls: type[Spider], settings: dict[str, Any], run_id: str
    ) -> Crawler:
        """Return a new crawler of class ``kind`` with ``settings`` above those of project and spider.

        Crawler makes a deep copy of its settings, which takes 2 ms. A copy by pickle takes a tenth of that.
        """
        return crawler_with(kind, spidercls, _Order(self._blueprint, settings, run_id))


def force(settings: Settings) -> None:
    """Take from settings what would affect the whole process."""
    settings.setdict(FORCED, priority="cmdline")
    without_left_out(settings)


class _Blueprint:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        try:
            self._pickled: bytes | None = pickle.dumps(settings)
            pickle.loads(self._pickled)
        except Exception:  # noqa: BLE001 - settings may hold anything, for example a lambda
            self._pickled = None

    def copy(self) -> Settings:
        if self._pickled is None:
            return deepcopy(self._settings)
        return cast(Settings, pickle.loads(self._pickled))


class _Order:
    """What Crawler takes as its settings. It only calls ``copy()``."""

    def __init__(self, blueprint: _Blueprint, settings: dict[str, Any], run_id: str) -> None:
        self._blueprint, self._settings, self._run_id = blueprint, settings, run_id

    def copy(self) -> Settings:
        settings = self._blueprint.copy()
        settings.setdict(self._settings, priority="cmdline")
        force(settings)
        tell_settings(settings, self._run_id)
        return settings
