"""The errors of a call to Redis."""

from __future__ import annotations


class RedisUnavailable(Exception):
    """Redis gave no answer, now or in time. The message says why. A command may have been executed."""


class LoginRefused(RedisUnavailable):
    """Redis refused the user or the password."""


class RedisRefused(Exception):
    """Redis answered with an error. The message is that error."""


_TEMPORARY = ("LOADING", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "TRYAGAIN")
_NO_LOGIN = ("NOAUTH", "WRONGPASS")


def code_of(error: Exception) -> str:
    """Return the first word of an error reply, such as ``WRONGTYPE``."""
    return str(error).partition(" ")[0]


def raised(error: Exception) -> Exception:
    """Return the exception for an error reply. A server that loads its data, for example, is unavailable."""
    if code_of(error) in _NO_LOGIN:
        return LoginRefused(str(error))
    if isinstance(error, RedisUnavailable) or code_of(error) in _TEMPORARY:
        return RedisUnavailable(str(error))
    return RedisRefused(str(error))
