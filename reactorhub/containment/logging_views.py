"""Gives each run and each project a view of its own of Python's ``logging``.

Levels, handlers, filters, ``disabled``, ``propagate`` and ``logging.disable()`` are looked up for the owner
of the executing code: first what the run has set, then what its project set when it was imported, then what
is set for the process. So whatever code does to ``logging`` affects its own records only. Each record goes to
the log of its run, or to the hub's, before any handler sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any, SupportsIndex, cast
from weakref import WeakSet

from twisted.logger import globalLogBeginner, globalLogPublisher

from reactorhub.containment.contexts import EMITTING, Owner, here
from reactorhub.containment.root_handler import RootHandler

Deliver = Callable[[logging.LogRecord], None]
Undo = Callable[[], None]

_LISTS = ("handlers", "filters")


class View:
    """What one owner has set in ``logging``."""

    def __init__(self) -> None:
        self.values: dict[tuple[object, str], Any] = {}
        """The attributes of loggers, by logger and name, and ``disable`` of the manager."""
        self.enabled: dict[logging.Logger, dict[int, bool]] = {}
        """Which levels are enabled: logging keeps the same in each logger."""
        self.chains: dict[logging.Logger, tuple[list[logging.Handler], ...]] = {}
        """The lists of handlers that a record of a logger passes. Lists that change in place stay right."""
        self.handlers: list[Any] = []
        """Weak references to the handlers that the owner has made."""
        self.factory: Callable[..., logging.LogRecord] | None = None
        _VIEWS.add(self)


_VIEWS: WeakSet[View] = WeakSet()


def view_of(owner: Owner) -> View:
    """Return an owner's view, which is made when it is first asked for."""
    view = owner.logging
    if view is None:
        view = owner.logging = View()
    return cast(View, view)


def _caching_view(owner: Owner) -> View:
    """Return the view that caches what holds for an owner: most runs set nothing and use their project's."""
    view = owner.logging
    if view is None and owner.parent is not None:
        view = owner.parent.logging
    return view_of(owner) if view is None else cast(View, view)


def changes(owner: Owner) -> list[str]:
    """Return what an owner has changed beyond its own loggers, for a warning."""
    view = view_of(owner)
    said = []
    for (subject, name), value in view.values.items():
        if subject is logging.root and name == "handlers":
            if [type(handler) for handler in value] != [RootHandler]:
                said.append("handlers of the root logger")
        elif subject is logging.root:
            said.append(f"{name} of the root logger")
        elif subject is logging.root.manager:
            said.append(f"logging.disable({value})")
        elif name == "disabled" and value:
            said.append(f"disabled logger {cast(logging.Logger, subject).name!r}")
    if view.factory is not None:
        said.append("the factory of log records")
    return said


def enable_loggers(owner: Owner) -> None:
    """Forget which loggers an owner has disabled. ``dictConfig`` disables all by default, Scrapy's too."""
    view = view_of(owner)
    for key in [key for key in view.values if key[1] == "disabled"]:
        del view.values[key]
    _forget_enabled()


def close_handlers(owner: Owner) -> None:
    """Close the handlers that an owner has made: its end has come."""
    if owner.logging is not None:
        for reference in tuple(view_of(owner).handlers):
            handler = reference()
            if handler is not None:
                with suppress(BaseException):  # the handler may be of any class
                    owner.enter(handler.close)


def install_logging_views(deliver: Deliver) -> Undo:
    """Change ``logging`` itself. Return a function that undoes this.

    :param deliver: takes each record that is enabled, for a run's log or the hub's.
    """
    manager: Any = logging.Manager
    logger: Any = logging.Logger
    with ExitStack() as stack:
        for name in ("level", "disabled", "propagate", *_LISTS):
            stack.callback(_replace(logging.Logger, name, _Attribute(name)))
        stack.callback(_replace(logging.Manager, "disable", _Disable()))
        stack.callback(_replace(manager, "_clear_cache", _clearing(manager._clear_cache)))
        stack.callback(_replace(logger, "isEnabledFor", _enabling(logger.isEnabledFor)))
        stack.callback(_replace(logging.Logger, "callHandlers", _calling(deliver)))
        stack.callback(_replace(logging.Logger, "filter", _filtering(logging.Logger.filter)))
        stack.callback(_replace(logging.Logger, "makeRecord", _making(logging.Logger.makeRecord)))
        stack.callback(_replace(logging, "setLogRecordFactory", _setting(logging.setLogRecordFactory)))
        stack.callback(_replace(logging, "captureWarnings", _for_hub(logging.captureWarnings)))
        stack.callback(_replace_handler_list())
        for owner, name in ((globalLogPublisher, "addObserver"), (globalLogBeginner, "beginLoggingTo")):
            stack.callback(_replace(owner, name, _for_hub(getattr(owner, name))))
        level = logging.root.__dict__["level"]
        logging.root.setLevel(logging.NOTSET)
        stack.callback(logging.root.__dict__.__setitem__, "level", level)
        return stack.pop_all().close


