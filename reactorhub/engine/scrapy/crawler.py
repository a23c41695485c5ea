"""The crawler of a run: Scrapy's own, with the guards that keep its crawl from harming others."""

from __future__ import annotations

from typing import Any

from scrapy.core.engine import ExecutionEngine
from scrapy.settings import Settings

from reactorhub.containment.contexts import ProjectContext, RunContext
from reactorhub.engine.isolated.child.feed import ItemsFile
from reactorhub.engine.isolated.child.pages import Pages
from reactorhub.engine.isolated.child.storing import Storing
from reactorhub.engine.scrapy.class_state import divide_components
from reactorhub.engine.scrapy.environment import make_paths_absolute
from reactorhub.engine.scrapy.faults import count_faults
from reactorhub.engine.scrapy.guards import InFlight, guard
from reactorhub.engine.scrapy.private import HookedCrawler
from reactorhub.engine.scrapy.private.engines import wrap_new_batches
from reactorhub.engine.scrapy.private.parts import contain_parts
from reactorhub.spiderkit.connection.lent import LentClient


class HubCrawler(HookedCrawler):
    """A Crawler that knows its run and puts guards on its engine."""

    run_context: RunContext
    items: ItemsFile
    reactorhub_connection: LentClient | None = None
    """The hub's own connection to Redis, for spiders and extensions; None if the hub has none."""
    reactorhub_feeds: str | None = None
    """The key of the sorted set in which fed spiders leave the keys of their feeds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_flight = InFlight()
        self.pages = Pages()
        self.storing = Storing()

    def settings_made(self, settings: Settings) -> None:
        """See :meth:`HookedCrawler.settings_made`."""
        project = self.run_context.parent
        if isinstance(project, ProjectContext) and project.folder is not None:
            make_paths_absolute(settings, project.folder)

    def log_settings_made(self, settings: Settings) -> None:
        """See :meth:`HookedCrawler.log_settings_made`. The first call comes before the run is known."""
        run = self.__dict__.get("run_context")
        if run is not None:
            run.log.configure(settings)
            if run.root_handler is not None:
                run.root_handler.reset()

    def engine_made(self, engine: ExecutionEngine) -> None:
        """See :meth:`HookedCrawler.engine_made`."""
        divide_components(self, engine)
        contain_parts(self, engine)
        guard(engine, self.in_flight)
        count_faults(self, engine, self.run_context, self.pages)
        self.storing.watch(self, wrap_new_batches)
        self.items.begin(self, self.storing.failed)
