"""The modules of a project, each imported for itself."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


class Modules:
    """Imports spider modules, each for itself. ``broken`` lists those that raised."""

    def __init__(self) -> None:
        self.broken: list[dict[str, str]] = []

    def load(self, names: list[str], deep: bool) -> Iterator[tuple[str, ModuleType]]:
        """Import these modules and, if ``deep``, all that are in them."""
        for name in names:
            module = self._imported(name)
            if module is not None:
                yield name, module
                inner = iter_modules(getattr(module, "__path__", ()), f"{name}.") if deep else ()
                yield from self.load([each.name for each in inner], deep)

    def _imported(self, name: str) -> ModuleType | None:
        try:
            return import_module(name)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a spider module is its own affair
            self.broken.append(broken(name, error))
            return None


def broken(name: str, error: BaseException) -> dict[str, str]:
    """Return what there is to say of a module whose import raised ``error``."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return {"module": name, "error": last_line(error), "traceback": "".join(lines)}


def last_line(error: BaseException) -> str:
    """Return the last line that Python prints of an exception."""
    return traceback.format_exception_only(type(error), error)[-1].strip()
