"""Reads the schedule file into one frozen value, and finds all of its mistakes at once.

:func:`parse` depends on its arguments only; :func:`load` reads the file and calls :func:`parse`.
"""

from __future__ import annotations

import os.path
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactorhub.config.checking import check
from reactorhub.config.keys import FileKeys, HubKeys, ProjectKeys, RedisKeys, RetentionKeys
from reactorhub.config.notify import read_channels
from reactorhub.config.places import KeyPath, Place, Positions
from reactorhub.config.schedules import References, read_schedules
from reactorhub.config.yaml_source import Tree, read_yaml
from reactorhub.engine.projects import ProjectConfig
from reactorhub.errors import ConfigError, Mistake
from reactorhub.model.code import CodeReload
from reactorhub.model.run import DEFAULT_QUEUE, RunSpec
from reactorhub.model.schedule import Schedule
from reactorhub.notifications.channels.channel_config import ChannelConfig
from reactorhub.storage.retention import RetentionConfig

DEFAULT_FILE = "schedule.yaml"
MAX_BYTES = 1 << 20  # 10,000 schedules of a line each need less
HTTP = "tcp:6800:interface=127.0.0.1"
MAX_CONCURRENT_RUNS = 16
MAX_QUEUED_RUNS = 10_000
REDIS_PREFIX = "reactorhub:"
SHUTDOWN_GRACE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfig:
    """Where to publish: to a server at ``url``, or to an ``embedded`` server that the hub starts.

    The URL may contain a password, so it is not printed.
    """

    url: str | None = field(default=None, repr=False)
    embedded: bool = False
    prefix: str = REDIS_PREFIX
    inbox: bool = True  # whether orders in Redis become runs


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConfig:
    """The content of the schedule file, with defaults filled in.

    ``data_dir`` and the paths of projects are absolute. ``queues`` always has the default queue.
    ``shutdown_grace`` is in seconds. Endpoints are strings that have not been checked.
    """

    file: str
    name: str
    http: str
    data_dir: Path
    timezone: str
    max_concurrent_runs: int
    max_queued_runs: int
    queues: Mapping[str, int]
    shutdown_grace: float
    projects: Mapping[str, ProjectConfig]
    redis: RedisConfig | None
    retention: RetentionConfig
    demo_site: str | None
    channels: Mapping[str, ChannelConfig]
    schedules: Mapping[str, Schedule]
    positions: Positions = field(compare=False, repr=False)

    @property
    def says_nothing(self) -> bool:
        """Whether the file has no key at all."""
        return not self.positions.keys

    @property
    def specs(self) -> list[RunSpec]:
        """What the runs of its schedules are meant to be."""
        return [schedule.spec for schedule in self.schedules.values()]

    def mistake(self, path: KeyPath, message: str) -> Mistake:
        """Return a mistake at this path of the file, or at its nearest parent that the file has."""
        return self.positions.mistake(path, message)


Checks = Callable[[HubConfig], Iterable[Mistake]]


def load(
    path: Path,
    environ: Mapping[str, str],
    hostname: str,
    further: Checks = lambda _: (),
    *,
    shown: Path | None = None,
) -> HubConfig:
    """Read the schedule file at ``path``. Relative paths in the file are relative to its folder.

    :param further: more checks, see :func:`parse`.
    :param shown: the file as messages name it, if not by ``path``.
    :raises ConfigError: with all mistakes in the file, or the reason why it cannot be read.
    """
    named = shown or path
    return parse(_text(path, named), str(named), environ, path.absolute().parent, hostname, further=further)


