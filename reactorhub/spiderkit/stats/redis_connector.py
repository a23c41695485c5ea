"""Writes stats to Redis: one hash for all spiders of all nodes."""

from __future__ import annotations

from typing import Any, Self

from scrapy.crawler import Crawler
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.client import ClientState, RedisClient
from reactorhub.spiderkit.connection.errors import RedisUnavailable
from reactorhub.spiderkit.connection.parameters import (
    SERVER_PARAMS,
    address_from,
    leads_to,
    server_params,
)
from reactorhub.spiderkit.stats.outbox import result_of
from reactorhub.spiderkit.stats.plain import Plain, json_text

DEFAULT_KEY = "scrapy.stats"
MAX_WAIT = 3.0  # seconds for a server that was reached before: it may be starting again
_ALIASES = {"unix": "unix_socket_path", "user": "username"}


class RedisConnector:
    """Sets the field ``spider_id`` of the hash ``key`` to the stats as JSON.

    The server is given as ``url``, as ``unix`` (a path), or as ``host``, ``port``, ``db``, ``user`` and
    ``password``. Without any of them it is the hub's, or else the one that the settings ``REDIS_*`` name. The
    hub's own connection is used where it leads to the same server.

    :raises ValueError: if these name no server, or have names that are not known.
    """

    def __init__(self, key: str = DEFAULT_KEY, *, crawler: Crawler | None = None, **server: Any) -> None:
        if not isinstance(key, str) or not key:
            raise ValueError(f"key must be the name of a hash in Redis, not {key!r}")
        params = {_ALIASES.get(name, name): value for name, value in server.items() if value is not None}
        if unknown := sorted(params.keys() - SERVER_PARAMS):
            known = "key, url, unix, host, port, db, user, password"
            raise ValueError(f"{', '.join(unknown)} is not known; there are {known}")
        self.outlives_crawl = False
        """Whether the connection is lent: it ends every call by itself, and nobody closes it."""
        self._key = key
        self._address = address_from(params) if params else None
        self._client: Any = None
        self._reached = False
        if crawler is not None:
            self._find_server(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler, **confs: Any) -> Self:
        """Make a connector that uses what the crawler has: the hub's connection, the settings."""
        return cls(crawler=crawler, **confs)

    def _find_server(self, crawler: Crawler) -> None:
        lent = getattr(crawler, "reactorhub_connection", None)
        named = self._address
        if named is None and (params := server_params(crawler.settings)) is not None:
            named = address_from(params)
        place = getattr(lent, "address", None)
        if lent is not None and (named is None or place is None or leads_to(place, named)):
            self._client, self.outlives_crawl = lent, True
        self._address = named or RedisAddress()

    def connect(self) -> Deferred[None] | None:
        """Connect, unless the connection is lent. Fires after the first attempt, whatever came of it."""
        if self._client is not None:
            return None
        from twisted.internet import reactor  # noqa: PLC0415 - it is installed only now

        self._clock: Any = reactor
        self._client = client = RedisClient(self._address or RedisAddress(), reactor)
        client.watch(self._changed)
        return client.start()

    def upload(self, spider_id: str, stats: Plain) -> Deferred[None]:
        """Write the stats.

        :raises RedisUnavailable: if the server cannot be reached. It is waited for if it was reached before.
        :raises RedisRefused: if the server does not take the stats.
        """
        text = json_text(stats)
        if hasattr(self._client, "soon") and self.outlives_crawl:
            return self._client.soon("HSET", self._key, spider_id, text)  # type: ignore[no-any-return]
        return Deferred.fromCoroutine(self._upload(spider_id, text))

    def close(self) -> Deferred[None] | None:
        """Close the connection, unless it is lent."""
        if self.outlives_crawl or self._client is None:
            return None
        client, self._client = self._client, None
        return client.stop()  # type: ignore[no-any-return]

    async def _upload(self, spider_id: str, text: str) -> None:
        client = self._client
        if client is None:
            raise RedisUnavailable("the connector is not connected: connect() comes first")
        if self.outlives_crawl:
            await result_of(client.execute("HSET", self._key, spider_id, text))
            return
        if self._reached and client.state.state == "reconnecting":
            await client.when_connected().addTimeout(MAX_WAIT, self._clock).addErrback(_ignore)
        await client.execute("HSET", self._key, spider_id, text)

    def _changed(self, state: ClientState) -> None:
        self._reached = self._reached or state.state == "connected"


def _ignore(_: Failure) -> None:
    """Let the call that follows say why there is no connection."""
