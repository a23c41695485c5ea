"""Starts the hub in order and stops it in order."""

# mypy: allow-untyped-calls
from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.server import Site

from reactorhub.config import HubConfig
from reactorhub.config.endpoints import loopback_endpoint
from reactorhub.containment.forks import in_each_child
from reactorhub.containment.modules import MODULES
from reactorhub.containment.process import contain_process
from reactorhub.containment.process_state import ProcessState
from reactorhub.containment.reactor import carry_contexts_into_pool, carry_contexts_into_threads
from reactorhub.daemon.build import Built, build
from reactorhub.daemon.console import address, cannot_listen, hub_output, say, to_hub_log, welcome
from reactorhub.daemon.dns import CachingResolver, lookup_threads, resolver
from reactorhub.daemon.signals import Signals
from reactorhub.demo_site import ADDRESS_VARIABLE, bookshop
from reactorhub.engine.isolated.child.bytecode import distrust_old_bytecode
from reactorhub.engine.scrapy.environment import answer_for_each_project
from reactorhub.engine.scrapy.private.classes import keep_store_settings_apart
from reactorhub.engine.scrapy.private.everywhere import (
    contain_for_all,
    refuse_crawls_at_import,
    settle_crawls_within_runs,
)
from reactorhub.engine.scrapy.private.receivers import keep_receivers_apart
from reactorhub.engine.scrapy.process import import_components, prepare_logging
from reactorhub.engine.scrapy.project import force
from reactorhub.errors import ReactorHubError, StartError
from reactorhub.events.sink import Sink
from reactorhub.redis.commands import HUB_TTL
from reactorhub.storage.layout import READY
from reactorhub.storage.lock import DataLock
from reactorhub.web.guard import GuardedSite

SPIDER_THREADS = 128  # threads that all spiders share: for name look-ups, feed storage and deferToThread


