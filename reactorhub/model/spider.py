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

    def errors(self) -> dict[str, str]:
        """Return the first thing that is broken in each project that has one, as a sentence."""
        found: dict[str, str] = {}
        for module in self.broken:
            found.setdefault(module.project, module.sentence)
        return found

    def worse_than(self, before: Catalog) -> str | None:
        """Return what is broken here and was not before, as a sentence; None if nothing is."""
        known = {(each.module, each.spider_class) for each in before.broken}
        new = (each for each in self.broken if (each.module, each.spider_class) not in known)
        return next((each.sentence for each in new), None)


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

    @property
    def sentence(self) -> str:
        """What is broken, and why."""
        return f"{self.told()}: {' '.join(self.error.split())}"

    def told(self, consequence: str = "") -> str:
        """Return what is broken, as the beginning of a sentence.

        :param consequence: what follows from it if it is the whole module.
        """
        if self.module == SCRAPY_CFG:
            return f"{SCRAPY_CFG} cannot be used"
        if self.spider_class is None:
            return f"module {self.module} cannot be imported" + (f", {consequence}" if consequence else "")
        return f"class {self.spider_class} of module {self.module} cannot run"
