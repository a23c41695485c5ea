"""Where a project's modules are, and what Python finds there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, all_suffixes
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project's top-level modules are.

    ``declared`` are the names that its settings and its schedule file use for it: these are looked for in its
    folder first. ``names`` are all names in its folder. ``search`` has the folder and what the project's
    import has put on ``sys.path``, in that order. It is empty until the import is over.
    """

    folder: Path
    declared: frozenset[str]
    names: frozenset[str]
    search: tuple[str, ...] = ()


def place_of(folder: Path, declared: set[str]) -> Place:
    """Look into a project's folder. A folder that cannot be read is empty."""
    return Place(folder, frozenset(declared), names_in(folder))


def names_in(folder: Path) -> frozenset[str]:
    """Return the names of the top-level modules and packages in a folder; none if it cannot be read."""
    try:
        return frozenset(_each_name_in(folder))
    except OSError:
        return frozenset()


def _each_name_in(folder: Path) -> Iterator[str]:
    suffixes = tuple(all_suffixes())
    for entry in folder.iterdir():
        name = entry.name.partition(".")[0]
        if name.isidentifier() and (entry.name.endswith(suffixes) or (entry.name == name and entry.is_dir())):
            yield name


def spec_in(name: str, folders: list[str]) -> ModuleSpec | None:
    """Find a top-level module in these folders."""
    spec = PathFinder.find_spec(name, folders)
    if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
        # Without an ``__init__.py`` Python would join all folders of this name on ``sys.path``.
        spec.submodule_search_locations = list(spec.submodule_search_locations)
    return spec


def is_in(module: ModuleType, place: Place) -> bool:
    """Whether a module was imported from a project's place."""
    places = [*(getattr(module, "__path__", None) or ()), getattr(module, "__file__", None) or ""]
    return any(each and is_below(each, place) for each in places)


def is_below(file: str, place: Place) -> bool:
    """Whether a file is a project's."""
    return any(Path(file).is_relative_to(folder) for folder in (str(place.folder), *place.search))
