"""Calls what a run has registered with ``atexit`` at the end of the run, which is its program's end.

The hub itself ends by a signal, and then Python calls nothing that was registered.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from reactorhub.containment.contexts import ProjectContext, RunContext, here, is_child

Call = Callable[..., Any]
Undo = Callable[[], None]


def keep_exits_apart() -> Undo:
    """Change ``atexit``. Return a function that undoes this."""
    with ExitStack() as stack:
        for name, call in (("register", _registering(atexit.register)), ("unregister", _unregistering())):
            stack.callback(setattr, atexit, name, getattr(atexit, name))
            setattr(atexit, name, call)
        return stack.pop_all().close


def call_at_exit(run: RunContext) -> None:
    """Call what the run's code has registered, the newest first. What it raises stands in the run's log."""
    while run.at_exit:
        call, args, kwargs = run.at_exit.pop()
        run.enter(_call, call, args, kwargs)


def _call(call: Call, args: Any, kwargs: Any) -> None:
    try:
        call(*args, **kwargs)
    except BaseException:  # noqa: BLE001 - code of the project; Python does the same at its own end
        traceback.print_exc()


def _registering(register: Call) -> Call:
    def registered(call: Call, /, *args: Any, **kwargs: Any) -> Call:
        owner = here()
        if isinstance(owner, RunContext) and not is_child() and _is_own(owner, sys._getframe(1)):
            owner.at_exit.append((call, args, kwargs))
            return call
        register(call, *args, **kwargs)
        return call

    return registered


def _unregistering() -> Call:
    unregister = atexit.unregister

    def unregistered(call: Call, /) -> None:
        owner = here()
        if isinstance(owner, RunContext):
            owner.at_exit[:] = [each for each in owner.at_exit if each[0] != call]
        unregister(call)

    return unregistered


def _is_own(run: RunContext, frame: Any) -> bool:
    """Whether the project's own code registers: what a library registers ends what it keeps for all runs."""
    folder = run.parent.folder if isinstance(run.parent, ProjectContext) else None
    file = frame.f_code.co_filename
    return folder is not None and file.startswith(f"{folder}{os.sep}") and "site-packages" not in file
