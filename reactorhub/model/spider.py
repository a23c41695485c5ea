"""Spiders that can run."""

from __future__ import annotations

from dataclasses import dataclass

SCRAPY_CFG = "scrapy.cfg"
"""What stands for the module where a project's ``scrapy.cfg`` keeps it from being loaded."""


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
    """A spider module that failed to import, with its traceback; or a single class that cannot run."""

    project: str
    module: str
    error: str
    traceback: str
    spider_class: str | None = None
    """The class that cannot run, if the module itself could be imported."""

    def told(self, consequence: str = "") -> str:
        """Return what is broken, as the beginning of a sentence.

        :param consequence: what follows from it if it is the whole module.
        """
        if self.module == SCRAPY_CFG:
            return f"{SCRAPY_CFG} cannot be used"
        if self.spider_class is None:
            return f"module {self.module} cannot be imported" + (f", {consequence}" if consequence else "")
        return f"class {self.spider_class} of module {self.module} cannot run"
