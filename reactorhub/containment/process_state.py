"""What the whole process shares and C code can change past every guard: remembered, compared, put right."""

from __future__ import annotations

import asyncio
import builtins
import gc
import json
import locale
import os
import resource
import socket
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from reactorhub.containment.logging_globals import is_owned

_PLAIN = (str, int, float, bool, tuple, list, type(None))
_STATUS = Path("/proc/self/status")
_OF_ASYNCIO: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (asyncio, ("Task", "Future", "run", "all_tasks", "get_event_loop")),
    (asyncio.tasks, ("Task", "_CTask", "_current_tasks")),
    (asyncio.futures, ("Future", "_CFuture")),
    (asyncio.events, ("get_event_loop", "_get_event_loop")),
)
_PATCHED_BY_PROJECTS: tuple[tuple[Any, str], ...] = ((json.JSONEncoder, "default"), (builtins, "print"))
"""What projects replace to suit their items and their words, and all others use, too."""

_OF_LOOPS = ("run_forever", "run_until_complete", "_run_once", "_check_running")
_TRACERS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "the trace function": (sys.gettrace, sys.settrace),
    "the profile function": (sys.getprofile, sys.setprofile),
}
_LIMITS = ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE")


@dataclass(frozen=True, slots=True)
class Shared:
    """Something that all runs share: how it is called in a message, how it is read and put back."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


class ProcessState:
    """Remembers what the process shares, as it is when this object is made."""

    def __init__(self, loop: Any) -> None:
        self._kept = [(shared, shared.read()) for shared in _shared(loop)]

    def keep_tracers(self) -> None:
        """Take the trace and the profile function that are set now for the hub's own.

        ``twistd --profile`` sets one just before the reactor runs.
        """
        self._kept = [
            (shared, shared.read() if shared.name in _TRACERS else value) for shared, value in self._kept
        ]

    def put_right(self) -> list[str]:
        """Put back what has changed. Return the name of each, with what it had become."""
        return [text for shared, value in self._kept if (text := _put_right(shared, value))]


def described(value: object) -> str:
    """Return what a value is, for a message: of a function also the place where it is defined."""
    try:
        code = getattr(value, "__code__", None) or getattr(getattr(value, "__func__", None), "__code__", None)
        if code is not None:
            return f"{code.co_qualname} of {code.co_filename}:{code.co_firstlineno}"
        return repr(value)[:200] if isinstance(value, _PLAIN) else type(value).__qualname__
    except BaseException:  # noqa: BLE001 - the class is the project's
        return type(value).__name__


def _put_right(shared: Shared, value: Any) -> str | None:
    now = None
    with suppress(Exception):  # the folder may be gone
        now = shared.read()
    if _same(now, value):
        return None
    try:
        shared.write(value)
    except Exception as error:  # noqa: BLE001 - said once a second until it works
        return f"{shared.name} ({described(now)}), which cannot be put right: {error}"
    return f"{shared.name} ({described(now)})"


def _same(now: Any, value: Any) -> bool:
    try:
        return now is value or (isinstance(now, _PLAIN) and type(now) is type(value) and bool(now == value))
    except BaseException:  # noqa: BLE001 - a list may hold objects of the project's
        return False


def _shared(loop: Any) -> Iterator[Shared]:
    yield Shared("the working folder", os.getcwd, os.chdir)
    yield Shared("the umask", _umask, os.umask)
    yield Shared("the locale", _locale, lambda value: locale.setlocale(locale.LC_ALL, value))
    yield Shared("warnings.filters", _filters, _set_filters)
    for module, name in (
        (warnings, "showwarning"),
        (sys, "excepthook"),
        (sys, "unraisablehook"),
        (threading, "excepthook"),
        (loop, "_exception_handler"),
        (loop, "_task_factory"),
    ):
        if hasattr(module, name):
            yield _attribute(module, name)
    yield Shared("the asyncio policy", asyncio.get_event_loop_policy, asyncio.set_event_loop_policy)
    yield Shared("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout)
    yield Shared("the recursion limit", _at_most(sys.getrecursionlimit), sys.setrecursionlimit)
    yield Shared("the switch interval", sys.getswitchinterval, sys.setswitchinterval)
    yield Shared("the garbage collector", gc.isenabled, lambda on: gc.enable() if on else gc.disable())
    for name, (read, write) in _TRACERS.items():
        yield Shared(name, read, write)
    yield Shared("the tracing of memory", tracemalloc.is_tracing, _trace_memory)
    for name in _LIMITS:
        yield _limit(name)
    yield from _asyncio_s_own(loop)


def _asyncio_s_own(loop: Any) -> Iterator[Shared]:
    """What nest_asyncio and its like replace. Tasks of another class than the hub's would never end."""
    for module, names in _OF_ASYNCIO:
        for name in names:
            if hasattr(module, name):
                yield _attribute(module, name)
    for owner, name in _PATCHED_BY_PROJECTS:
        yield _defined(owner, name)
    for name in _OF_LOOPS:
        yield _defined(type(loop), name)
    yield _defined(type(asyncio.get_event_loop_policy()), "get_event_loop")


def _defined(owner: Any, name: str) -> Shared:
    """What a class itself defines under a name, which may be nothing."""

    def write(value: Any) -> None:
        if value is None:
            delattr(owner, name)
        else:
            setattr(owner, name, value)

    return Shared(f"{owner.__name__}.{name}", lambda: vars(owner).get(name), write)


def _trace_memory(wanted: bool) -> None:
    if wanted:
        tracemalloc.start()
    else:
        tracemalloc.stop()


def _at_most(read: Callable[[], int]) -> Callable[[], int]:
    """Return a reading that stays the same where the value rises: more does no harm."""
    first = read()
    return lambda: min(first, read())


def _attribute(subject: Any, name: str) -> Shared:
    place = f"{subject.__name__}.{name}" if isinstance(subject, ModuleType) else f"the loop's {name}"
    return Shared(
        place,
        lambda: getattr(subject, name),
        lambda value: setattr(subject, name, value),
    )


def _limit(name: str) -> Shared:
    number: int = getattr(resource, name)

    def put(soft: int) -> None:
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))

    return Shared(f"the limit {name}", lambda: resource.getrlimit(number)[0], put)


def _umask() -> int | None:
    """Return the umask where it can be read without being changed, as other threads make files meanwhile."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), None)


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _filters() -> list[Any]:
    return [item for item in warnings.filters if not is_owned(item)]


def _set_filters(filters: list[Any]) -> None:
    """Fill the list in place and tell C code, which keeps it, that it has changed."""
    owned = [item for item in warnings.filters if is_owned(item)]
    warnings.filters[:] = owned + filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]
