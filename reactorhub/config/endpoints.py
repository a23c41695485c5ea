"""Server endpoints, in Twisted's notation, that only this machine can reach."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address

from reactorhub.errors import StartError

_ENDPOINTS = {"tcp": ("port", "interface", "backlog"), "unix": ("address", "mode", "backlog", "lockfile")}
_PART = re.compile(r"((?:\\.|[^\\:])*):")


def is_loopback(name: str) -> bool:
    """Whether a host name or address is a loopback one."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def loopback_endpoint(description: str) -> str:
    """Return a server endpoint string that is bound to loopback, the default interface.

    The default mode of a Unix socket gives access to its owner only.

    :raises StartError: if other machines could connect, or the hub does not know this kind of endpoint.
    """
    kind, _, rest = description.partition(":")
    arguments = _arguments(rest, _ENDPOINTS.get(kind, ()))
    if not arguments:
        raise StartError(f"{description!r} is not an endpoint for the hub; write tcp:PORT or unix:PATH")
    if kind == "unix":
        return description if "mode" in arguments else f"{description}:mode=600"
    if "interface" not in arguments:
        return f"{description}:interface=127.0.0.1"
    if not is_loopback(arguments["interface"]):
        raise StartError(
            f"{description!r} would let other machines connect, but this version has no access tokens yet; "
            "bind to 127.0.0.1 and use an SSH tunnel or a proxy"
        )
    return description


def _arguments(text: str, names: Sequence[str]) -> dict[str, str]:
    """Return the arguments of an endpoint by name, as Twisted reads them; none if they are ambiguous."""
    found: dict[str, str] = {}
    for place, part in enumerate(_PART.findall(f"{text}:")):
        name, given, value = re.sub(r"\\(.)", r"\1", part).partition("=")
        if not given:
            name, value = (names[place] if place < len(names) else ""), name
        if name not in names or name in found:
            return {}
        found[name] = value
    return found if found.get(names[0]) else {}