def parse(
    text: str,
    file: str,
    environ: Mapping[str, str],
    folder: Path,
    hostname: str,
    *,
    further: Checks = lambda _: (),
) -> HubConfig:
    """Parse the text of a schedule file.

    :param file: the name of the file in mistakes.
    :param folder: the absolute folder that relative paths are relative to.
    :param hostname: the name of the hub, unless the file has another.
    :param further: more checks, whose mistakes are reported with the others. It gets a config in which
        defaults replace wrong values and schedules with mistakes are missing.
    :raises ConfigError: with every mistake in the file.
    """
    source = read_yaml(text, file, environ)
    report = source.report
    top = check(FileKeys, source.tree, (), report)
    hub = check(HubKeys, top.keys.hub, ("hub",), report)
    projects, queues = _projects(hub.keys, folder), _queues(hub.keys)
    channels = read_channels(hub.keys.notify, report)
    references = References(
        timezone=hub.keys.timezone or "UTC",
        projects=_names(top.keys.hub, "projects") if "projects" in hub.broken else projects,
        queues=_names(top.keys.hub, "queues", DEFAULT_QUEUE) if "queues" in hub.broken else queues,
        report=report,
        channels=_names(top.keys.hub, "notify") if "notify" in hub.broken else hub.keys.notify or (),
    )
    schedules = read_schedules(top.keys.defaults, top.keys.schedules or {}, references)
    config = HubConfig(
        file=file,
        timezone=references.timezone,
        queues=queues,
        projects=projects,
        channels=channels,
        schedules=schedules,
        positions=report.positions,
        **_scalars(hub.keys, folder, hostname),
    )
    for mistake in further(config):
        report.add(mistake)
    report.conclude()
    return config


def _names(hub: Tree, key: str, *always: str) -> Collection[str] | None:
    """Return the names in a section that has mistakes, so that references to them can be checked; None if the
    section cannot be read at all."""
    section = hub.get(key) if isinstance(hub, dict) else None
    return {*always, *section} if isinstance(section, dict) else None


def _scalars(keys: HubKeys, folder: Path, hostname: str) -> dict[str, Any]:
    grace = keys.shutdown_grace
    return {
        "name": keys.name or hostname,
        "http": keys.http or HTTP,
        "data_dir": _below(folder, keys.data_dir or "var"),
        "max_concurrent_runs": keys.max_concurrent_runs or MAX_CONCURRENT_RUNS,
        "max_queued_runs": keys.max_queued_runs or MAX_QUEUED_RUNS,
        "shutdown_grace": grace.total_seconds() if grace else SHUTDOWN_GRACE,
        "redis": _redis(keys.redis),
        "retention": RetentionConfig(**dict(keys.retention or RetentionKeys())),
        "demo_site": keys.demo_site,
    }


def _projects(keys: HubKeys, folder: Path) -> dict[str, ProjectConfig]:
    """Return the projects. Without any, the folder of the file is the project ``default``."""
    return {
        name: ProjectConfig(
            name=name,
            path=_below(folder, project.path or "."),
            spider_modules=tuple(project.spider_modules or ()),
            settings=project.settings,
            python=project.python and str(_below(folder, project.python)),
            isolate=project.isolate,
            memory_limit=project.memory_limit,
            reload=project.reload or CodeReload.MANUAL,
        )
        for name, project in (keys.projects or {"default": ProjectKeys()}).items()
    }


def _queues(keys: HubKeys) -> dict[str, int]:
    return {DEFAULT_QUEUE: keys.max_concurrent_runs or MAX_CONCURRENT_RUNS, **(keys.queues or {})}


def _redis(keys: RedisKeys | None) -> RedisConfig | None:
    if keys is None:
        return None
    prefix = keys.prefix or REDIS_PREFIX
    inbox = keys.inbox is not False
    return RedisConfig(url=keys.url, embedded=keys.embedded or False, prefix=prefix, inbox=inbox)


def _below(folder: Path, path: str) -> Path:
    return Path(os.path.normpath(folder / path))


def _text(path: Path, named: Path) -> str:
    """Read the file, up to ``MAX_BYTES``."""
    try:
        if path.exists() and not path.is_file():
            raise _unreadable(named, "this is not a file; name the schedule file itself")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(named, _missing(named)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unreadable(named, f"cannot be read ({reason}); make it readable for the hub") from error
    if len(data) > MAX_BYTES:
        raise _unreadable(named, "is larger than 1 MiB; make it smaller")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").split("\n")
        place = (len(before), len(before[-1]) + 1)
        raise _unreadable(named, "is not UTF-8 from here on; save the file as UTF-8", place) from error


def _missing(path: Path) -> str:
    """Say that there is no file at ``path``, and which command writes one there."""
    where = "" if path == Path(DEFAULT_FILE) else f" --config {shlex.quote(str(path))}"
    return f"there is no such file; write one with `reactorhub init{where}`, or name another with --config"


def _unreadable(path: Path, message: str, place: Place = (1, 1)) -> ConfigError:
    return ConfigError([Mistake(str(path), *place, "", message)])
