"""Reads the schedule file as the hub does at its start, including checks that need the machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reactorhub.config import HubConfig, load
from reactorhub.config.endpoints import loopback_endpoint
from reactorhub.config.projects import project_mistakes
from reactorhub.engine.projects import with_environment
from reactorhub.errors import Mistake, StartError
from reactorhub.notifications.channels.apprise import check_apprise
from reactorhub.notifications.channels.channel_config import AppriseChannel
from reactorhub.redis.address import redis_url_parts


def read_config(
    path: Path, overrides: Mapping[str, Any], environ: Mapping[str, str], *, shown: Path | None = None
) -> HubConfig:
    """Read the schedule file; options of the command line override it, and variables complete it.

    :param shown: the file as messages name it, if not by ``path``.
    :raises ConfigError: with all mistakes in the file.
    :raises StartError: if an option of the command line is wrong.
    """
    config = load(path, environ, socket.gethostname(), _mistakes, shown=shown)
    if "http" in overrides:
        loopback_endpoint(overrides["http"])
    projects = {name: with_environment(project, environ) for name, project in config.projects.items()}
    return replace(config, projects=projects, **overrides)


def file_signature(path: Path) -> tuple[int, ...] | None:
    """Return a value that changes when the schedule file, or its link target, changes; None if it is gone.

    The inode's change time is part of it: only this time reveals a file of the same length whose old times
    were restored, as ``rsync`` and ``tar`` do, and a file that has become readable.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _mistakes(config: HubConfig) -> list[Mistake]:
    return [*project_mistakes(config), *_address_mistakes(config), *_apprise_mistakes(config)]


def _address_mistakes(config: HubConfig) -> list[Mistake]:
    redis_url = None if config.redis is None else config.redis.url
    checks: list[tuple[tuple[str, ...], Callable[[str], object], str | None]] = [
        (("hub", "http"), loopback_endpoint, config.http),
        (("hub", "demo_site"), loopback_endpoint, config.demo_site),
        (("hub", "redis", "url"), redis_url_parts, redis_url),
    ]
    mistakes = []
    for path, check, value in checks:
        try:
            if value is not None:
                check(value)
        except StartError as error:
            mistakes.append(config.mistake(path, str(error)))
    return mistakes


def _apprise_mistakes(config: HubConfig) -> list[Mistake]:
    mistakes = []
    for name, channel in config.channels.items():
        try:
            if isinstance(channel, AppriseChannel):
                check_apprise(channel)
        except StartError as error:
            mistakes.append(config.mistake(("hub", "notify", name, "apprise"), str(error)))
    return mistakes
