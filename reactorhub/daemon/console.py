"""What the hub says on the terminal and in its own log: the welcome, addresses, refusals, records."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from typing import Any, TextIO

from twisted.internet.error import CannotListenError
from twisted.logger import Logger, LogLevel, LogPublisher

from reactorhub import __version__
from reactorhub.model.spider import Catalog

SCRAPYD_PORT = 6800  # reactorhub took over scrapyd's default, so that people find the port they know

_LEVELS = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
)


def welcome(http: str, file: str, catalog: Catalog) -> str:
    """Return the text for a person who has just started the hub: what to try next."""
    spiders = [spider.name for spider in catalog.spiders] or ["SPIDER"]
    if http.startswith("unix://"):
        http = f"--unix-socket {http.removeprefix('unix://')} http://localhost"
    return f"""
reactorhub {__version__} is ready. Try, in another terminal:

  curl {http}/api/status
  curl {http}/api/runs -d spider={spiders[0]}
  curl {http}/api/runs

Edit {file} and save it: the hub applies the changes on its own. Stop the hub with Ctrl-C.
"""


def say(console: TextIO | None, text: str) -> None:
    """Write to the terminal, if there is one."""
    if console is not None and not console.closed:
        console.write(f"{text}\n")
        console.flush()


def address(port: Any) -> str:
    """Return the address of a listening port, as ``http://`` or ``unix://``."""
    host = port.getHost()
    if not hasattr(host, "port"):
        return f"unix://{os.fsdecode(host.name)}"
    name = f"[{host.host}]" if ":" in host.host else host.host
    return f"http://{name}:{host.port}"


def cannot_listen(description: str, error: object, choose: str) -> str:
    """Return why the hub cannot listen on an endpoint, and what to do.

    :param choose: the option or key that chooses another endpoint.
    """
    if not isinstance(error, CannotListenError):
        return f"cannot listen on {description}: {error}"
    reason = getattr(error.socketError, "strerror", None) or error.socketError
    advice = f"stop the program that uses it, or choose another endpoint with {choose}"
    if getattr(error.socketError, "errno", None) != errno.EADDRINUSE:
        advice = f"choose another endpoint with {choose}"
    if error.port == SCRAPYD_PORT:
        advice += f" ({SCRAPYD_PORT} is the default port of scrapyd too)"
    return f"cannot listen on {description}: {reason}; {advice}"


def to_hub_log(record: logging.LogRecord) -> None:
    """Write a record of the standard library's logging that belongs to no run into the hub's own log."""
    if record.name == "twisted":
        return  # the record came from Twisted's log, and is there already
    for threshold, level in _LEVELS:
        if record.levelno >= threshold:
            text = logging.Formatter().format(record)
            Logger(namespace=record.name).emit(level, "{text}", text=text)
            return


def hub_output(publisher: LogPublisher) -> Callable[[str, str], None]:
    """Return what writes printed lines that belong to no run into the hub's own log.

    The lines go to the observers that the publisher has now. So no observer that is added later, for instance
    one that hands Twisted's log to ``logging``, can bring a line back.
    """
    observers = LogPublisher(*publisher._observers)

    def write(stream: str, line: str) -> None:
        Logger(namespace=stream, observer=observers).info("{line}", line=line)

    return write
