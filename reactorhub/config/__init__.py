"""The schedule file as one frozen value, with every mistake in it found at once.

:func:`parse` is a function of its arguments alone; :func:`load` reads the file and calls it.
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
from reactorhub.model.run import DEFAULT_QUEUE
from reactorhub.model.schedule import Schedule
from reactorhub.notifications.channels.addresses import AnyChannel
from reactorhub.storage.retention import RetentionConfig

DEFAULT_FILE = "schedule.yaml"
MAX_BYTES = 1 << 20
HTTP = "tcp:6800:interface=127.0.0.1"
MAX_CONCURRENT_RUNS = 16
MAX_QUEUED_RUNS = 10_000
REDIS_PREFIX = "reactorhub:"
SHUTDOWN_GRACE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfig:
    """Where to publish: a server at ``url``, or an ``embedded`` one that the hub starts for itself.

    A URL may hold a password, so it is not printed.
    """

    url: str | None = field(default=None, repr=False)
    embedded: bool = False
    prefix: str = REDIS_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConfig:
    """All that the schedule file says, with the defaults of the contract filled in.

    ``data_dir`` and the paths of projects are absolute. ``queues`` always holds the default queue.
    ``shutdown_grace`` is in seconds. Endpoints are strings, not yet looked at.
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
    channels: Mapping[str, AnyChannel]
    schedules: Mapping[str, Schedule]
    positions: Positions = field(compare=False, repr=False)

    @property
    def says_nothing(self) -> bool:
        """Whether the file has no key at all."""
        return not self.positions.keys

    def mistake(self, path: KeyPath, message: str) -> Mistake:
        """Return a mistake at this place of the file, or at the nearest parent that the file has."""
        return self.positions.mistake(path, message)


Checks = Callable[[HubConfig], Iterable[Mistake]]


def load(path: Path, environ: Mapping[str, str], hostname: str, further: Checks = lambda _: ()) -> HubConfig:
    """Read the schedule file at ``path``. Relative paths in it start from its own folder.

    :param further: finds mistakes that are told with the others, see :func:`parse`.
    :raises ConfigError: with all that is wrong with it, or with why it cannot be read.
    """
    return parse(_text(path), str(path), environ, path.absolute().parent, hostname, further=further)


def parse(
    text: str,
    file: str,
    environ: Mapping[str, str],
    folder: Path,
    hostname: str,
    *,
    further: Checks = lambda _: (),
) -> HubConfig:
    """Return what ``text`` says. ``file`` is its name in mistakes, ``folder`` (absolute) where relative paths
    start, ``hostname`` the hub's name unless the text gives another.

    :param further: finds mistakes that are told with the others; what it is given has the defaults in place
        of all that is wrong, and lacks the schedules that are.
    :raises ConfigError: with every mistake in it.
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
    """Return the names that the file gives in a section with mistakes in it, so that others can be checked
    against them; None where there are none to be had."""
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
    """Return the projects; where none is configured, the file's own folder is one."""
    return {
        name: ProjectConfig(
            name=name,
            path=_below(folder, project.path or "."),
            spider_modules=tuple(project.spider_modules or ()),
        )
        for name, project in (keys.projects or {"default": ProjectKeys()}).items()
    }


def _queues(keys: HubKeys) -> dict[str, int]:
    return {DEFAULT_QUEUE: keys.max_concurrent_runs or MAX_CONCURRENT_RUNS, **(keys.queues or {})}


def _redis(keys: RedisKeys | None) -> RedisConfig | None:
    if keys is None:
        return None
    prefix = keys.prefix or REDIS_PREFIX
    return RedisConfig(url=keys.url, embedded=keys.embedded or False, prefix=prefix)


def _below(folder: Path, path: str) -> Path:
    return Path(os.path.normpath(folder / path))


def _text(path: Path) -> str:
    """Read the file, within its limit."""
    try:
        if path.exists() and not path.is_file():
            raise _unreadable(path, "this is not a file; name the schedule file itself")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(path, _missing(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unreadable(path, f"cannot be read ({reason}); make it readable for the hub") from error
    if len(data) > MAX_BYTES:
        raise _unreadable(path, "is larger than 1 MiB; make it smaller")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").split("\n")
        place = (len(before), len(before[-1]) + 1)
        raise _unreadable(path, "is not UTF-8 from here on; save the file as UTF-8", place) from error


def _missing(path: Path) -> str:
    """Say that there is no file at ``path``, and which command writes one there."""
    where = "" if path == Path(DEFAULT_FILE) else f" --config {shlex.quote(str(path))}"
    return f"there is no such file; write one with `reactorhub init{where}`, or name another with --config"


def _unreadable(path: Path, message: str, place: Place = (1, 1)) -> ConfigError:
    return ConfigError([Mistake(str(path), *place, "", message)])
