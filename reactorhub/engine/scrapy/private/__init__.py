"""Everything in Scrapy that is private or that the hub replaces. A new version may change it.

Other modules import these names and never touch an underscore of Scrapy's themselves. ``relied_on`` lists
each part with the reason. ``tests/engine/test_private.py`` names what a new Scrapy no longer has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from scrapy import Spider
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler, CrawlerRunner
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader
from scrapy.statscollectors import StatsCollector

CRAWLER_LOGGER = "scrapy.crawler"
"""The logger under which Scrapy's own command line would report that a crawl raised an exception."""

LEFT_OUT = (
    "scrapy.extensions.logcount.LogCount",  # one root handler per crawl, and each counts every run's records
    "scrapy.extensions.memusage.MemoryUsage",  # reads the peak memory of the whole process
    "scrapy.extensions.remote_control.RemoteControl",  # its library alone needs 10 MB
    "scrapy.extensions.telnet.TelnetConsole",  # opens a port per crawl
)
"""Scrapy's own extensions that must not run in a process of many crawls. The hub does not import them."""

BASE_EXTENSIONS = "EXTENSIONS_BASE"
"""The setting that names Scrapy's own extensions."""


class HookedCrawler(Crawler):
    """A Crawler that hands its new engine to :meth:`engine_made` and leaves the root logger alone."""

    def engine_made(self, engine: ExecutionEngine) -> None:
        """Override to prepare the engine. Scrapy opens the spider right afterwards."""

    def settings_made(self, settings: Settings) -> None:
        """Override to have the last word on the settings. Scrapy freezes them right afterwards."""

    def _apply_settings(self) -> None:
        load: Any = self.addons.load_settings

        def load_settings(settings: Settings) -> None:
            load(settings)
            self.settings_made(settings)

        self.addons.load_settings = load_settings  # type: ignore[method-assign]
        super()._apply_settings()

    def _create_engine(self) -> ExecutionEngine:
        engine = super()._create_engine()
        self.engine_made(engine)
        return engine

    def log_settings_made(self, settings: Settings) -> None:
        """Override to have the run's log heed LOG_... settings: the spider's, then those of all parts."""

    def _update_root_log_handler(self) -> None:
        """Leave the root logger alone: Scrapy would replace the root log handler of the whole process."""
        self.log_settings_made(self.settings)


class UnmergedRunner(CrawlerRunner):
    """A CrawlerRunner that runs a crawler with exactly the settings that the crawler has."""

    def create_crawler(self, crawler_or_spidercls: Any) -> Crawler:
        """Return a crawler unchanged; make one of anything else."""
        if isinstance(crawler_or_spidercls, Crawler):
            return crawler_or_spidercls
        return super().create_crawler(crawler_or_spidercls)


class HookedLoader(SpiderLoader):
    """A SpiderLoader whose modules :meth:`load_modules` chooses."""

    def load_modules(self) -> None:
        """Override: call :meth:`add_spider` for each spider."""
        raise NotImplementedError

    def add_spider(self, name: str, spidercls: type[Spider]) -> None:
        """Take up a spider. It replaces another one of that name."""
        self._found[name].append((spidercls.__module__, spidercls.__name__))
        self._spiders[name] = spidercls

    @property
    def places(self) -> Mapping[str, list[tuple[str, str]]]:
        """The module and class of each definition of a spider, by the spider's name."""
        found: defaultdict[str, list[tuple[str, str]]] = self._found
        return found

    def _load_all_spiders(self) -> None:
        self.load_modules()


def crawler_with(kind: type[Crawler], spidercls: Any, settings: Any) -> Crawler:
    """Return a new crawler. Of ``settings`` it only calls ``copy()``, which returns the settings it keeps."""
    return kind(spidercls, settings)


def without_left_out(settings: Settings) -> None:
    """Take :data:`LEFT_OUT` out of the extensions."""
    settings[BASE_EXTENSIONS].update(dict.fromkeys(LEFT_OUT))


def engine_of(crawler: Crawler) -> ExecutionEngine | None:
    """Return the crawler's engine, or None while it has none."""
    return crawler._engine


def stats_of(crawler: Crawler) -> StatsCollector | None:
    """Return the crawler's stats collector, or None while it has none."""
    return crawler._stats
