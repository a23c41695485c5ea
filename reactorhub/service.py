"""The composition root: one function builds the hub from its config, one class starts and stops it."""

# mypy: allow-untyped-calls
from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from twisted.application.service import Service
from twisted.internet import threads
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Site

from reactorhub import __version__
from reactorhub.adapters.data_lock import DataLock
from reactorhub.adapters.embedded_redis import EmbeddedRedis
from reactorhub.adapters.memory_sink import NullSink
from reactorhub.adapters.reactor_contexts import carry_contexts_into_threads, record_tasks
from reactorhub.adapters.redis_sink import RedisSink
from reactorhub.adapters.resolver import CachingResolver
from reactorhub.adapters.run_logs import RunLogs, install_routing
from reactorhub.adapters.scrapy_engine import ScrapyEngine, prepare_logging
from reactorhub.adapters.sqlite_ledger import SqliteLedger
from reactorhub.boundaries import Sink, View
from reactorhub.config import HubConfig, load
from reactorhub.demo_site import bookshop
from reactorhub.dispatcher import Dispatcher
from reactorhub.errors import ReactorHubError, StartError
from reactorhub.hub import Hub, Parts
from reactorhub.ids import IdMaker
from reactorhub.life import World
from reactorhub.paths import RunPaths
from reactorhub.reload import Reloader
from reactorhub.schedule_book import ScheduleBook
from reactorhub.scheduler import Scheduler
from reactorhub.signals import Signals
from reactorhub.slots import Slots
from reactorhub.telemetry import Telemetry
from reactorhub.watchdog import LagMeter
from reactorhub.web.api import Api
from reactorhub.web.files import RunFiles
from reactorhub.web.guard import GuardedSite, loopback_endpoint