def _replace(owner: Any, name: str, value: Any) -> Undo:
    missing = object()
    before = owner.__dict__.get(name, missing)
    setattr(owner, name, value)
    return lambda: delattr(owner, name) if before is missing else setattr(owner, name, before)


class _Attribute:
    """An attribute of loggers that each owner may set for itself."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_list = name in _LISTS

    def __get__(self, logger: logging.Logger | None, kind: object = None) -> Any:
        if logger is None:
            return self
        owner = here()
        if owner is None:
            return logger.__dict__[self._name]
        found, holder = self.found(owner, logger)
        if self._is_list and holder is not owner:
            copied = list(found)
            if logger is logging.root and self._name == "handlers":
                copied = _with_root_handler(owner, [RootHandler()] if holder is None else copied)
            found = view_of(owner).values[logger, self._name] = copied
            _forget_enabled()
        return found

    def __set__(self, logger: logging.Logger, value: Any) -> None:
        owner = here()
        if owner is None or self._name not in logger.__dict__:  # a new logger: this is its __init__
            logger.__dict__[self._name] = value
        else:
            view_of(owner).values[logger, self._name] = value
        _forget_enabled()

    def found(self, owner: Owner | None, logger: logging.Logger) -> tuple[Any, Owner | None]:
        """Return the value for an owner, and who has set it; None is the process."""
        key = (logger, self._name)
        holder = owner
        while holder is not None:
            if holder.logging is not None and key in holder.logging.values:
                return holder.logging.values[key], holder
            holder = holder.parent
        if owner is not None and logger is logging.root and self._name == "handlers":
            return [], None  # the hub's own are none of its business
        return logger.__dict__[self._name], None


def _with_root_handler(owner: Owner, handlers: list[logging.Handler]) -> list[logging.Handler]:
    """Return the root logger's handlers with a handler of the owner's own for its log."""
    own = [RootHandler() if type(handler) is RootHandler else handler for handler in handlers]
    owner.root_handler = next((handler for handler in own if type(handler) is RootHandler), None)
    return own


class _Disable:
    """``Manager.disable``, which ``logging.disable()`` sets."""

    def __get__(self, manager: logging.Manager | None, kind: object = None) -> Any:
        if manager is None:
            return self
        holder = here()
        while holder is not None:
            if holder.logging is not None and (manager, "disable") in holder.logging.values:
                return holder.logging.values[manager, "disable"]
            holder = holder.parent
        return manager.__dict__.get("_disable", 0)

    def __set__(self, manager: logging.Manager, value: Any) -> None:
        owner = here()
        level = logging._checkLevel(value)  # type: ignore[attr-defined]
        if owner is None:
            manager.__dict__["_disable"] = level
        else:
            view_of(owner).values[manager, "disable"] = level
        _forget_enabled()


def _forget_enabled() -> None:
    for view in tuple(_VIEWS):
        view.enabled.clear()
        view.chains.clear()


def _clearing(clear: Callable[[Any], None]) -> Callable[[Any], None]:
    def clear_cache(manager: logging.Manager) -> None:
        clear(manager)
        _forget_enabled()

    return clear_cache


def _enabling(enabled_for: Callable[[Any, int], bool]) -> Callable[[Any, int], bool]:
    def is_enabled_for(logger: logging.Logger, level: int) -> bool:
        owner = here()
        if owner is None:
            return enabled_for(logger, level)
        view = owner.logging or _caching_view(owner)
        try:
            return cast(bool, view.enabled[logger][level])
        except KeyError:
            enabled = not logger.disabled and logger.manager.disable < level >= logger.getEffectiveLevel()
            view.enabled.setdefault(logger, {})[level] = enabled
            return enabled

    return is_enabled_for


def _calling(deliver: Deliver) -> Callable[[Any, logging.LogRecord], None]:
    handlers: _Attribute = logging.Logger.__dict__["handlers"]
    propagate: _Attribute = logging.Logger.__dict__["propagate"]

    def chain(owner: Owner | None, logger: logging.Logger | None) -> Iterator[list[logging.Handler]]:
        while logger is not None:
            yield handlers.found(owner, logger)[0]
            logger = logger.parent if propagate.found(owner, logger)[0] else None

    def known_chain(owner: Owner | None, logger: logging.Logger) -> tuple[list[logging.Handler], ...]:
        if owner is None:
            return tuple(chain(owner, logger))
        view = owner.logging or _caching_view(owner)
        known = view.chains.get(logger)
        if known is None:
            known = view.chains[logger] = tuple(chain(owner, logger))
        return cast("tuple[list[logging.Handler], ...]", known)

    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        deliver(record)
        owner = here()
        found = [
            each for known in known_chain(owner, logger) for each in known if type(each) is not RootHandler
        ]
        if found and not getattr(EMITTING, "now", False):
            emit(owner, found, record)
        # Else a handler logs while it handles a record: the log has that, and no handler may see it.

    def emit(owner: Owner | None, found: list[logging.Handler], record: logging.LogRecord) -> None:
        EMITTING.now = owner is not None
        try:
            for handler in found:
                if record.levelno >= handler.level:
                    _handle(handler, record, owner)
        finally:
            EMITTING.now = False

    return call_handlers


def _filtering(filtered: Callable[[Any, logging.LogRecord], Any]) -> Callable[[Any, logging.LogRecord], Any]:
    filters: _Attribute = logging.Logger.__dict__["filters"]

    def filter_record(logger: logging.Logger, record: logging.LogRecord) -> Any:
        """Ask the filters, if there are any. To read the attribute gives the owner a list of its own."""
        return not filters.found(here(), logger)[0] or filtered(logger, record)

    return filter_record


def _handle(handler: logging.Handler, record: logging.LogRecord, owner: Owner | None) -> None:
    if owner is None:
        handler.handle(record)
    else:
        with suppress(BaseException):  # the project's handler may raise anything
            handler.handle(record)


def _making(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    def make_record(logger: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(logger, *args, **kwargs)
        holder = here()
        while holder is not None:
            if holder.logging is not None and holder.logging.factory is not None:
                return _made(holder.logging, record)
            holder = holder.parent
        return record

    return make_record


def _made(view: View, plain: logging.LogRecord) -> logging.LogRecord:
    """Let an owner's factory make the record anew. A factory that raises is used no more."""
    factory = view.factory
    assert factory is not None
    values: Any = (plain.args,) if isinstance(plain.args, Mapping) else plain.args  # as a log call hands them
    args = (plain.name, plain.levelno, plain.pathname, plain.lineno, plain.msg, values, plain.exc_info)
    try:
        record = factory(*args, plain.funcName, plain.stack_info)
        for name, value in plain.__dict__.items():
            record.__dict__.setdefault(name, value)
    except BaseException:  # noqa: BLE001 - else each log call of the run raises
        view.factory = None
        return plain
    return record


