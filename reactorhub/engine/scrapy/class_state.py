"""Gives each run what its classes keep: lists, dicts, sets and deques in attributes of the class.

A process of its own would begin with these as the class body made them. Here each run begins with a copy, two
levels deep, made when the run first looks. Code finds the copy as ``self.seen``, ``cls.seen`` and
``MySpider.seen``, since a descriptor takes the place of the attribute in the class that defines it. Each run
also has a subclass of its spider, so that ``type(self).count += 1`` stays with the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from typing import Any, TypeVar
from weakref import WeakSet

from scrapy import Spider
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler

from reactorhub.containment.contexts import RUN
from reactorhub.engine.isolated.child.told import ATTRIBUTE, has_own_job
from reactorhub.engine.scrapy.private.classes import subclass_unnoticed

S = TypeVar("S", bound=Spider)
_CONTAINERS = (list, dict, set, deque)
_divided: WeakSet[type] = WeakSet()


class PerRun:
    """An attribute of a class that is another object for each run, and the original for all other code."""

    __slots__ = ("original",)

    def __init__(self, original: Any) -> None:
        self.original = original

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        run = RUN.get()  # also of a run that is over: what it has left behind must not reach the original
        if run is None:
            return self.original
        copies = run.copies
        if self not in copies:
            copies[self] = _copied(self.original)
        return copies[self]


def own_class(spidercls: type[S], run_id: str) -> type[S]:
    """Return a subclass of a spider for one run. Neither its metaclass nor its bases hear of it.

    Its attribute ``_job`` is the id of the run, unless the project uses this name for something of its own.
    """
    divide(spidercls)
    try:
        return subclass_unnoticed(spidercls, {} if has_own_job(spidercls) else {ATTRIBUTE: run_id})
    except TypeError:  # a class with __slots__ can have no such subclass
        return spidercls


def divide_components(crawler: Crawler, engine: ExecutionEngine) -> None:
    """Let runs share nothing that the classes of the project's pipelines, middlewares and extensions keep."""
    managers = (
        getattr(engine.downloader, "middleware", None),
        engine.scraper.spidermw,
        engine.scraper.itemproc,
        crawler.extensions,
    )
    for manager in managers:
        for component in getattr(manager, "middlewares", ()):
            if not _is_scrapy_s(type(component)):
                divide(type(component))


def divide(cls: type) -> None:
    """Let runs share no list, dict, set or deque of this class or its bases. Scrapy's own are left alone."""
    if cls in _divided:
        return
    known: dict[int, PerRun] = {}  # one object that has two names is one copy
    for each in cls.__mro__:
        if not _is_scrapy_s(each):
            _divide_attributes(each, known)
    _divided.add(cls)


def _is_scrapy_s(cls: type) -> bool:
    return str(cls.__module__).startswith(("scrapy.", "builtins"))


def _divide_attributes(cls: type, known: dict[int, PerRun]) -> None:
    for name, value in tuple(vars(cls).items()):
        if isinstance(value, PerRun):
            known[id(value.original)] = value
        elif isinstance(value, _CONTAINERS) and not (name.startswith("__") and name.endswith("__")):
            with suppress(TypeError):  # a class written in C takes no new attributes
                type.__setattr__(cls, name, known.setdefault(id(value), PerRun(value)))


def _copied(value: Any, levels: int = 2) -> Any:
    """Return a copy of a container and, below it, of the containers in it."""
    if not levels or not isinstance(value, _CONTAINERS):
        return value
    try:
        new: Any = copy(value)
        for place, inner in _inside(value):
            if isinstance(inner, _CONTAINERS):
                new[place] = _copied(inner, levels - 1)
    except Exception:  # noqa: BLE001 - a class of the project's own may refuse to be copied
        return value
    return new


def _inside(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the values in a container with their keys or places; a set can hold nothing that is copied."""
    if isinstance(value, dict):
        return value.items()
    return () if isinstance(value, set) else enumerate(value)
