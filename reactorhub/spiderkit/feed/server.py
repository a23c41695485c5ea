"""The blocking client that spiders written for scrapy-redis find as ``self.server``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from scrapy.utils.misc import load_object

from reactorhub.spiderkit.connection.address import RedisAddress

_TIMEOUTS = {"socket_timeout": 30, "socket_connect_timeout": 30, "retry_on_timeout": True}


def blocking_server(params: Mapping[str, Any] | None, address: RedisAddress, decode: bool) -> Any:
    """Return a client of the package redis, made as scrapy-redis makes it.

    :param params: what the project's settings say; None if they name no server.
    :param address: the server that the feed uses.
    :raises AttributeError: if the package is not installed.
    """
    chosen = {**_TIMEOUTS, **(_params_of(address) if params is None else params)}
    if decode:
        chosen["decode_responses"] = True
    kind = chosen.pop("redis_cls", None)
    url = chosen.pop("url", None)
    cls = load_object(kind) if kind else _redis().Redis
    return cls.from_url(url, **chosen) if url else cls(**chosen)


def _redis() -> Any:
    try:
        return import_module("redis")
    except ImportError as error:
        raise AttributeError(
            "self.server is a client of the package redis, which is not installed. It would block the "
            "reactor anyway: use `await self.push(entry)` to add entries, or run: pip install redis"
        ) from error


def _params_of(address: RedisAddress) -> dict[str, Any]:
    login = {"db": address.db, "username": address.username, "password": address.password}
    if address.path is not None:
        return {**login, "unix_socket_path": address.path}
    tls = {"ssl": True, "ssl_ca_certs": address.ca_file} if address.tls else {}
    return {**login, **tls, "host": address.host, "port": address.port}
