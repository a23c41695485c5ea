"""Spiders that can run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Catalog:
    """The spiders of all projects, the modules that could not be imported, and warnings worth showing."""

    spiders: tuple[SpiderInfo, ...]
    broken: tuple[BrokenModule, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiderInfo:
    """A spider that can run. ``arguments`` are the parameters of its ``__init__``."""

    name: str
    project: str
    docstring: str | None
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenModule:
    """A spider module that failed to import, with its traceback."""

    project: str
    module: str
    error: str
    traceback: str
