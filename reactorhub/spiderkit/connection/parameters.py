"""Which server is meant by Scrapy settings, or by parameters as redis-py names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scrapy.settings import BaseSettings

from reactorhub.spiderkit.connection.address import RedisAddress, address_of

SERVER_PARAMS = frozenset(
    {
        *("url", "host", "port", "db", "username", "password", "unix_socket_path"),
        *("ssl", "ssl_ca_certs"),
    }
)
_SETTINGS = {"url": "REDIS_URL", "host": "REDIS_HOST", "port": "REDIS_PORT", "db": "REDIS_DB"}


def server_params(settings: BaseSettings) -> dict[str, Any] | None:
    """Return what the settings say about the server, by redis-py's names; None if they name none.

    REDIS_PARAMS is read first. REDIS_URL, REDIS_HOST, REDIS_PORT and REDIS_DB win over it.
    """
    params: dict[str, Any] = dict(settings.getdict("REDIS_PARAMS"))
    params |= {name: settings[key] for name, key in _SETTINGS.items() if settings.get(key)}
    return params if params.keys() & SERVER_PARAMS else None


def address_from(params: Mapping[str, Any]) -> RedisAddress:
    """Return the address to which redis-py would connect, given these parameters. A URL wins over a host.

    :raises ValueError: if they contain a bad URL, port or database.
    """
    if url := params.get("url"):
        found = address_of(str(url))
        return replace(
            found,
            username=found.username or params.get("username"),
            password=found.password or params.get("password"),
        )
    return RedisAddress(
        host=str(params.get("host") or "127.0.0.1"),
        port=_whole("port", params.get("port"), 6379),
        path=params.get("unix_socket_path"),
        tls=str(params.get("ssl", "")).lower() in ("1", "true"),
        ca_file=params.get("ssl_ca_certs"),
        db=_whole("db", params.get("db"), 0),
        username=params.get("username"),
        password=params.get("password"),
    )


def leads_to(lent: RedisAddress, named: RedisAddress) -> bool:
    """Whether both are the same database of the same server, and the login is not another one."""
    login = (named.username, named.password)
    return _place(lent) == _place(named) and login in ((None, None), (lent.username, lent.password))


def _place(address: RedisAddress) -> tuple[Any, ...]:
    if address.path is not None:
        return (address.path, address.db)
    host = "127.0.0.1" if address.host == "localhost" else address.host
    return (host, address.port, address.tls, address.db)


def _whole(name: str, value: Any, default: int) -> int:
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the {name} of Redis must be a whole number, not {value!r}") from error