SPIDER_THREADS = 32  # threads that all spiders share, for name look-ups, feed storage and deferToThread
HUB_THREADS = 4  # threads of the hub's own, for files
READY = "ready.json"  # in the data folder: where the hub listens, while it does


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The parts of a hub that are started and stopped."""

    pool: ThreadPool
    ledger: SqliteLedger
    engine: ScrapyEngine
    redis: EmbeddedRedis | None
    sink: Sink
    dispatcher: Dispatcher
    telemetry: Telemetry
    lag: LagMeter
    hub: Hub
    scheduler: Scheduler
    reloader: Reloader
    api: Api


def build(config: HubConfig, read: Callable[[], HubConfig], file: Path, reactor: Any) -> Built:
    """Put a hub together. Nothing is opened and nothing runs yet.

    :param read: reads the schedule file; raises ConfigError.
    """
    paths, new_id, pool = (
        RunPaths(config.data_dir),
        IdMaker(utc_now),
        ThreadPool(0, HUB_THREADS, "reactorhub"),
    )
    redis = EmbeddedRedis(config.data_dir, reactor) if config.redis and config.redis.embedded else None
    sink = _sink(config, redis, reactor)
    telemetry = Telemetry(reactor, utc_now, sink, new_id)
    ledger = SqliteLedger(config.data_dir / "hub.db", reactor)
    engine = ScrapyEngine(reactor, RunLogs(paths.log), paths.items)
    world = World(
        clock=reactor,
        now=utc_now,
        ledger=ledger,
        engine=engine,
        slots=Slots(reactor, config.max_concurrent_runs, config.queues),
        changed=telemetry.run_changed,
    )
    dispatcher = Dispatcher(world, new_id, telemetry.event, config.max_queued_runs)
    lag = LagMeter(
        reactor, stalled=lambda seconds: telemetry.event("reactor.stalled", {"stall": {"seconds": seconds}})
    )
    book = ScheduleBook(ledger, utc_now)
    parts = Parts(world=world, dispatcher=dispatcher, book=book, telemetry=telemetry, sink=sink, lag=lag)
    hub = Hub(config, parts, __version__)
    scheduler = Scheduler(
        reactor,
        utc_now,
        lambda schedule, moment: Deferred.fromCoroutine(hub.tick(schedule, moment)),
        lambda missed: Deferred.fromCoroutine(hub.missed(missed)),
    )

    def in_thread(call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return threads.deferToThreadPool(reactor, pool, call, *args)

    async def put_in_force(new: HubConfig) -> View:
        engine.check(new)
        engine.load(new.projects)
        changes = await hub.put_in_force(new)
        scheduler.set_entries(book.entries())
        return changes

    reloader = Reloader(
        reactor, hub, lambda: in_thread(_signature, file), lambda: in_thread(read), put_in_force
    )
    return Built(
        pool=pool,
        ledger=ledger,
        engine=engine,
        redis=redis,
        sink=sink,
        dispatcher=dispatcher,
        telemetry=telemetry,
        lag=lag,
        hub=hub,
        scheduler=scheduler,
        reloader=reloader,
        api=Api(hub, RunFiles(paths, in_thread), reloader.reload),
    )


class HubService(Service):
    """Starts the hub in order and stops it in order; :func:`build` says what of."""

    log = Logger()

    def __init__(
        self,
        config: HubConfig,
        read: Callable[[], HubConfig],
        file: Path,
        reactor: Any,
        *,
        stop_reactor: Callable[[], None],
        console: TextIO | None = None,
    ) -> None:
        """:param console: where a person reads what to do next; None for a daemon."""
        self._config = config
        self._read = read
        self._file = file
        self._reactor = reactor
        self._stop_reactor = stop_reactor
        self._console = console
        self._lock = DataLock(config.data_dir)
        self._ports: list[IListeningPort] = []
        self._hurry: Deferred[None] = Deferred()
        self._built: Built | None = None
        self._started: Deferred[None] = Deferred()
        self.exit_status = 0

    def startService(self) -> None:
        """Take what only one hub can have, at once or not at all; the rest follows on the reactor.

        :raises StartError: if the data folder or a port is taken.
        """
        super().startService()
        self._lock.acquire()
        try:
            self._built = build(self._config, self._read, self._file, self._reactor)
            self._prepare_process(self._built)
            self._listen(self._built)
        except BaseException:
            self._lock.release()
            raise
        self._started = Deferred.fromCoroutine(self._start(self._built))
        self._started.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires once everything that can be written is written."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _prepare_process(self, built: Built) -> None:
        reactor = self._reactor
        reactor.suggestThreadPoolSize(SPIDER_THREADS)
        loop = reactor._asyncioEventloop
        carry_contexts_into_threads(reactor.getThreadPool(), loop, SPIDER_THREADS)
        record_tasks(loop)
        reactor.installNameResolver(CachingResolver(reactor.nameResolver, reactor))
        prepare_logging()
        install_routing(_HubLog())
        signals = Signals(
            reactor,
            grace=lambda: built.hub.config.shutdown_grace,
            hurry=self._make_haste,
            reload=lambda: _go(built.reloader.reload_quietly()),
        )
        reactor.callWhenRunning(reactor.callLater, 0, signals.install)

    def _listen(self, built: Built) -> None:
        self._open_port(self._config.http, GuardedSite(built.api.app.resource()), paused=True)
        if self._config.demo_site is not None:
            shop = Site(bookshop(self._reactor), reactor=self._reactor)
            shop.log = _no_access_log  # type: ignore[method-assign]
            self._open_port(self._config.demo_site, shop)

    def _open_port(self, description: str, site: Site, paused: bool = False) -> None:
        try:
            endpoint = serverFromString(self._reactor, loopback_endpoint(description))
        except (ValueError, TypeError) as error:
            raise StartError(f"{description!r} is no endpoint: {error}") from None
        results: list[Any] = []
        endpoint.listen(site).addBoth(results.append)
        port = results[0]
        if isinstance(port, Failure):
            raise StartError(f"cannot listen on {description}: {port.getErrorMessage()}")
        if paused:
            port.stopReading()  # those who come early wait in the kernel's line until the hub is ready
        self._ports.append(port)

    async def _start(self, built: Built) -> None:
        built.pool.start()
        await built.ledger.open()
        await built.hub.recover()
        built.engine.check(self._config)
        built.engine.load(self._config.projects)
        if built.redis is not None:
            await built.redis.start()
        await built.sink.start()
        await built.hub.adopt()
        built.scheduler.start(built.hub.entries())
        built.lag.start()
        built.telemetry.start(lambda: tuple(built.dispatcher.lives.values()), built.hub.heartbeat)
        await built.hub.run_on_start()
        await built.reloader.watch()
        self._ports[0].startReading()  # type: ignore[attr-defined]
        self._say_ready(built)

    async def _stop(self) -> None:
        built = self._built
        if built is None:
            return
        self._started.cancel()
        built.reloader.stop()
        await built.scheduler.stop()
        await built.dispatcher.stop(built.hub.config.shutdown_grace, self._hurry)
        built.telemetry.stop()
        built.lag.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        await built.sink.stop(1.0)
        if built.redis is not None:
            await built.redis.stop()
        await built.ledger.close()
        built.pool.stop()
        (self._config.data_dir / READY).unlink(missing_ok=True)
        self._lock.release()
        self.log.info("the hub has stopped")

    def _make_haste(self) -> None:
        if not self._hurry.called:
            self._hurry.callback(None)

    def _failed(self, failure: Failure) -> None:
        if self._built is None or not self.running:
            return
        self.exit_status = 1
        if failure.check(ReactorHubError):
            self.log.error("the hub cannot start: {error}", error=failure.value)
            say(self._console, f"reactorhub: {failure.value}")
        else:
            self.log.failure("the hub cannot start", failure)
        self._make_haste()
        self._stop_reactor()

    def _say_ready(self, built: Built) -> None:
        http, demo = [*map(_address, self._ports), None][:2]
        facts = {"pid": os.getpid(), "http": http, "demo_site": demo}
        ready = self._config.data_dir / READY
        (draft := ready.with_suffix(".new")).write_text(json.dumps(facts))
        draft.replace(ready)
        self.log.info("the hub listens on {http}", http=http)
        say(self._console, welcome(http or "", built))


def welcome(http: str, built: Built) -> str:
    """Return what a person who has just started the hub may want to do next."""
    spiders = [spider.name for spider in built.engine.catalog().spiders] or ["SPIDER"]
    return f"""
