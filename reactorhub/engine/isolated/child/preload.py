"""Imports, before the first fork, all of Scrapy that a usual crawl needs; no reactor and no project."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

import scrapy
from scrapy.exceptions import NotConfigured
from scrapy.settings import BaseSettings, Settings
from scrapy.utils.misc import load_object

from .private.haste import prepare

_MODULES = (
    "asyncio",
    "concurrent.futures.thread",
    "encodings.charmap",
    "encodings.idna",
    "scrapy.core.engine",
    "scrapy.core.scraper",
    "scrapy.crawler",
    "scrapy.extensions.feedexport",
    "scrapy.linkextractors",
    "scrapy.loader",
    "scrapy.utils.project",
    "scrapy.utils.reactor",
    "twisted.internet.asyncioreactor",
    "twisted.internet.base",
    "twisted.internet.endpoints",
    "twisted.internet.unix",
    "twisted.web.client",
)
_LEFT_OUT = (
    "scrapy.extensions.remote_control",  # a library of 10 MB
    "scrapy.extensions.telnet",  # the same
)
_FTP = "scrapy.core.downloader.handlers.ftp"
_LAZY_FTP = (2, 19)  # the first version of Scrapy in which importing that does not import the reactor


def preload() -> dict[str, str]:
    """Import it all; return the versions.

    :raises RuntimeError: if that has made a reactor or a thread, which no fork could carry on with.
    """
    for name in _MODULES:
        with suppress(ImportError):  # not every version has each of them
            import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = []
        for path in sorted(set(_paths(Settings()))):
            with suppress(ImportError, NotConfigured, AttributeError, NameError):  # some need another library
                parts.append(load_object(path))
        prepare(parts)
    if "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("importing Scrapy has installed a reactor; no process can be forked from this one")
    if threading.active_count() != 1:
        raise RuntimeError("importing Scrapy has started a thread; no process can be forked from this one")
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, "scrapy": scrapy.__version__}


def _paths(settings: BaseSettings) -> Iterator[str]:
    for value in settings.values():
        for text in _texts(value):
            if text.startswith("scrapy.") and not text.startswith(_left_out()):
                yield text


def _left_out() -> tuple[str, ...]:
    version = tuple(int(part) for part in scrapy.__version__.split(".")[:2])
    return _LEFT_OUT if version >= _LAZY_FTP else (*_LEFT_OUT, _FTP)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseSettings):
        for key, part in value.items():
            yield from (text for text in (key, part) if isinstance(text, str))
