"""What a person in front of the hub sees: the welcome, the addresses, and the hub's own log."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, TextIO

from twisted.logger import Logger, LogLevel, LogPublisher

from reactorhub import __version__
from reactorhub.model.spider import Catalog

_LEVELS = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
)


def welcome(http: str, file: str, catalog: Catalog) -> str:
    """Return what a person who has just started the hub may want to do next."""
    spiders = [spider.name for spider in catalog.spiders] or ["SPIDER"]
    if http.startswith("unix://"):
        http = f"--unix-socket {http.removeprefix('unix://')} http://localhost"
    return f"""
reactorhub {__version__} is ready. Try, in another terminal:

  curl {http}/api/status
  curl {http}/api/runs -d spider={spiders[0]}
  curl {http}/api/runs

Edit {file} and save it: the hub takes the changes up by itself. Stop it with Ctrl-C.
"""


def say(console: TextIO | None, text: str) -> None:
    """Write to a person, if there is one."""
    if console is not None and not console.closed:
        console.write(f"{text}\n")
        console.flush()


def address(port: Any) -> str:
    """Return where a listening port is reached: an ``http://`` or a ``unix://`` address."""
    host = port.getHost()
    if not hasattr(host, "port"):
        return f"unix://{os.fsdecode(host.name)}"
    name = f"[{host.host}]" if ":" in host.host else host.host
    return f"http://{name}:{host.port}"


def to_hub_log(record: logging.LogRecord) -> None:
    """Take a record of the standard library that belongs to no run into the hub's own log."""
    if record.name == "twisted":
        return  # it came from Twisted's log, where it stands already
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
