"""What the hub replaces in Scrapy's modules and classes, once for the whole process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutine
from typing import Any

from scrapy.core import scraper as scraper_module
from scrapy.crawler import (
    AsyncCrawlerProcess,
    AsyncCrawlerRunner,
    Crawler,
    CrawlerProcess,
    CrawlerRunner,
)
from scrapy.settings import Settings
from scrapy.utils import signal as signal_utils

from reactorhub.containment.contexts import RunContext, contain, contained_result, here
from reactorhub.containment.imports import importing
from reactorhub.containment.loop import refuse_import
from reactorhub.engine.scrapy.private import HookedCrawler

Call = Callable[..., Any]


class _CountingLogger:
    """The logger of Scrapy's module of signals, which also counts each exception that it is to log.

    Scrapy catches what handlers of signals raise and logs it here, unless the sender expects it. So this
    costs nothing where nothing is raised.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def error(self, message: str, *args: Any, **choices: Any) -> None:
        """Count the exception, then log it."""
        exc_info = choices.get("exc_info")
        error = (exc_info if isinstance(exc_info, tuple) else sys.exc_info())[1]
        owner = here()
        if exc_info and error is not None and isinstance(owner, RunContext):
            owner.raised(error)
        self._logger.error(message, *args, **choices)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


def contain_for_all() -> Callable[[], None]:
    """Contain what signal handlers and coroutine callbacks raise, and count what signal handlers raise.

    Return a function that undoes this. What is replaced stands in modules, once for the whole process.
    """
    in_signals: Any = signal_utils
    in_scraper: Any = scraper_module
    apply, iterate = in_signals.robustApply, in_scraper.iterate_spider_output
    logger = in_signals.logger

    def robust_apply(receiver: Any, *arguments: Any, **named: Any) -> Any:
        try:
            result = apply(receiver, *arguments, **named)
        except BaseException as error:  # noqa: BLE001 - contain() raises it again if it has to
            contain(error)
        return contained_result(result) if iscoroutine(result) else result

    def iterate_spider_output(result: Any) -> Any:
        return iterate(contained_result(result) if iscoroutine(result) else result)

    def undo() -> None:
        in_signals.robustApply, in_scraper.iterate_spider_output = apply, iterate
        in_signals.logger = logger

    in_signals.robustApply, in_scraper.iterate_spider_output = robust_apply, iterate_spider_output
    in_signals.logger = _CountingLogger(logger)
    return undo


def refuse_crawls_at_import() -> Callable[[], None]:
    """Let no import start crawls that the ledger does not know, and no run start a reactor of its own.

    Return a function that undoes this.
    """
    runners: tuple[Any, ...] = (CrawlerRunner, AsyncCrawlerRunner)
    processes: tuple[Any, ...] = (CrawlerProcess, AsyncCrawlerProcess)
    replaced = [(each, "crawl", each.crawl) for each in runners]
    replaced += [(each, "start", each.start) for each in processes]
    for owner, name, method in replaced:
        setattr(owner, name, _refusing(f"{owner.__name__}.{name}()", method, name == "start"))

    def undo() -> None:
        for owner, name, method in replaced:
            setattr(owner, name, method)

    return undo


def _refusing(name: str, method: Call, in_runs: bool) -> Call:
    @wraps(method)
    def refusing(*args: Any, **kwargs: Any) -> Any:
        owner = here()
        if importing(owner):
            refuse_import(name)
        if in_runs and owner is not None:
            raise RuntimeError(f"{name} cannot be called in a run: the hub's reactor runs already")
        return method(*args, **kwargs)

    return refusing


def settle_crawls_within_runs(settle: Callable[[Settings], None]) -> Callable[[], None]:
    """Let ``settle`` have the last word on the settings of crawls that a run starts itself.

    Return a function that undoes this. Such a crawl belongs to its run, and its crawler is Scrapy's own.
    """
    owner: Any = Crawler
    make = owner.__init__

    @wraps(make)
    def made(crawler: Any, *args: Any, **kwargs: Any) -> None:
        make(crawler, *args, **kwargs)
        if here() is not None and not isinstance(crawler, HookedCrawler):
            settle(crawler.settings)

    def undo() -> None:
        owner.__init__ = make

    owner.__init__ = made
    return undo
