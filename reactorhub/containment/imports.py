"""Refuses what a project must not do to the whole process: when it is imported, and in its runs.

An import that does it becomes a broken module with a sentence that says what to change. A run gets an
exception or, for signals, a warning in its log.
"""

from __future__ import annotations

import _thread
import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from types import ModuleType
from typing import Any

from reactorhub.containment.contexts import Owner, ProjectContext, is_child, worker
from reactorhub.containment.loop import refuse_import

Call = Callable[..., Any]
Undo = Callable[[], None]

_SIGNALS = ("signal", "setitimer", "alarm", "set_wakeup_fd", "pthread_sigmask")
_log = logging.getLogger(__name__)


def _always(*args: Any) -> bool:
    return True


def _reaches_the_hub(pid: Any = None, number: Any = None, *_: Any) -> bool:
    """Whether a signal to this process or group would reach the hub."""
    return bool(number) and pid in (0, -1, os.getpid(), os.getpgrp(), -os.getpgrp())


_FOLDER = "would change the folder of all runs in this process; use absolute paths"
_END = "would end the hub and all runs in this process; raise CloseSpider to end a crawl"
_REFUSED: tuple[tuple[ModuleType, tuple[str, ...], str, Callable[..., bool]], ...] = (
    (os, ("chdir", "fchdir"), _FOLDER, _always),
    (os, ("_exit", "abort", "execv", "execve"), _END, _always),
    (signal, ("raise_signal", "pthread_kill"), _END, _always),
    (_thread, ("interrupt_main",), _END, _always),
    (os, ("kill", "killpg"), _END, _reaches_the_hub),
)
"""What a run or an import is refused: in which module, under which names, why, and with which arguments."""


def guard_process() -> Undo:
    """Replace these functions in their modules. Return a function that undoes this."""
    with ExitStack() as stack:
        for module, names, why, refused in _REFUSED:
            for name in names:
                guarded = _refusing(f"{module.__name__}.{name}", getattr(module, name), why, refused)
                stack.callback(_replace(module, name, guarded))
        for owner, name in ((asyncio, "run"), (asyncio.BaseEventLoop, "run_until_complete")):
            stack.callback(
                _replace(owner, name, _not_at_import(f"{name}() of asyncio", getattr(owner, name)))
            )
        for name in _SIGNALS:
            call = getattr(signal, name)
            stack.callback(_replace(signal, name, _ignoring(f"signal.{name}", call)))
        return stack.pop_all().close


def _owner() -> Owner | None:
    """Return whose code it is that would change this process. A forked child is a process of its own."""
    return None if is_child() else worker()


def importing(owner: Owner | None) -> bool:
    """Return whether the code belongs to a project that is being imported."""
    return isinstance(owner, ProjectContext) and owner.importing


def _replace(module: Any, name: str, call: Call) -> Undo:
    before = getattr(module, name)
    setattr(module, name, call)
    return lambda: setattr(module, name, before)


def _refusing(name: str, call: Call, why: str, refused: Callable[..., bool]) -> Call:
    def refusing(*args: Any, **kwargs: Any) -> Any:
        owner = _owner()
        if owner is None or not refused(*args):
            return call(*args, **kwargs)
        if importing(owner):
            refuse_import(name)
        raise PermissionError(f"{name} {why}, or isolate: process")

    return refusing


def _not_at_import(name: str, call: Call) -> Call:
    """Refuse an import what asyncio refuses, too, as the hub's loop runs: but say what to do."""

    @wraps(call)
    def awaiting(*args: Any, **kwargs: Any) -> Any:
        if importing(_owner()) and asyncio._get_running_loop() is not None:
            refuse_import(name)
        return call(*args, **kwargs)

    return awaiting


def _ignoring(name: str, call: Call) -> Call:
    def ignoring(*args: Any, **kwargs: Any) -> Any:
        owner = _owner()
        if importing(owner):
            refuse_import(name)
        if owner is not None:
            _log.warning("%s does nothing here: signals belong to the hub", name)
            return signal.getsignal(args[0]) if name == "signal.signal" and args else 0
        return call(*args, **kwargs)

    return ignoring
