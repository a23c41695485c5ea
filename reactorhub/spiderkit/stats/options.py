"""The settings of the uploader, checked."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scrapy import Spider
from scrapy.settings import BaseSettings
from scrapy.utils.misc import load_object

ON_CLOSE, ON_IDLE, INTERVAL = "UPLOAD_ON_CLOSE", "UPLOAD_ON_IDLE", "UPLOAD_INTERVAL"
DEFAULT_CONNECTOR = "reactorhub.spiderkit.RedisConnector"
_PREFIX = "STATSUPLOADER_"
MIN_INTERVAL = 0.1  # seconds; what is sent more often would take much of the process's time
MAX_INTERVAL = 86_400.0  # seconds: a day


def by_name(spider: Spider) -> str:
    """Return the spider's name: every node writes to the same place."""
    return spider.name


def node_and_name(spider: Spider) -> str:
    """Return ``<host>:<spider>``: several nodes that run the same spider keep their stats apart."""
    return f"{socket.gethostname()}:{spider.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploaderOptions:
    """When stats are uploaded, under which id, and by what. ``interval`` is in seconds."""

    mode: str
    interval: float
    spider_id: Callable[[Spider], str]
    connector: type[Any]
    confs: dict[str, Any]


def uploader_options(settings: BaseSettings) -> UploaderOptions:
    """Read the settings ``STATSUPLOADER_*``.

    :raises ValueError: if one of them cannot be used. The message names it and says what to write.
    """
    return UploaderOptions(
        mode=_mode(settings.get(f"{_PREFIX}UPLOAD_MODE") or ON_CLOSE),
        interval=_interval(settings.get(f"{_PREFIX}UPLOAD_INTERVAL", 60)),
        spider_id=_spider_id(settings.get(f"{_PREFIX}GEN_SPIDERID") or by_name),
        connector=_connector(settings.get(f"{_PREFIX}CONNECTOR_CLASS") or DEFAULT_CONNECTOR),
        confs=_confs(settings),
    )


def _mode(value: Any) -> str:
    if value not in (ON_CLOSE, ON_IDLE, INTERVAL):
        raise ValueError(f"{_PREFIX}UPLOAD_MODE must be {ON_CLOSE}, {ON_IDLE} or {INTERVAL}, not {value!r}")
    return str(value)


def _interval(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not MIN_INTERVAL <= seconds <= MAX_INTERVAL:
        raise ValueError(
            f"{_PREFIX}UPLOAD_INTERVAL must be a number of seconds from {MIN_INTERVAL} to "
            f"{MAX_INTERVAL:.0f}, not {value!r}"
        )
    return seconds


def _spider_id(value: Any) -> Callable[[Spider], str]:
    found = _loaded("GEN_SPIDERID", value)
    if not callable(found):
        raise ValueError(f"{_PREFIX}GEN_SPIDERID must be a function that takes a spider, not {value!r}")
    return found  # type: ignore[no-any-return]


def _connector(value: Any) -> type[Any]:
    found = _loaded("CONNECTOR_CLASS", value)
    if not callable(getattr(found, "upload", None)):
        raise ValueError(
            f"{_PREFIX}CONNECTOR_CLASS must be a class with a method upload(spider_id, stats), not {value!r}"
        )
    return found  # type: ignore[no-any-return]


def _loaded(name: str, value: Any) -> Any:
    try:
        return load_object(value)
    except Exception as error:
        raise ValueError(f"{_PREFIX}{name} {value!r} cannot be imported: {error}") from error


def _confs(settings: BaseSettings) -> dict[str, Any]:
    try:
        return dict(settings.getdict(f"{_PREFIX}CONNECT_CONFS"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_PREFIX}CONNECT_CONFS must be a dict: {error}") from error
