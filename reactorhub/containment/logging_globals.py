"""What ``logging`` and ``warnings`` keep in their modules, for each owner: level names, classes, filters.

Nothing here costs anything until a project or a run uses it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack
from typing import Any
from weakref import WeakValueDictionary

from reactorhub.containment.contexts import Owner, here
from reactorhub.containment.warned import every_time

Undo = Callable[[], None]
_TABLES = ("_levelToName", "_nameToLevel")
_MISSING = object()


class Globals:
    """What one owner has set in the modules ``logging`` and ``warnings``."""

    def __init__(self) -> None:
        self.levels: dict[str, dict[Any, Any]] = {name: {} for name in _TABLES}
        self.logger_class: type[logging.Logger] | None = None
        self.loggers: dict[str, logging.Logger] = {}
        """Loggers of a class of the owner's own. Other owners never see them."""
        self.handlers: WeakValueDictionary[str, logging.Handler] = WeakValueDictionary()
        self.categories: dict[type[Warning], type] = {}


def install_logging_globals() -> Undo:
    """Change ``logging`` and ``warnings`` themselves. Return a function that undoes this."""
    with ExitStack() as stack:
        tables = ExitStack()
        stack.callback(tables.close)
        stack.callback(_replace(logging, "addLevelName", _adding(logging.addLevelName, tables)))
        stack.callback(_replace(logging, "setLoggerClass", _setting_class(logging.setLoggerClass)))
        stack.callback(_replace(logging.Manager, "getLogger", _getting(logging.Manager.getLogger)))
        stack.callback(_replace(logging, "_handlers", _HandlerNames(logging._handlers)))  # type: ignore[attr-defined]
        stack.callback(_replace(warnings, "_add_filter", _filtering(warnings._add_filter)))  # type: ignore[attr-defined]
        stack.callback(_replace(warnings, "resetwarnings", _resetting(warnings.resetwarnings)))
        return stack.pop_all().close


def is_owned(item: tuple[Any, ...]) -> bool:
    """Return whether an item of ``warnings.filters`` holds for one owner only."""
    return type(item[2]) is _OwnedCategory


def forget_filters(owner: Owner) -> None:
    """Take an owner's warning filters out of the list: its end has come."""
    if owner.globals is not None and owner.globals.categories:
        own = set(map(id, owner.globals.categories.values()))
        warnings.filters[:] = [item for item in warnings.filters if id(item[2]) not in own]  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined]


def _replace(owner: Any, name: str, value: Any) -> Undo:
    before = getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)


def _of(owner: Owner) -> Globals:
    if owner.globals is None:
        owner.globals = Globals()
    return owner.globals  # type: ignore[no-any-return]


def _set_by_owners() -> Iterator[Globals]:
    """Return what the executing code's owner has set, and then its parents."""
    owner = here()
    while owner is not None:
        if owner.globals is not None:
            yield owner.globals
        owner = owner.parent


def _adding(add_level_name: Callable[..., None], tables: ExitStack) -> Callable[..., None]:
    def add(level: int, name: str) -> None:
        for table in _TABLES:
            plain = getattr(logging, table)
            if here() is not None and not isinstance(plain, _LevelTable):
                tables.callback(_replace(logging, table, _LevelTable(table, plain)))
        add_level_name(level, name)

    return add


class _LevelTable(dict[Any, Any]):
    """The names or numbers of levels: what an owner has added is seen by that owner alone."""

    def __init__(self, table: str, values: dict[Any, Any]) -> None:
        super().__init__(values)
        self._table = table

    def __setitem__(self, key: Any, value: Any) -> None:
        owner = here()
        if owner is None:
            super().__setitem__(key, value)
        else:
            _of(owner).levels[self._table][key] = value

    def __getitem__(self, key: Any) -> Any:
        value = self.get(key, _MISSING)
        return super().__getitem__(key) if value is _MISSING else value

    def __contains__(self, key: object) -> bool:
        return any(key in owned.levels[self._table] for owned in _set_by_owners()) or super().__contains__(
            key
        )

    def get(self, key: Any, default: Any = None) -> Any:
        for owned in _set_by_owners():
            if key in owned.levels[self._table]:
                return owned.levels[self._table][key]
        return super().get(key, default)

    def copy(self) -> dict[Any, Any]:
        values = dict(self)
        for owned in reversed(tuple(_set_by_owners())):
            values.update(owned.levels[self._table])
        return values


def _setting_class(set_logger_class: Callable[[Any], None]) -> Callable[[Any], None]:
    def set_class(kind: Any) -> None:
        owner = here()
        if owner is None:
            return set_logger_class(kind)
        if not issubclass(kind, logging.Logger):
            raise TypeError(f"logger not derived from logging.Logger: {kind.__name__}")
        _of(owner).logger_class = kind
        return None

    return set_class


def _getting(get_logger: Callable[..., logging.Logger]) -> Callable[..., logging.Logger]:
    def get(manager: logging.Manager, name: str) -> logging.Logger:
        for owned in _set_by_owners():
            if name in owned.loggers:
                return owned.loggers[name]
            if owned.logger_class is not None and not _exists(manager, name):
                owned.loggers[name] = made = owned.logger_class(name)
                made.manager = manager
                made.parent = _parent(manager, name)
                return made
        return get_logger(manager, name)

    return get


def _exists(manager: logging.Manager, name: str) -> bool:
    return isinstance(manager.loggerDict.get(name), logging.Logger)


def _parent(manager: logging.Manager, name: str) -> logging.Logger:
    while name := name.rpartition(".")[0]:
        for owned in _set_by_owners():
            if name in owned.loggers:
                return owned.loggers[name]
        if _exists(manager, name):
            return manager.getLogger(name)
    return logging.root


class _HandlerNames(MutableMapping[str, Any]):
    """The handlers that have names, which ``dictConfig`` clears: each owner has its own."""

    def __init__(self, before: MutableMapping[str, Any]) -> None:
        self._before = before

    @property
    def _own(self) -> MutableMapping[str, Any]:
        owner = here()
        return self._before if owner is None else _of(owner).handlers

    def __getitem__(self, name: str) -> Any:
        return self._own[name]

    def __setitem__(self, name: str, handler: Any) -> None:
        self._own[name] = handler

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._own))

    def __len__(self) -> int:
        return len(self._own)


class _OwnedCategory(type):
    """The class of warning categories that match for one owner only.

    C code walks through the filters, and asks ``issubclass(category, this)`` of each: so this can answer.
    """

    owner: Owner
    real: type[Warning]

    def __subclasscheck__(cls, category: type) -> bool:
        owner = here()
        while owner is not None and owner is not cls.owner:
            owner = owner.parent
        return owner is not None and issubclass(category, cls.real)


def _filtering(add_filter: Callable[..., None]) -> Callable[..., None]:
    def add(action: str, message: Any, category: Any, module: Any, lineno: int, *, append: bool) -> None:
        owner = here()
        if owner is not None:
            action, category = every_time(action), _owned(owner, category)
        add_filter(action, message, category, module, lineno, append=append)

    return add


def _owned(owner: Owner, category: type[Warning]) -> type:
    categories = _of(owner).categories
    if category not in categories:
        kind = _OwnedCategory(category.__name__, (), {})
        kind.owner, kind.real = owner, category
        categories[category] = kind
    return categories[category]


def _resetting(reset: Callable[[], None]) -> Callable[[], None]:
    def resetwarnings() -> None:
        if here() is None:
            reset()
        else:
            warnings.simplefilter("default")

    return resetwarnings
