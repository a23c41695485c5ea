"""Which classes of a module are spiders that can run, and what is wrong with the others.

A class may hold anything and raise anywhere. What is odd about one class harms no other.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .project import broken

_mro_of = type.__dict__["__mro__"].__get__
MAX_NAME = 200
"""Characters of a spider's name: no order can name more."""

_MAX_SHOWN = 60  # characters of a value in a sentence


def sort_out(module: ModuleType, base: type) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return the spiders of a module by name, and a report on each spider class that cannot run.

    As in Scrapy, a class without a name is not a spider. Of two classes with one name the last one wins.

    :param base: the class that all spiders derive from.
    """
    found: dict[str, Any] = {}
    odd: list[dict[str, str]] = []
    for cls in _own_classes(module, base):
        try:
            name = getattr(cls, "name", None)  # old versions of Scrapy give no default
            reason = what_is_wrong(cls, base) if name else None
            if name and reason is None:
                found[str.__str__(name)] = cls
        except BaseException as error:  # noqa: BLE001 - a metaclass of the project's own may raise
            reason = f"it raises {type(error).__name__} when its attributes are read"
        if reason is not None:
            odd.append(report_on(cls, module, reason))
    return found, odd


def what_is_wrong(cls: Any, base: type) -> str | None:
    """Return why no run of this spider class can begin; None if it can.

    :raises BaseException: whatever the class raises when it is looked at.
    """
    custom = cls.custom_settings
    if (reason := _wrong_name(cls.name)) is not None:
        return reason
    plain = getattr(cls.update_settings, "__func__", None) is base.update_settings.__func__  # type: ignore[attr-defined]
    if plain and custom and not (isinstance(custom, str) or hasattr(custom, "items")):
        return f"its custom_settings are {_shown(custom)}, which is not a dict"
    if not callable(cls.from_crawler):
        return f"its from_crawler is {_shown(cls.from_crawler)}, which cannot be called"
    return None


def _wrong_name(name: object) -> str | None:
    if isinstance(name, property):
        return "its name is a property; only an attribute of the class can name a spider"
    if not isinstance(name, str):
        return f"its name is {_shown(name)}, which is not a text; write it in quotes"
    if not name.isprintable():
        return f"its name {_shown(name)} has characters that cannot be printed"
    if len(name) > MAX_NAME:
        return f"its name has {len(name)} characters; an order can name {MAX_NAME} at most"
    return None


def report_on(cls: type, module: ModuleType, reason: str) -> dict[str, str]:
    """Return the report on a spider class that cannot run."""
    name = type.__dict__["__qualname__"].__get__(cls)
    where = getattr(module, "__file__", None) or "?"
    error = f"spider class {name} in {where}{_line(cls)}: {reason}"
    return {"module": module.__name__, "error": error, "traceback": "", "spider_class": name}


def classes_of(loader: Any) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return the spiders that a loader has by name, and a report on each that it cannot give.

    :param loader: of Scrapy's interface; it may be the project's own.
    """
    found: dict[str, Any] = {}
    odd: list[dict[str, str]] = []
    for name in loader.list():
        try:
            if not isinstance(name, str):
                raise TypeError(f"the spider loader has a name that is not a text: {_shown(name)}")
            found[str.__str__(name)] = loader.load(name)
        except BaseException as error:  # noqa: BLE001 - the loader may be the project's own
            odd.append(broken(type(loader).__module__, error))
    return found, odd


def arguments(cls: Any) -> list[str]:
    """Return the parameters of a spider's ``__init__`` that orders can give; none if unknown."""
    try:
        parameters = tuple(inspect.signature(cls.__init__).parameters.values())
    except BaseException:  # noqa: BLE001 - it may be written in C, or have a false signature
        return []
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = (each.name for each in parameters if each.kind in plain and each.name not in ("self", "name"))
    return [name for name in names if not name.startswith("_")]


def module_of(cls: Any) -> str | None:
    """Return the name of the module that defines a spider; None if its class does not say."""
    try:
        name = type.__getattribute__(cls, "__module__")
    except BaseException:  # noqa: BLE001 - a property of the project's own
        return None
    return name if type(name) is str else None


def docstring(cls: Any) -> str | None:
    """Return the docstring of a spider; None if it has none, or something else in its place."""
    try:
        return inspect.cleandoc(cls.__doc__) if isinstance(cls.__doc__, str) and cls.__doc__ else None
    except BaseException:  # noqa: BLE001 - a metaclass of the project's own may raise
        return None


def _own_classes(module: ModuleType, base: type) -> Iterator[Any]:
    """The classes below ``base`` that a module defines. Looks past what the objects say of themselves."""
    for value in tuple(vars(module).values()):
        if issubclass(type(value), type) and base in _mro_of(value) and value is not base:
            try:
                own = value.__module__ == module.__name__
            except BaseException:  # noqa: BLE001 - a metaclass of the project's own may raise
                own = True
            if own:
                yield value


def _line(cls: type) -> str:
    try:
        return f":{inspect.getsourcelines(cls)[1]}"
    except BaseException:  # noqa: BLE001 - it was made without source text
        return ""


def _shown(value: object) -> str:
    try:
        text = ascii(value)
    except BaseException:  # noqa: BLE001 - the project's own
        return f"an object of class {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
