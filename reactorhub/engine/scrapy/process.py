"""What Scrapy needs in the process as a whole, done once instead of by each crawl."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from scrapy.exceptions import NotConfigured
from scrapy.settings import BaseSettings, Settings
from scrapy.utils.log import DEFAULT_LOGGING, configure_logging
from scrapy.utils.misc import load_object

from reactorhub.engine.scrapy.private import LEFT_OUT


@cache
def prepare_logging() -> None:
    """Route warnings and Twisted's errors into the standard library's logging, and mute verbose libraries.

    Scrapy's function is called only once, because each call adds another observer to Twisted's log. It
    installs no root handler, because every new crawl would replace that handler for the whole process.
    """
    configure_logging({"LOG_INSTALL_ROOT_HANDLER": False})


def set_up_logging() -> None:
    """Set the levels that ``scrapy crawl`` sets once a project is imported, for the owner of the code."""
    logging.config.dictConfig(DEFAULT_LOGGING)
    logging.root.setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)


@cache
def import_components() -> None:
    """Import the components that Scrapy's default settings name, so that the first crawl need not."""
    for path in set(_paths(Settings())) - set(LEFT_OUT):
        with suppress(ImportError, NotConfigured):  # some components need an optional library
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
