"""The modules of several projects in one process: what a name means depends on who imports it.

Python has one table of modules, ``sys.modules``. Names that several projects have are told apart: each
project keeps its own modules of such a name, and they stand in the table while it imports one of them. All
other names are found as under ``scrapy crawl``: in the environment first, then in the folder of the project
that imports.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

from reactorhub.containment.contexts import ProjectContext, project_here
from reactorhub.containment.module_places import Place, is_below, is_in, names_in, spec_in
from reactorhub.containment.replacing import Undo, replace_code

_original_import: Callable[..., Any] = builtins.__import__
_UNKNOWN = object()
Owner = ProjectContext | None


class ProjectModules:
    """Tells the modules of the projects apart that have been added. One for the process."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._undo: Undo | None = None
        self._clear()

    def _clear(self) -> None:
        self._places: dict[ProjectContext, Place] = {}
        self._shared: frozenset[str] = frozenset()
        self._kept: dict[Owner, dict[str, ModuleType]] = {}
        self._current: dict[str, Any] = {}
        self._outside: frozenset[str] = frozenset()
        self._base = tuple(sys.path)
        self._hub = frozenset(name.partition(".")[0] for name in sys.modules)

    # -- which projects there are

    def add(self, project: ProjectContext, place: Place) -> None:
        """Find this project's modules from now on. Its folder goes to the end of ``sys.path``."""
        folder = str(place.folder)
        sys.path[:] = [*(each for each in sys.path if each != folder), folder]
        importlib.invalidate_caches()
        self._places[project] = place
        self._share()

    def settle(self, project: ProjectContext, before: Sequence[str]) -> None:
        """Keep to a project what its import has put on ``sys.path``, which had ``before`` on it."""
        place = self._places[project]
        search = tuple(self._searched(project, place))
        sys.path[:] = before
        outside = frozenset[str]().union(
            *(names_in(Path(each)) for each in search if each != str(place.folder))
        )
        self._places[project] = replace(place, search=search, names=place.names | outside)
        if outside:
            self._outside |= outside
            self._share()

    def _searched(self, project: ProjectContext, place: Place) -> list[str]:
        """Return where its own modules are: in its folder, and in what its import puts on the path."""
        others = {*self._base, *self.folders()}
        added = [each for each in sys.path if each == str(place.folder) or each not in others]
        return added if project.importing else [*place.search, *(e for e in added if e not in place.search)]

    def drop(self, project: ProjectContext) -> None:
        """Forget a project and its modules, so that it is imported anew if it comes back."""
        place = self._places.pop(project, None)
        if place is None:
            return
        for name in self._in_table(project, place):  # all at once: a namespace package asks for its parent
            del sys.modules[name]
        self._kept.pop(project, None)
        self._current = {top: each for top, each in self._current.items() if each is not project}
        self._share()

    def _in_table(self, project: ProjectContext, place: Place) -> list[str]:
        own = {top for top in place.names - self._hub if self._current.get(top, project) is project}
        return [
            name
            for name, module in tuple(sys.modules.items())
            if name.partition(".")[0] in own and is_in(module, place)
        ]

    def folders(self) -> list[str]:
        """Return the folders of all projects."""
        return [str(place.folder) for place in self._places.values()]

    def _share(self) -> None:
        """Find out which names have more than one meaning. Once shared, a name stays so.

        What the hub itself has imported from the environment keeps its one meaning.
        """
        counts = Counter(name for place in self._places.values() for name in place.names)
        several = {name for name, count in counts.items() if count > 1 or name in self._outside}
        several = {name for name in several if not self._in_environment(name)}
        declared = {name for place in self._places.values() for name in place.declared & place.names}
        new = (several | set(filter(self._in_environment, declared))) - self._shared
        new = {name for name in new if name not in sys.modules or self._owner_of(sys.modules[name])}
        new -= self._hub  # these are the hub's, even if a project's folder has the hub in it
        for top in new & sys.modules.keys():
            self._current[top] = self._owner_of(sys.modules[top])
        self._shared |= new
        if self._shared and self._undo is None:
            self._undo = self._replace_imports()

    def _in_environment(self, name: str) -> bool:
        spec = self._environment_spec(name)
        return name in sys.stdlib_module_names or (spec is not None and spec.origin is not None)

    def _environment_spec(self, name: str) -> ModuleSpec | None:
        folders = self.folders()
        return PathFinder.find_spec(name, [each for each in self._base if each not in folders])

    def _owner_of(self, module: ModuleType) -> Owner:
        return next((project for project, place in self._places.items() if is_in(module, place)), None)

    # -- the finder on sys.meta_path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, a top-level one for the project whose code imports it; None if it has none."""
        project = None if path is not None else project_here()
        place = None if project is None else self._places.get(project)
        if project is None or place is None:
            return PathFinder.find_spec(fullname, path, target)
        own = spec_in(fullname, self._searched(project, place))
        if own is not None and fullname in place.declared:
            return own
        found = self._environment_spec(fullname)
        return own if found is None or (found.origin is None and own is not None) else found

    invalidate_caches = staticmethod(PathFinder.invalidate_caches)
    find_distributions = staticmethod(PathFinder.find_distributions)

    # -- names with several meanings

    def _replace_imports(self) -> Undo:
        with ExitStack() as stack:
            stack.callback(setattr, builtins, "__import__", builtins.__import__)
            builtins.__import__ = self._import
            stack.callback(replace_code(importlib.import_module, self._import_module))
            return stack.pop_all().close

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        package = (globals or {}).get("__package__") or "" if level else name
        top = package.partition(".")[0]
        if top not in self._shared:
            return _original_import(name, globals, locals, fromlist, level)
        owner = project_here() or self._owner_by_file(globals)
        if fromlist is None or (fromlist and isinstance(fromlist, tuple)):
            # a statement: it takes what it is given, and does not look into sys.modules
            full = name if not level else _absolute(name, package, level)
            module = self._ready(owner, top, full, fromlist)
            if module is not None:
                return module
        with self._lock:
            self._put_in(top, owner)
            return _original_import(name, globals, locals, fromlist, level)

    def _import_module(
        self, original: Callable[..., ModuleType], name: str, package: str | None = None
    ) -> ModuleType:
        full = importlib.util.resolve_name(name, package) if name.startswith(".") else name
        top = full.partition(".")[0]
        if top not in self._shared:
            return original(name, package)
        owner = project_here()
        module = self._ready(owner, top, full, ("__name__",))
        if module is not None:
            return module
        with self._lock:
            self._put_in(top, owner)
            return original(name, package)

    def _ready(self, owner: Owner, top: str, full: str, fromlist: Sequence[str] | None) -> ModuleType | None:
        """Return what an import would give, if the owner has all of it and it is not in the table."""
        if self._current.get(top, _UNKNOWN) is owner:
            return None
        kept = self._kept.get(owner, {})
        module = kept.get(full)
        if module is None or getattr(module.__spec__, "_initializing", False):
            return None
        if not fromlist:
            return kept.get(top)
        return module if all(each in vars(module) for each in fromlist) else None

    def _put_in(self, top: str, owner: Owner) -> None:
        """Let the modules of this name in ``sys.modules`` be the owner's."""
        before = self._current.get(top, _UNKNOWN)
        if before is owner:
            return
        for name in [name for name in tuple(sys.modules) if name == top or name.startswith(top + ".")]:
            module = sys.modules.pop(name)
            if before is not _UNKNOWN:
                self._kept.setdefault(before, {})[name] = module
        own = self._kept.get(owner, {})
        sys.modules.update({n: m for n, m in own.items() if n == top or n.startswith(top + ".")})
        self._current[top] = owner

    def _owner_by_file(self, namespace: Mapping[str, Any] | None) -> Owner:
        file = (namespace or {}).get("__file__")
        if isinstance(file, str):
            for project, place in self._places.items():
                if is_below(file, place):
                    return project
        return None

    def reset(self) -> None:
        """Forget all projects, and import as Python does."""
        if self._undo is not None:
            self._undo()
            self._undo = None
        self._clear()


def _absolute(name: str, package: str, level: int) -> str:
    base = package.rsplit(".", level - 1)[0] if level > 1 else package
    return f"{base}.{name}" if name else base


MODULES = ProjectModules()


def tell_modules_apart() -> Undo:
    """Look for modules as :class:`ProjectModules` says. Return a function that undoes this."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = MODULES
    MODULES.reset()

    def undo() -> None:
        sys.meta_path[sys.meta_path.index(MODULES)] = PathFinder
        MODULES.reset()

    return undo
