"""The composition root: :func:`build` makes a hub from its config, and reads like the architecture."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import threads
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool

from reactorhub import __version__
from reactorhub.config import HubConfig
from reactorhub.config.reading import file_signature
from reactorhub.containment.run_logs import RunLogs
from reactorhub.daemon.gc import GcPause
from reactorhub.daemon.heartbeat import Heartbeat
from reactorhub.daemon.hub_parts import hub_parts, utc_now
from reactorhub.daemon.redis_inputs import RedisInputs
from reactorhub.engine.code_files import CodeFiles, code_files
from reactorhub.engine.doctor.process import ProcessDoctor
from reactorhub.engine.isolated.engine import IsolatedEngine
from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.router import EngineRouter
from reactorhub.engine.scrapy.engine import ScrapyEngine
from reactorhub.events.memory import NullSink
from reactorhub.events.sink import Sink
from reactorhub.hub.code import CodeWatch
from reactorhub.hub.hub import Hub
from reactorhub.hub.reload import Reload, Reloader
from reactorhub.hub.status import HubParts
from reactorhub.model.ids import IdMaker
from reactorhub.notifications.channels.apprise import AppriseSender
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.channels.channel_config import (
    AppriseChannel,
    ChannelConfig,
    EmailChannel,
    WebhookChannel,
)
from reactorhub.notifications.channels.email import Email
from reactorhub.notifications.channels.webhook import Webhook
from reactorhub.redis.address import redis_url_parts
from reactorhub.redis.embedded import EmbeddedRedis
from reactorhub.redis.feeds import Feeds
from reactorhub.redis.hub_name import HubIdentity
from reactorhub.redis.sink import RedisSink
from reactorhub.runs.slots import Slots
from reactorhub.schedules.scheduler import Scheduler
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.storage.folder_id import folder_id
from reactorhub.storage.layout import DOCTOR, LEDGER, RunPaths
from reactorhub.storage.old_files import OldFiles
from reactorhub.storage.retention import Retention
from reactorhub.storage.sqlite.ledger import SqliteLedger
from reactorhub.web.api import Api
from reactorhub.web.files import RunFiles

InThread = Callable[..., Deferred[Any]]
"""Calls a function in a thread of the hub's own."""