class HubService(Service):
    """Starts the parts of a hub in order, and stops them in order. :func:`build` makes the parts."""

    log = Logger()

    def __init__(
        self,
        config: HubConfig,
        read: Callable[[], HubConfig],
        file: Path,
        reactor: Any,
        *,
        signature: object,
        stop_reactor: Callable[[], None],
        console: TextIO | None,
        complaints: TextIO,
    ) -> None:
        """
        :param signature: the signature of the file before ``config`` was read from it.
        :param console: the terminal, for the welcome; None for a daemon.
        :param complaints: where to write why the hub cannot start. Closed once the hub has started.
        """
        self._config = config
        self._read = read
        self._file = file
        self._signature = signature
        self._reactor = reactor
        self._stop_reactor = stop_reactor
        self._console = console
        self._complaints = complaints
        self._lock = DataLock(config.data_dir)
        self._ports: list[IListeningPort] = []
        self._hurry: Deferred[None] = Deferred()
        self._built: Built | None = None
        self._started: Deferred[bool | None] = Deferred()

    def startService(self) -> None:
        """Take the data folder and the ports, which only one hub can have. The rest starts on the reactor.

        :raises StartError: if the data folder or a port is not available.
        """
        super().startService()
        try:
            self._take_hold()
        except ReactorHubError as error:
            self._complain(error)
            raise
        assert self._built is not None
        self._started = Deferred.fromCoroutine(self._start(self._built))
        self._started.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop in order. Fires once everything that can be written has been written."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _take_hold(self) -> None:
        self._lock.acquire()
        self._ready.unlink(missing_ok=True)
        try:
            self._built = build(self._config, self._read, self._file, self._reactor)
            self._prepare_process(self._built)
            self._listen(self._built)
        except BaseException:
            self._lock.release()
            raise

    def _prepare_process(self, built: Built) -> None:
        reactor = self._reactor
        reactor.suggestThreadPoolSize(SPIDER_THREADS)
        loop = reactor._asyncioEventloop
        carry_contexts_into_threads(reactor.getThreadPool(), loop, SPIDER_THREADS)
        reactor.installNameResolver(self._resolver())
        prepare_logging()
        contain_for_all()
        keep_receivers_apart()
        refuse_crawls_at_import()
        settle_crawls_within_runs(force)
        distrust_old_bytecode(MODULES.folders)
        keep_store_settings_apart()
        answer_for_each_project()
        contain_process(loop, to_hub_log, hub_output(globalLogPublisher))
        signals = Signals(
            reactor,
            grace=lambda: built.hub.config.shutdown_grace,
            hurry=self._make_haste,
            reload=lambda: self._told_to_reload(built),
        )
        reactor.callWhenRunning(reactor.callLater, 0, signals.install)
        for give_up in (self._lock.forget, self._close_ports, signals.forget):
            in_each_child(give_up)
        built.heartbeat.at_each_end.append(signals.put_right)
        import_components()  # some change what all share, as urllib3 does with the filters of warnings
        state = ProcessState(loop)
        built.heartbeat.each_second.append(state.put_right)
        reactor.callWhenRunning(state.keep_tracers)

    def _resolver(self) -> CachingResolver:
        threads = lookup_threads(self._config.max_concurrent_runs)
        carry_contexts_into_pool(threads)
        return resolver(self._reactor, threads)

    def _listen(self, built: Built) -> None:
        api = GuardedSite(built.api.app.resource())
        self._open_port(self._config.http, api, choose="--http or hub.http", paused=True)
        if self._config.demo_site is not None:
            shop = Site(bookshop(self._reactor), reactor=self._reactor)
            shop.log = _no_access_log  # type: ignore[method-assign]
            self._open_port(self._config.demo_site, shop, choose="hub.demo_site")
            os.environ[ADDRESS_VARIABLE] = address(self._ports[-1])  # before any spider is imported

    def _open_port(self, description: str, site: Site, *, choose: str, paused: bool = False) -> None:
        try:
            endpoint = serverFromString(self._reactor, loopback_endpoint(description))
        except (ValueError, TypeError) as error:
            raise StartError(f"{description!r} is not an endpoint: {error}") from None
        results: list[Any] = []
        endpoint.listen(site).addBoth(results.append)
        port = results[0]
        if isinstance(port, Failure):
            raise StartError(cannot_listen(description, port.value, choose))
        if paused:
            port.stopReading()  # early clients wait in the kernel's backlog until the hub is ready
        self._ports.append(port)

    def _close_ports(self) -> None:
        """Close the ports in a forked child. Otherwise no other hub could listen on them while it lives."""
        for port in self._ports:
            port.socket.close()  # type: ignore[attr-defined]

    async def _start(self, built: Built) -> bool:
        built.pool.start()
        built.heartbeat.start()
        if built.redis is not None:
            await built.redis.start()
        await self._take_name(built.parts.sink)
        await built.ledger.open()
        await built.hub.recover()
        await built.engine.recover()
        projects = self._config.projects
        await built.code.load(projects, partial(built.engine.load, projects, self._config.specs))
        built.hub.warn_of_broken_modules(self._config.projects)
        built.hub.warn_of_unknown_spiders()
        await built.hub.adopt()
        await built.hub.run_on_start()
        built.parts.notifier.start()
        built.scheduler.start(built.hub.entries())
        built.parts.lag.start()
        built.parts.publisher.start(
            lambda: tuple(built.parts.dispatcher.live_runs.values()), built.hub.heartbeat
        )
        built.inputs.start()
        built.retention.start(built.hub.config.retention)
        built.reloader.watch(self._signature)
        built.code.watch()
        self._ports[0].startReading()  # type: ignore[attr-defined]
        self._say_ready(built)
        built.gc_pause.settle()
        return True

    async def _take_name(self, sink: Sink) -> None:
        """Start the sink. Do not start beside another hub of the same name.

        :raises StartError: if there is one. It may also appear later, if Redis is away now; status says so.
        """
        await sink.start()
        if conflict := sink.state().conflict:
            raise StartError(
                f"{conflict}: stop that hub, or give this one another name with hub.name;"
                f" a hub that was killed loses its name {HUB_TTL} seconds after its last heartbeat"
            )

    async def _stop(self) -> None:
        built = self._built
        if built is None:
            return
        self._started.cancel()
        built.reloader.stop()
        built.code.stop()
        await built.inputs.stop()
        await built.scheduler.stop()
        await built.retention.stop()
        await built.parts.dispatcher.stop(built.hub.config.shutdown_grace, self._hurry)
        built.doctor.stop()
        await built.engine.stop()
        await built.parts.notifier.stop()
        built.parts.publisher.stop()
        built.parts.lag.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        await built.parts.sink.stop(1.0)
        if built.redis is not None:
            await built.redis.stop()
        await built.ledger.close()
        built.pool.stop()
        self._ready.unlink(missing_ok=True)
        self._lock.release()
        self.log.info("the hub has stopped")

    def _told_to_reload(self, built: Built) -> None:
        """Reload, but not before the start is over."""
        self._started.addCallback(_reload_if, built)

    def _make_haste(self) -> None:
        if not self._hurry.called:
            self._hurry.callback(None)

    def _failed(self, failure: Failure) -> None:
        if self._built is None or not self.running:
            return
        if not failure.check(ReactorHubError):
            self.log.failure("the hub has an error", failure)
        self._complain(failure.value)
        atexit.register(_leave, 1)
        self._make_haste()
        self._stop_reactor()

    def _complain(self, error: object) -> None:
        self.log.error("the hub cannot start: {error}", error=error)
        say(self._complaints, f"reactorhub: {error}")

    def _say_ready(self, built: Built) -> None:
        http, demo = [*map(address, self._ports), None][:2]
        facts = {"pid": os.getpid(), "http": http, "demo_site": demo}
        draft = self._ready.with_suffix(".new")
        draft.write_text(json.dumps(facts))
        draft.replace(self._ready)
        self.log.info("the hub listens on {http}", http=http)
        self._complaints.close()
        say(self._console, welcome(http or "", self._config.file, built.engine.catalog()))

    @property
    def _ready(self) -> Path:
        return self._config.data_dir / READY


def _leave(status: int) -> None:
    """Exit with this status. After its start twistd can only exit with 0 or by a signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _reload_if(started: bool | None, built: Built) -> bool | None:
    if started:
        going = Deferred.fromCoroutine(built.reloader.reload_quietly(code=True))
        going.addErrback(lambda failure: HubService.log.failure("the hub has an error", failure))
    return started


def _no_access_log(request: Any) -> None:
    """Write no access log for the demo site: the hub's own log is about the hub."""
