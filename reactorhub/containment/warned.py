"""Shows a warning once to each run, as a process of its own would, and not once to all of them.

Python keeps in each module which warnings of it have been shown. So a run would not see what an earlier run
has been warned of. Here Python shows every warning, and each owner keeps which it has seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from reactorhub.containment.contexts import here

Undo = Callable[[], None]
Key = tuple[str, type, str, int]

MAX_SEEN = 10_000
"""How many warnings an owner keeps. Above that it forgets them all, and may be warned again."""


def show_once_to_each() -> Undo:
    """Change ``warnings``. Return a function that undoes this."""
    module: Any = warnings
    with ExitStack() as stack:
        for name, value in (
            ("defaultaction", "always"),
            ("_showwarnmsg", _once(module._showwarnmsg, module._showwarning_orig)),
        ):
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)
        before = list(module.filters)
        module.filters[:] = [(every_time(item[0]), *item[1:]) for item in before]
        module._filters_mutated()
        stack.callback(_put_back, before)
        return stack.pop_all().close


def every_time(action: str) -> str:
    """Return the action that lets every warning through where Python would keep which have been shown."""
    return "always" if action == "default" else action


def _put_back(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _once(show: Callable[[Any], None], recording: object) -> Callable[[Any], None]:
    def show_message(message: Any) -> None:
        """Show it, unless its owner has seen it. While warnings are recorded, all are."""
        if warnings.showwarning is recording or not _is_seen(message):
            show(message)

    return show_message


def _is_seen(message: Any) -> bool:
    with suppress(BaseException):  # the class of the warning is the project's
        key = (str(message.message), message.category, message.filename, message.lineno)
        owner = here()
        seen = _seen_by_nobody if owner is None else owner.warned
        if key in seen:
            return True
        if len(seen) >= MAX_SEEN:
            seen.clear()
        seen.add(key)
    return False


_seen_by_nobody: set[Key] = set()
