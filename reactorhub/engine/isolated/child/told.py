"""Tells a spider which run it works for, as scrapyd does, and which Redis its hub uses."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from scrapy import Spider
from scrapy.settings import BaseSettings

ATTRIBUTE = "_job"
SERVICE = "reactorhub_service"
SETTINGS = ("JOB", "SCRAPY_JOB")
_OF_REDIS = ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PARAMS")


def tell_settings(settings: BaseSettings, run_id: str) -> None:
    """Set the settings that scrapyd's jobs know, unless the project sets them itself."""
    for name in SETTINGS:
        if not settings.get(name):
            settings.set(name, run_id, priority="project")


def tell_redis(settings: BaseSettings, spidercls: type[Spider], url: str | None) -> None:
    """Set REDIS_URL below everything else, unless the project or the spider says which Redis it uses."""
    own = spidercls.custom_settings or {}
    if url and not any(settings.get(name) or own.get(name) for name in _OF_REDIS):
        settings.set("REDIS_URL", url, priority="default")


def job_argument(spidercls: type[Spider], run_id: str) -> Mapping[str, str]:
    """Return the argument ``_job`` if this spider takes it, else no argument."""
    return {ATTRIBUTE: run_id} if takes_job(spidercls) else {}


def is_service(spidercls: type[Spider]) -> bool:
    """Whether the spiders of a class wait for work: such a class says so by its attribute :data:`SERVICE`."""
    return getattr(spidercls, SERVICE, False) is True


def has_own_job(spidercls: type[Spider]) -> bool:
    """Whether a class uses the name ``_job`` for something of its own, such as a method or a property."""
    own = next((vars(cls)[ATTRIBUTE] for cls in spidercls.__mro__ if ATTRIBUTE in vars(cls)), None)
    return own is not None and not isinstance(own, str)


def takes_job(spidercls: type[Spider]) -> bool:
    """Whether a spider can be made with an argument ``_job``.

    ``__init__`` has to name it or take any keyword. What takes any keyword hands it on to the next class,
    so that this one must take it as well. The same holds for ``from_crawler``.
    """
    return _chain_takes(spidercls, "from_crawler") and _chain_takes(spidercls, "__init__")


def _chain_takes(spidercls: type[Spider], name: str) -> bool:
    for cls in spidercls.__mro__:
        method = vars(cls).get(name)
        if method is None:
            continue
        if str(cls.__module__).startswith("scrapy."):
            return True  # Scrapy's own spiders take any keyword, and make attributes of them
        named, any_keyword = _parameters(getattr(method, "__func__", method))
        if named or not any_keyword:
            return named
    return True


def _parameters(function: Any) -> tuple[bool, bool]:
    """Return whether a function names ``_job`` among its parameters, and whether it takes any keyword."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False, False
    any_keyword = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return ATTRIBUTE in parameters, any_keyword