def _setting(set_factory: Callable[[Any], None]) -> Callable[[Any], None]:
    def set_log_record_factory(factory: Any) -> None:
        owner = here()
        if owner is None:
            set_factory(factory)
        else:
            view_of(owner).factory = None if factory is logging.LogRecord else factory

    return set_log_record_factory


def _for_hub(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let only the hub itself call this: it changes what all runs share."""

    def called(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs) if here() is None else None

    return called


def _replace_handler_list() -> Undo:
    before = logging._handlerList  # type: ignore[attr-defined]
    owned = _HandlerList(before)
    defaults = logging.shutdown.__defaults__
    logging._handlerList = owned  # type: ignore[attr-defined]
    logging.shutdown.__defaults__ = (owned,)

    def undo() -> None:
        logging._handlerList = before  # type: ignore[attr-defined]
        logging.shutdown.__defaults__ = defaults

    return undo


class _HandlerList(list[Any]):
    """The handlers that ``logging.shutdown()`` closes: it shows each owner its own.

    ``dictConfig`` closes all of them and empties the list.
    """

    def _own(self) -> list[Any] | None:
        owner = here()
        return None if owner is None else view_of(owner).handlers

    def append(self, reference: Any, /) -> None:
        own = self._own()
        if own is None:
            super().append(reference)
        else:
            own.append(reference)

    def remove(self, reference: Any, /) -> None:
        for view in tuple(_VIEWS):
            if reference in view.handlers:
                view.handlers.remove(reference)
                return
        super().remove(reference)

    def __getitem__(self, index: Any, /) -> Any:
        own = self._own()
        return super().__getitem__(index) if own is None else own[index]

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        own = self._own()
        if own is None:
            super().__delitem__(index)
        else:
            del own[index]

    def __iter__(self) -> Iterator[Any]:
        own = self._own()
        return super().__iter__() if own is None else iter(tuple(own))

    def __len__(self) -> int:
        own = self._own()
        return super().__len__() if own is None else len(own)

    def __bool__(self) -> bool:
        """Always: ``logging`` asks this to see whether the interpreter is ending."""
        return True
