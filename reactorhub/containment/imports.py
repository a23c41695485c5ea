"""Refuses what a project must not do to the whole process: when it is imported, and in its runs.

An import that does it becomes a broken module with a sentence that says what to change. A run gets an
exception or, for signals, a warning in its log.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from reactorhub.containment.contexts import Owner, ProjectContext, here
from reactorhub.containment.loop import refuse_import

Call = Callable[..., Any]
Undo = Callable[[], None]

_SIGNALS = ("signal", "setitimer", "alarm", "set_wakeup_fd", "pthread_sigmask")
_log = logging.getLogger(__name__)


def guard_process() -> Undo:
    """Replace these functions in their modules. Return a function that undoes this."""
    with ExitStack() as stack:
        stack.callback(_replace(os, "chdir", _refusing("os.chdir", os.chdir)))
        stack.callback(_replace(os, "fchdir", _refusing("os.fchdir", os.fchdir)))
        for name in _SIGNALS:
            call = getattr(signal, name)
            stack.callback(_replace(signal, name, _ignoring(f"signal.{name}", call)))
        return stack.pop_all().close


def importing(owner: Owner | None) -> bool:
    """Return whether the code belongs to a project that is being imported."""
    return isinstance(owner, ProjectContext) and owner.importing


def _replace(module: Any, name: str, call: Call) -> Undo:
    before = getattr(module, name)
    setattr(module, name, call)
    return lambda: setattr(module, name, before)


def _refusing(name: str, call: Call) -> Call:
    def refusing(*args: Any, **kwargs: Any) -> Any:
        owner = here()
        if importing(owner):
            refuse_import(name)
        if owner is not None:
            raise PermissionError(
                f"{name} would change the folder of all runs in this process; "
                "use absolute paths, or isolate: process"
            )
        return call(*args, **kwargs)

    return refusing


def _ignoring(name: str, call: Call) -> Call:
    def ignoring(*args: Any, **kwargs: Any) -> Any:
        owner = here()
        if importing(owner):
            refuse_import(name)
        if owner is not None:
            _log.warning("%s does nothing here: signals belong to the hub", name)
            return signal.getsignal(args[0]) if name == "signal.signal" and args else 0
        return call(*args, **kwargs)

    return ignoring
