"""Counts a crawl's exceptions where they happen, so that its outcome does not depend on log records."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from scrapy import signals
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from twisted.python.failure import Failure

from reactorhub.containment.contexts import RunContext, contained
from reactorhub.engine.isolated.child.pages import Pages
from reactorhub.engine.scrapy.private.engines import wrap_callback, wrap_close, wrap_scheduler
from reactorhub.engine.scrapy.private.parts import contain_scheduler
from reactorhub.engine.scrapy.private.stats import contain_stats

Call = Callable[..., Any]


def count_faults(crawler: Crawler, engine: ExecutionEngine, run: RunContext, pages: Pages) -> None:
    """Let ``run`` count what callbacks, pipelines, downloads and the scheduler raise.

    Signal handlers are counted by :func:`reactorhub.engine.scrapy.private.everywhere.contain_for_all`.

    :param pages: counts what is passed to the spider.
    """

    def failed(failure: Failure) -> None:
        if failure.value is not None:
            run.raised(failure.value)

    # Signals keep weak references; these two functions live as long as the crawler.
    crawler.__dict__["_reactorhub_failed"] = failed
    crawler.signals.connect(failed, signals.spider_error)
    crawler.signals.connect(failed, signals.item_error)
    wrap_callback(engine, lambda call: _counting_download(run, pages, call))
    wrap_close(engine, lambda call: _counting_close(run, call))
    wrap_scheduler(engine, lambda scheduler: _guard_scheduler(run, scheduler))
    contain_stats(crawler.stats, contained)


def _counting_download(run: RunContext, pages: Pages, call: Call) -> Call:
    """Count a download's failure unless an errback deals with it. A request that is ignored is not one."""

    def counted(result: Any, request: Any) -> Any:
        pages.came(result)
        waiting = call(result, request)
        if isinstance(result, Failure) and result.value is not None and not result.check(IgnoreRequest):
            return _counting(run, waiting, result.value)
        return waiting

    return counted


async def _counting(run: RunContext, waiting: Awaitable[Any], error: BaseException) -> Any:
    try:
        return await waiting
    except Exception:
        run.raised(error)
        raise


def _counting_close(run: RunContext, call: Call) -> Call:
    async def counted() -> Any:
        try:
            return await call()
        except Exception as error:
            run.raised(error)
            raise

    return counted


def _guard_scheduler(run: RunContext, scheduler: Any) -> None:
    """Keep what a scheduler or its duplicate filter raises from ending the tasks that call it.

    A task that feeds requests to the scheduler would die of it, and after some of them the crawl would hang.
    The request for which the scheduler raises is dropped with an error.
    """
    contain_scheduler(scheduler)
    enqueue = scheduler.enqueue_request

    def enqueue_request(request: Any) -> Any:
        try:
            return enqueue(request)
        except BaseException as error:  # noqa: BLE001 - the scheduler may be the project's own
            _log_dropped(run, request, error)
            return False

    scheduler.enqueue_request = enqueue_request


def _log_dropped(run: RunContext, request: Any, error: BaseException) -> None:
    run.raised(error)
    logger = logging.getLogger(__name__)
    logger.error("The scheduler raised an exception and drops %s", request, exc_info=error)
