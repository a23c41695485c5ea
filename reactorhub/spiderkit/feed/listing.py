"""Tells the hub which feeds there are, so that it can show them and their dead letters."""

from __future__ import annotations

from typing import Any

from scrapy.crawler import Crawler

from reactorhub.spiderkit.connection.commands import Script
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable

MAX_FEEDS = 1_000  # the feeds that were opened last

# KEYS: the sorted set of feeds. ARGV: the key of a feed, how many feeds are kept.
LIST = Script("""
redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
return 1
""")


async def list_feed(crawler: Crawler, client: Any, key: str) -> None:
    """Add a feed to those that the hub knows, once Redis is connected. Without a hub there is nothing to do.

    A feed that cannot be added works all the same.

    :param client: the connection that the feed uses.
    """
    feeds = getattr(crawler, "reactorhub_feeds", None)
    if feeds is None:
        return
    try:
        await client.when_connected()
        await client.run(LIST, [feeds], [key, MAX_FEEDS])
    except (RedisUnavailable, RedisRefused):
        return