reactorhub {__version__} is ready. Try, in another terminal:

  curl {http}/api/status
  curl {http}/api/runs -d spider={spiders[0]}
  curl '{http}/api/runs?limit=5'

Edit {built.hub.config.file} and save it: the hub takes the changes up by itself. Stop it with Ctrl-C.
"""


def say(console: TextIO | None, text: str) -> None:
    """Write to a person, if there is one."""
    if console is not None and not console.closed:
        console.write(f"{text}\n")
        console.flush()


def _address(port: Any) -> str:
    host = port.getHost()
    if not hasattr(host, "port"):
        return f"unix://{os.fsdecode(host.name)}"
    name = f"[{host.host}]" if ":" in host.host else host.host
    return f"http://{name}:{host.port}"


def _sink(config: HubConfig, redis: EmbeddedRedis | None, reactor: Any) -> Sink:
    if config.redis is None:
        return NullSink()
    url = redis.url if redis is not None else config.redis.url
    return RedisSink(url or "", config.redis.prefix, reactor, utc_now)


def _signature(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _go(coroutine: Any) -> None:
    Deferred.fromCoroutine(coroutine).addErrback(lambda failure: HubService.log.failure("", failure))


def _no_access_log(request: Any) -> None:
    """The practice shop's visitors are of no interest."""


class _HubLog:
    """Takes the standard library's records that belong to no run into the hub's own log."""

    _levels = (
        (logging.CRITICAL, LogLevel.critical),
        (logging.ERROR, LogLevel.error),
        (logging.WARNING, LogLevel.warn),
    )

    def __call__(self, record: logging.LogRecord) -> None:
        if record.name == "twisted":
            return  # it came from Twisted's log, where it stands already
        for threshold, level in self._levels:
            if record.levelno >= threshold:
                text = logging.Formatter().format(record)
                Logger(namespace=record.name).emit(level, "{text}", text=text)
                return


def read_config(path: Path, overrides: Mapping[str, Any], environ: Mapping[str, str]) -> HubConfig:
    """Read the schedule file, with what the command line says put above it.

    :raises ConfigError: with all that is wrong with it.
    """
    return replace(load(path, environ, socket.gethostname()), **overrides)
