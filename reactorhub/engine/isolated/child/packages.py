"""Finds a project's own packages in its folder, though the environment has others of the same name.

It needs the standard library only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any


class OwnPackages:
    """A finder for ``sys.meta_path``."""

    def __init__(self, folder: str, names: Iterable[str]) -> None:
        self._folder = folder
        self._names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        """Find a package of the project's own; leave all else to the finders that follow."""
        if path is not None or name not in self._names:
            return None
        spec = PathFinder.find_spec(name, [self._folder])
        if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
            # Without an ``__init__.py`` Python would join all folders of this name on ``sys.path``.
            spec.submodule_search_locations = [str(Path(self._folder, name))]
        return spec


def find_project(folder: str, names: Iterable[str]) -> None:
    """Find the modules in ``folder`` after those of the environment, but those with these names before."""
    sys.path[:] = [*(each for each in sys.path if each != folder), folder]
    sys.meta_path.insert(sys.meta_path.index(PathFinder), OwnPackages(folder, names))
