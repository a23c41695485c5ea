"""What a spider and its settings say about its feed, under the names that scrapy-redis uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scrapy.settings import BaseSettings

DEFAULT_KEY = "%(name)s:start_urls"
_BLOCKING = ("SCHEDULER", "DUPEFILTER_CLASS", "STATS_CLASS")
_ACKS = ("response", "tree")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOptions:
    """How a spider reads its feed. ``max_idle_time`` and ``lease`` are in seconds; 0 idle seconds mean ever.

    ``kind`` is the kind of key that the source is expected to be.
    """

    redis_key: str
    batch: int = 16
    encoding: str = "utf-8"
    decode: bool = False
    kind: str = "list"
    max_idle_time: float = 0
    tree: bool = False
    lease: float = 60
    max_deliveries: int = 5


def options_of(spider: Any, settings: BaseSettings) -> FeedOptions:
    """Read a spider's attributes, and the settings where it has none.

    :raises ValueError: if one of them cannot be used. The message names it.
    """
    batch = _own(spider, "redis_batch_size", settings, "CONCURRENT_REQUESTS", 16)
    idle = _own(spider, "max_idle_time", settings, "MAX_IDLE_TIME_BEFORE_CLOSE", 0)
    return FeedOptions(
        redis_key=_key(spider, settings),
        batch=_whole("redis_batch_size", batch),
        encoding=_encoding(str(_own(spider, "redis_encoding", settings, "REDIS_ENCODING", "utf-8"))),
        decode=settings.getbool("REDIS_DECODE_RESPONSES"),
        kind=_kind(settings),
        max_idle_time=_seconds("max_idle_time", idle, least=0),
        tree=_ack(settings) == "tree",
        lease=_seconds("REDIS_LEASE", settings.get("REDIS_LEASE", 60), least=0.1),
        max_deliveries=_whole("REDIS_MAX_DELIVERIES", settings.get("REDIS_MAX_DELIVERIES", 5)),
    )


def blocking_settings(settings: BaseSettings) -> list[str]:
    """Return the settings that name a class of scrapy_redis whose calls block the reactor."""
    return [name for name in _BLOCKING if _module_of(settings.get(name)).startswith("scrapy_redis.")]


def _module_of(component: Any) -> str:
    return component if isinstance(component, str) else f"{getattr(component, '__module__', '')}."


def _own(spider: Any, name: str, settings: BaseSettings, setting: str, default: Any) -> Any:
    value = getattr(spider, name, None)
    if value is None:
        value = settings.get(setting)
    return default if value is None else value


def _key(spider: Any, settings: BaseSettings) -> str:
    key = str(_own(spider, "redis_key", settings, "REDIS_START_URLS_KEY", DEFAULT_KEY))
    try:
        key = key % {"name": spider.name}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"redis_key {key!r} may contain %(name)s; any other % is written %%") from error
    if not key.strip():
        raise ValueError("redis_key must not be empty")
    return key


def _kind(settings: BaseSettings) -> str:
    if settings.getbool("REDIS_START_URLS_AS_SET"):
        return "set"
    return "zset" if settings.getbool("REDIS_START_URLS_AS_ZSET") else "list"


def _ack(settings: BaseSettings) -> str:
    ack = str(settings.get("REDIS_ACK") or "response")
    if ack not in _ACKS:
        raise ValueError(f"REDIS_ACK must be response or tree, not {ack!r}")
    return ack


def _whole(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an integer") from error
    if number < 1:
        raise ValueError(f"{name} must be at least 1")
    return number


def _seconds(name: str, value: Any, least: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number of seconds") from error
    if not least <= number < float("inf"):
        raise ValueError(f"{name} must be at least {least:g} seconds")
    return number


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError as error:
        raise ValueError(f"REDIS_ENCODING {name!r} is not an encoding that Python knows") from error
    return name
