"""Lets each run and each project set environment variables for itself.

``os.environ`` answers with what the owner of the executing code has set: first the run, then its project's
import, then the process. Code in C asks the process, so what is set is set there, too, until the run ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from reactorhub.containment.contexts import Owner, here

Undo = Callable[[], None]


def keep_variables_apart() -> Undo:
    """Change ``os.environ``. Return a function that undoes this."""
    environ: Any = os.environ
    before = environ.__class__
    environ.__class__ = _OwnedEnviron

    def undo() -> None:
        environ.__class__ = before

    return undo


def forget_variables(owner: Owner) -> None:
    """Set for code in C what was in force before an owner: its end has come."""
    for key in tuple(owner.variables):
        with suppress(OSError, ValueError):
            _tell_c(key, _found(owner.parent, key))
    owner.variables.clear()


class _OwnedEnviron(os._Environ):  # type: ignore[type-arg]
    """The environment of the process, below what each owner has set. All else follows from these methods."""

    def __getitem__(self, key: Any) -> Any:
        name = self.encodekey(key)
        value = _found(here(), name)
        if value is None:
            raise KeyError(key) from None
        return self.decodevalue(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        owner = here()
        if owner is None:
            super().__setitem__(key, value)
        else:
            name, text = self.encodekey(key), self.encodevalue(value)
            os.putenv(name, text)
            owner.variables[name] = text

    def __delitem__(self, key: Any) -> None:
        owner = here()
        if owner is None:
            super().__delitem__(key)
        elif _found(owner, name := self.encodekey(key)) is None:
            raise KeyError(key) from None
        else:
            os.unsetenv(name)
            owner.variables[name] = None

    def __iter__(self) -> Iterator[Any]:
        environ: Any = self
        names = dict.fromkeys(environ._data)
        names.update(dict.fromkeys(name for owner in _chain(here()) for name in owner.variables))
        owner = here()
        return iter([self.decodekey(name) for name in names if _found(owner, name) is not None])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _chain(owner: Owner | None) -> Iterator[Owner]:
    while owner is not None:
        yield owner
        owner = owner.parent


def _found(owner: Owner | None, name: bytes) -> bytes | None:
    for each in _chain(owner):
        if name in each.variables:
            return each.variables[name]
    environ: Any = os.environ
    found: bytes | None = environ._data.get(name)
    return found


def _tell_c(name: bytes, value: bytes | None) -> None:
    if value is None:
        os.unsetenv(name)
    else:
        os.putenv(name, value)
