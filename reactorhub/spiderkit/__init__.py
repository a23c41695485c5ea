"""What Scrapy projects import from the hub. It also works without a hub, under plain ``scrapy crawl``.

Nothing here imports another package of reactorhub. Nothing imports txredisapi before the first connection:
its import would install a reactor, and Scrapy could no longer install the one that the settings name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactorhub.spiderkit.connection.address import RedisAddress, address_of
    from reactorhub.spiderkit.connection.client import RedisClient
    from reactorhub.spiderkit.connection.commands import Script
    from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable
    from reactorhub.spiderkit.feed.spiders import RedisCrawlSpider, RedisMixin, RedisSpider
    from reactorhub.spiderkit.stats.connectors import JsonLinesConnector, MemoryConnector, WebhookConnector
    from reactorhub.spiderkit.stats.options import node_and_name
    from reactorhub.spiderkit.stats.redis_connector import RedisConnector
    from reactorhub.spiderkit.stats.uploader import StatsUploader

__all__ = (
    "JsonLinesConnector",
    "MemoryConnector",
    "RedisAddress",
    "RedisClient",
    "RedisConnector",
    "RedisCrawlSpider",
    "RedisMixin",
    "RedisRefused",
    "RedisSpider",
    "RedisUnavailable",
    "Script",
    "StatsUploader",
    "WebhookConnector",
    "address_of",
    "node_and_name",
)

_PLACES = {
    "JsonLinesConnector": "stats.connectors",
    "MemoryConnector": "stats.connectors",
    "RedisAddress": "connection.address",
    "RedisClient": "connection.client",
    "RedisConnector": "stats.redis_connector",
    "RedisCrawlSpider": "feed.spiders",
    "RedisMixin": "feed.spiders",
    "RedisRefused": "connection.errors",
    "RedisSpider": "feed.spiders",
    "RedisUnavailable": "connection.errors",
    "Script": "connection.commands",
    "StatsUploader": "stats.uploader",
    "WebhookConnector": "stats.connectors",
    "address_of": "connection.address",
    "node_and_name": "stats.options",
}
"""The module of each public name. It is imported when the name is first used."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
