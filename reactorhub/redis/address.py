"""Reads the Redis URL of the schedule file."""

from __future__ import annotations

from reactorhub.errors import StartError
from reactorhub.spiderkit.connection.address import RedisAddress, address_of


def redis_url_parts(url: str) -> RedisAddress:
    """Read a Redis URL as :func:`reactorhub.spiderkit.connection.address.address_of` does.

    :raises StartError: if the URL cannot be read.
    """
    try:
        return address_of(url)
    except ValueError as error:
        raise StartError(str(error)) from error
