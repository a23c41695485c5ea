"""One crawl, as ``scrapy crawl`` would do it in the project's folder, with reports to the hub."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from scrapy import Spider, signals
from scrapy.crawler import CrawlerProcess
from scrapy.utils.reactor import install_reactor
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from .feed import ItemsFile
from .fields import FieldCounter
from .forks import contain_forks, is_forked, leave
from .private import (
    IsolatedCrawler,
    Loader,
    OwnSettings,
    engine_of,
    keep_to_log_enabled,
    own_settings,
    stats_of,
    stop,
)
from .processes import end_at_once
from .project import last_line
from .records import Records
from .reports import Reports
from .settings import project_settings
from .told import ATTRIBUTE, has_own_job, is_service, job_argument, tell_redis, tell_settings

REACTOR = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
_REPORT_EVERY = 1.0  # seconds
_LOOK_AGAIN = 0.05  # seconds between looks at whether an opening crawl can be stopped yet
_MAX_REASON = 200  # characters of a finish reason


def obey(order: dict[str, Any], reports: Reports) -> None:
    """Crawl; report how it goes and, in the end, how it went."""
    crawl = Crawl(order, reports)
    try:
        crawl.run()
    except BaseException as error:  # noqa: BLE001 - sys.exit() of a spider ends its crawl, with a reason
        if is_forked():
            leave(error)
        crawl.fail(error)
    reports.send_last({"closed": crawl.facts()})


def refuse(error: Exception, reports: Reports) -> None:
    """Report that there can be no crawl."""
    reports.send_last({"closed": {"failure": last_line(error)}})


class Crawl:
    """The crawl of this process."""

    def __init__(self, order: dict[str, Any], reports: Reports) -> None:
        self._order = order
        self._items = ItemsFile(order["items"])
        self._reports = reports
        self._records = Records()
        self._crawler: IsolatedCrawler | None = None
        self._failure: str | None = None
        self._finish_reason: str | None = None
        self._stopping = self._cutting = self._told = False
        self._reported: dict[str, Any] = {}

    def run(self) -> None:
        """Crawl to the end. The reactor is installed before anything of the project is imported.

        :raises BaseException: whatever the project lets out.
        """
        install_reactor(REACTOR)
        loop = asyncio.get_event_loop()
        contain_forks(self._reports, loop)
        self._heed_sigterm(lambda *_: self._stop())
        self._records.install()
        keep_to_log_enabled()
        settings = self._settings()
        process = CrawlerProcess(settings)
        spidercls = process.spider_loader.load(self._order["spider"])
        asyncio.set_event_loop(loop)  # the project's modules may have set another, as asyncio.run() does
        run_id = self._order["run_id"]
        if not has_own_job(spidercls):
            type.__setattr__(spidercls, ATTRIBUTE, run_id)
        tell_settings(settings, run_id)
        tell_redis(settings, spidercls, self._order.get("redis_url"))
        self._crawler = crawler = IsolatedCrawler(spidercls, settings)
        settings.handed_on = False
        crawler.items = self._items
        crawler.reactorhub_feeds = self._order.get("feeds")
        self._items.watch(crawler)
        self._connect(crawler)
        args = {**self._order["args"], **job_argument(spidercls, run_id)}
        process.crawl(crawler, **args).addErrback(self._failed)
        self._listen()
        process.start()

    def fail(self, error: BaseException) -> None:
        """Note what has ended the crawl before its time."""
        self._failure = last_line(error)
        with suppress(Exception):  # a handler of the project may be what raises
            logging.getLogger("scrapy.crawler").error("The crawl raised an exception", exc_info=error)

    def facts(self) -> dict[str, Any]:
        """Return how the crawl went."""
        figures = self._figures()
        return {
            **figures,
            **self._won(figures["stats"]),
            "failure": self._failure,
            "finish_reason": self._finish_reason,
        }

    def _won(self, stats: dict[str, Any]) -> dict[str, Any]:
        """Return what became of the pages and of the items."""
        crawler = self._crawler
        if crawler is None:
            return {}
        scraped = stats.get("item_scraped_count", 0)
        items = crawler.storing.facts(scraped if isinstance(scraped, int) else 0)
        return {**crawler.pages.facts(crawler.spidercls, stats), **items}

    def _settings(self) -> OwnSettings:
        settings = project_settings(self._order)
        Loader.first = self._order.get("module")
        settings.set("SPIDER_LOADER_CLASS", Loader, priority="command")
        forced = {
            "LOG_FILE": self._order["log"],
            "LOG_FILE_APPEND": True,
            "TWISTED_REACTOR": REACTOR,
            "ASYNCIO_EVENT_LOOP": None,
        }
        settings.setdict({**self._order["settings"], **forced}, priority="cmdline")
        return own_settings(settings)

    def _connect(self, crawler: IsolatedCrawler) -> None:
        self._fields = FieldCounter(crawler, self._order["fields"], self._order["field_prefix"])
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._closed, signals.spider_closed)

    def _opened(self, spider: Spider) -> None:
        service = is_service(type(spider))
        self._reports.send({"opened": True, "feeds": self._items.replaced, "service": service})

    def _closed(self, spider: Spider, reason: object) -> None:
        self._finish_reason = str(reason)[:_MAX_REASON]

    def _failed(self, failure: Failure) -> None:
        self.fail(failure.value or Exception(failure.getErrorMessage()))

    def _figures(self) -> dict[str, Any]:
        stats = {} if self._crawler is None else stats_of(self._crawler)
        return {"stats": stats, **self._records.figures()}

    def _listen(self) -> None:
        reactor = installed_reactor()
        reactor.callWhenRunning(reactor.callLater, 0, self._heed_sigterm_as_scrapy_does)
        reactor.addReader(_Ear(self._reports, self._obey))
        self._loop = LoopingCall(self._report)
        self._loop.start(_REPORT_EVERY, now=False)

    def _report(self) -> None:
        figures = self._figures()
        if figures != self._reported:
            self._reported = figures
            self._reports.send_if_free({"live": figures})

    def _obey(self, order: dict[str, Any]) -> None:
        rungs = {"stop": self._stop, "abort": self._abort, "cancel": self._cancel}
        rungs[order["do"]]()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._when_running(self._stop_now)

    def _stop_now(self) -> None:
        if self._crawler is not None and not self._told:
            self._told = True
            stop(self._crawler).addErrback(_say_unstoppable)
            if self._cutting:
                self._cut()

    def _when_running(self, act: Callable[[], object]) -> None:
        """Scrapy forgets a stop that comes while the spider opens: it is kept until the engine runs."""
        if self._is_running():
            act()
        else:
            installed_reactor().callLater(_LOOK_AGAIN, self._when_running, act)

    def _is_running(self) -> bool:
        engine = None if self._crawler is None else engine_of(self._crawler)
        return engine is not None and engine.running

    def _heed_sigterm(self, act: Callable[..., object]) -> None:
        """Have SIGTERM do this, once the engine runs."""

        def taken(number: int, frame: object) -> None:
            installed_reactor().callFromThread(self._when_running, partial(act, number, None))

        signal.signal(signal.SIGTERM, taken)

    def _heed_sigterm_as_scrapy_does(self) -> None:
        """Scrapy has set its own handler by now; it may only come too early."""
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            self._heed_sigterm(handler)

    def _abort(self) -> None:
        self._stop()
        self._cutting = True
        self._cut()

    def _cut(self) -> None:
        if self._crawler is not None and engine_of(self._crawler) is not None:
            self._crawler.in_flight.cut(self._stop_if_running)

    def _stop_if_running(self) -> None:
        """Stop before a crawl whose downloads are cut off looks finished, where the stop still waits."""
        if self._is_running():
            self._stop_now()

    def _cancel(self) -> None:
        self._abort()
        for task in asyncio.all_tasks(asyncio.get_event_loop()):
            task.cancel()


def installed_reactor() -> Any:
    """Return the reactor; importing it at the top of a module would install another one."""
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


class _Ear:
    """Hears the hub's orders while the reactor runs. A hub that is gone ends the process."""

    def __init__(self, reports: Reports, obey: Any) -> None:
        self._reports = reports
        self._obey = obey

    def fileno(self) -> int:
        return self._reports.socket.fileno()

    def logPrefix(self) -> str:
        return "hub"

    def connectionLost(self, reason: object) -> None:
        return None

    def doRead(self) -> None:
        try:
            orders = self._reports.read()
        except OSError:
            end_at_once(1)
        for order in orders:
            self._obey(order)


def _say_unstoppable(failure: Failure) -> None:
    if not failure.check(asyncio.CancelledError):
        logging.getLogger(__name__).error("the crawl could not be stopped: %s", failure.getErrorMessage())
