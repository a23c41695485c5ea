"""What Scrapy wants of the process as a whole, done once instead of by each crawl."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from scrapy.exceptions import NotConfigured
from scrapy.settings import BaseSettings, Settings
from scrapy.utils.log import configure_logging
from scrapy.utils.misc import load_object

LEFT_OUT = (
    "scrapy.extensions.logcount.LogCount",  # a handler a crawl on the root logger, each sees all records
    "scrapy.extensions.memusage.MemoryUsage",
    "scrapy.extensions.remote_control.RemoteControl",  # its library alone is 10 MB
    "scrapy.extensions.telnet.TelnetConsole",
)
"""Scrapy's own extensions that have no place in a process of many crawls; they are not even imported."""


@cache
def prepare_logging() -> None:
    """Route warnings and Twisted's errors into the standard library's logging, and quieten chatty libraries.

    Each call of Scrapy's own function adds another observer to Twisted's log, so it is made only once. The
    root handler stays out: every new crawl would replace it for the whole process.
    """
    configure_logging({"LOG_INSTALL_ROOT_HANDLER": False})


@cache
def import_components() -> None:
    """Import all that Scrapy's default settings name, so that the first crawl does not stall the reactor."""
    for path in set(_paths(Settings())) - set(LEFT_OUT):
        with suppress(ImportError, NotConfigured):  # some parts need a library that not everyone has
            load_object(path)


def _paths(settings: BaseSettings) -> Iterator[str]:
    for value in settings.values():
        yield from (path for path in _texts(value) if path.startswith("scrapy."))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseSettings):
        for key, part in value.items():
            yield from (text for text in (key, part) if isinstance(text, str))