HUB_THREADS = 4  # threads of the hub's own, for reading and removing files


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The parts of a hub that are started and stopped."""

    pool: ThreadPool
    gc_pause: GcPause
    heartbeat: Heartbeat
    ledger: SqliteLedger
    engine: EngineRouter
    doctor: ProcessDoctor
    redis: EmbeddedRedis | None
    parts: HubParts
    hub: Hub
    inputs: RedisInputs
    scheduler: Scheduler
    retention: Retention
    reloader: Reloader
    code: CodeWatch
    api: Api


def build(config: HubConfig, read: Callable[[], HubConfig], file: Path, reactor: Any) -> Built:
    """Make the parts of a hub and connect them. Nothing is opened, and nothing runs yet.

    :param read: reads the schedule file. Raises ConfigError.
    """
    paths, pool = RunPaths(config.data_dir), ThreadPool(0, HUB_THREADS, "reactorhub")
    in_thread: InThread = partial(threads.deferToThreadPool, reactor, pool)
    redis = EmbeddedRedis(config.data_dir, reactor) if config.redis and config.redis.embedded else None
    redis_url = _redis_url(config, redis)
    client = None if redis_url is None else RedisClient(redis_url_parts(redis_url), reactor, now=utc_now)
    ledger = SqliteLedger(config.data_dir / LEDGER, reactor)
    heartbeat = Heartbeat(reactor)
    doctor = ProcessDoctor(reactor, config.data_dir / DOCTOR)
    logs = RunLogs(paths.log)
    shared = ScrapyEngine(reactor, logs, paths.items, heartbeat.run_ends, heartbeat.imported)
    isolated = IsolatedEngine(reactor, paths.log, paths.items, sys.executable, str(config.data_dir))
    isolated.module_of = shared.module_of
    shared.redis, isolated.redis_url = client, redis_url
    prefix = config.redis.prefix if config.redis else ""
    shared.feeds = isolated.feeds = f"{prefix}feeds" if config.redis else None
    engine = EngineRouter(shared, isolated, doctor, reactor)
    parts = hub_parts(config, ledger, engine, _sink(config, client, reactor), reactor)
    hub = Hub(config, parts, __version__)
    inputs = RedisInputs(config, hub, parts, client)
    gc_pause = GcPause(reactor)
    scheduler = _scheduler(hub, _first_ticks(gc_pause, parts.services.slots), reactor)
    retention = _retention(config, parts, in_thread, reactor)
    code = _code_watch(hub, parts, engine, in_thread, reactor)
    shared.note, hub.code = code.note, code.views
    parts.notifier.use(_channels(config, reactor))
    reload = Reload(
        hub=hub,
        projects=engine,
        code=code,
        scheduler=scheduler,
        notifier=parts.notifier,
        channels=lambda new: _channels(new, reactor),
        retention=retention,
    )
    reloader = _reloader(reload, _reading(read, gc_pause, in_thread), file, in_thread, reactor)
    return Built(
        pool=pool,
        gc_pause=gc_pause,
        heartbeat=heartbeat,
        ledger=ledger,
        engine=engine,
        doctor=doctor,
        redis=redis,
        parts=parts,
        hub=hub,
        inputs=inputs,
        scheduler=scheduler,
        retention=retention,
        reloader=reloader,
        code=code,
        api=_api(hub, reloader, paths, Feeds(client, prefix, inputs.trouble), in_thread),
    )


def _retention(config: HubConfig, parts: HubParts, in_thread: InThread, reactor: Any) -> Retention:
    sweeps = {name: partial(in_thread, OldFiles(config.data_dir / name).sweep) for name in ("logs", "items")}
    return Retention(
        reactor, utc_now, parts.services.ledger.prune, sweeps, lambda: parts.dispatcher.live_runs
    )


def _code_watch(
    hub: Hub, parts: HubParts, engine: EngineRouter, in_thread: InThread, reactor: Any
) -> CodeWatch:
    return CodeWatch(
        clock=reactor,
        now=utc_now,
        loader=engine,
        scan=lambda projects: in_thread(_scanned, projects),
        projects=lambda: hub.config.projects,
        event=parts.publisher.event,
    )


def _reading(
    read: Callable[[], HubConfig], gc_pause: GcPause, in_thread: InThread
) -> Callable[[], Deferred[HubConfig]]:
    """Return what reads the schedule file in a thread, without a full collection meanwhile."""

    def read_file() -> Deferred[HubConfig]:
        gc_pause.hold()
        return in_thread(read).addBoth(_released, gc_pause)

    return read_file


def _reloader(
    reload: Reload,
    read: Callable[[], Deferred[HubConfig]],
    file: Path,
    in_thread: InThread,
    reactor: Any,
) -> Reloader:
    return Reloader(
        reactor,
        reload.hub,
        signature=lambda: in_thread(file_signature, file),
        read=read,
        put_in_force=reload.put_in_force,
        load_code=reload.code.reload,
    )


def _api(hub: Hub, reloader: Reloader, paths: RunPaths, feeds: Feeds, in_thread: InThread) -> Api:
    return Api(
        hub,
        RunFiles(paths, in_thread, lambda: hub.config.retention, utc_now),
        partial(reloader.reload, code=True),
        feeds,
    )


def _scanned(projects: Mapping[str, ProjectConfig]) -> dict[str, CodeFiles]:
    return {name: code_files(each.path) for name, each in projects.items()}


def _scheduler(hub: Hub, busy: Callable[[bool], None], reactor: Any) -> Scheduler:
    return Scheduler(
        reactor,
        utc_now,
        lambda due, after: Deferred.fromCoroutine(hub.tick(due.schedule, due.nominal_time, after)),
        lambda missed, after: Deferred.fromCoroutine(hub.missed(missed, after)),
        busy,
    )


def _first_ticks(gc_pause: GcPause, slots: Slots) -> Callable[[bool], None]:
    """Return a function that makes crawls and full collections wait until all due ticks are handled."""

    def busy(is_busy: bool) -> None:
        slots.hold(is_busy)
        (gc_pause.hold if is_busy else gc_pause.release)()

    return busy


def _released(result: Any, gc_pause: GcPause) -> Any:
    gc_pause.release()
    return result


def _redis_url(config: HubConfig, redis: EmbeddedRedis | None) -> str | None:
    if config.redis is None:
        return None
    return config.redis.url if redis is None else redis.url


def _sink(config: HubConfig, client: RedisClient | None, reactor: Any) -> Sink:
    if config.redis is None or client is None:
        return NullSink()
    return RedisSink(client, config.redis.prefix, _identity(config), reactor, utc_now)


def _identity(config: HubConfig) -> HubIdentity:
    return HubIdentity(
        name=config.name,
        instance=IdMaker(utc_now)(),
        folder_id=folder_id(config.data_dir),
        host=socket.gethostname(),
        pid=os.getpid(),
        data_dir=str(config.data_dir.absolute()),
    )


def _channels(config: HubConfig, reactor: Any) -> dict[str, Channel]:
    return {name: _channel(each, reactor) for name, each in config.channels.items()}


def _channel(config: ChannelConfig, reactor: Any) -> Channel:
    match config:
        case EmailChannel():
            return Email(config, reactor)
        case WebhookChannel():
            return Webhook(config, reactor, utc_now)
        case AppriseChannel():
            return AppriseSender(config, reactor)
