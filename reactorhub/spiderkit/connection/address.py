"""Parses Redis URLs."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_UNIX = ("unix", "redis+unix")
_TCP = ("redis", "rediss")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """The address and the login of a Redis server. Neither ``str`` nor ``repr`` shows the password.

    ``path`` is a unix socket. ``ca_file`` is a PEM file of the authorities to trust instead of the system's.
    """

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    tls: bool = False
    ca_file: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"


def address_of(url: str) -> RedisAddress:
    """Read ``redis://[user:password@]host:port/db``, ``rediss://…`` (TLS) or ``unix:///path?db=0``.

    ``redis+unix://`` is another name for ``unix://``. User, password and path are percent-decoded; the
    database is in the path or in ``?db=``. ``rediss://…?ssl_ca_certs=/path.pem`` trusts the authorities in
    that file alone. Error messages do not quote the URL: it may contain a password.

    :raises ValueError: if the URL is none of these.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("the Redis URL is not a valid URL: its host or its port cannot be read") from error
    if parts.scheme in _UNIX:
        return _unix_address(parts)
    if parts.scheme not in _TCP:
        raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
    if not parts.hostname:
        raise ValueError("the Redis URL has no host; write it like redis://127.0.0.1:6379/0")
    username, password = _login(parts)
    return RedisAddress(
        host=parts.hostname,
        port=6379 if port is None else port,
        tls=parts.scheme == "rediss",
        ca_file=_authorities(parts),
        db=_database(parts.path.strip("/") or _option(parts, "db") or "0"),
        username=username,
        password=password,
    )


def _unix_address(parts: SplitResult) -> RedisAddress:
    if parts.hostname or not parts.path.strip("/"):
        raise ValueError("a unix:// Redis URL needs an absolute path, as in unix:///run/redis.sock?db=0")
    username, password = _login(parts)
    return RedisAddress(
        path=unquote(parts.path),
        db=_database(_option(parts, "db") or "0"),
        username=username,
        password=password,
    )


def _login(parts: SplitResult) -> tuple[str | None, str | None]:
    username = unquote(parts.username) if parts.username else _option(parts, "username")
    password = unquote(parts.password) if parts.password else _option(parts, "password")
    return username, password


def _authorities(parts: SplitResult) -> str | None:
    if _option(parts, "ssl_cert_reqs") not in (None, "required"):
        raise ValueError(
            "the server's certificate is always verified: remove ssl_cert_reqs from the Redis URL, "
            "and name your own authority with ?ssl_ca_certs=/path/to/ca.pem"
        )
    return _option(parts, "ssl_ca_certs")


def _option(parts: SplitResult, name: str) -> str | None:
    return parse_qs(parts.query).get(name, [None])[-1]


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("the database in a Redis URL must be a number such as 0")
    return int(text)
