"""Replaces a function in place, so that code which has imported it by name calls the new one too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from itertools import count
from types import FunctionType
from typing import Any

Undo = Callable[[], None]
_number = count(1)


def replace_code(function: Callable[..., Any], instead: Callable[..., Any]) -> Undo:
    """Let ``function`` call ``instead``, with the original as its first argument.

    Return a function that undoes this.

    :param function: a plain function without a closure.
    """
    assert isinstance(function, FunctionType)
    code, defaults, names = function.__code__, function.__defaults__, function.__kwdefaults__
    original = FunctionType(code, function.__globals__, function.__name__, defaults)
    original.__kwdefaults__ = names
    key = f"_reactorhub_{function.__name__}_{next(_number)}"
    signature = inspect.signature(function)
    function.__globals__[key] = partial(instead, original)
    function.__defaults__ = function.__kwdefaults__ = None
    function.__code__ = _calling.__code__.replace(co_names=(key,), co_name=function.__name__)
    function.__signature__ = signature  # type: ignore[attr-defined]

    def undo() -> None:
        function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, names
        vars(function).pop("__signature__", None)
        del function.__globals__[key]

    return undo


def _calling(*args: Any, **kwargs: Any) -> Any:
    return _name(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821 - its name is replaced
