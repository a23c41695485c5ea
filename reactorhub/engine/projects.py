"""Scrapy projects as the schedule file describes them. Nothing of a project is imported here."""

from __future__ import annotations

from configparser import ConfigParser
from configparser import Error as ParserError
from dataclasses import dataclass, field
from pathlib import Path

from reactorhub.model.code import CodeReload
from reactorhub.model.isolation import Isolate, IsolationWish


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """A Scrapy project. ``path`` is absolute.

    Without ``spider_modules`` the ``scrapy.cfg`` in ``path`` says where the spiders are. Without a
    ``scrapy.cfg`` too, the spiders are in a package ``spiders`` in ``path``.

    ``python`` is the absolute path of the Python that has what the project needs, or None for the hub's own.
    ``memory_limit`` is in bytes. ``reload`` says when changed code is loaded.
    """

    name: str
    path: Path
    spider_modules: tuple[str, ...] = ()
    python: str | None = None
    isolate: Isolate | None = None
    memory_limit: int | None = None
    reload: CodeReload = field(default=CodeReload.MANUAL, compare=False)

    @property
    def isolation(self) -> IsolationWish:
        """What the project says of the isolation of its runs. A Python of its own implies it."""
        isolate = self.isolate if self.python is None else Isolate.PROCESS
        return IsolationWish(isolate=isolate, memory_limit=self.memory_limit)

    @property
    def isolated(self) -> bool:
        """Whether the hub leaves the project's code to processes of its own."""
        return self.isolation.isolate is Isolate.PROCESS


def top_packages(config: ProjectConfig) -> set[str]:
    """Return the names of the top-level modules that this project imports into the process."""
    module = settings_module(config)
    names = [*config.spider_modules, *([module] if module else [])] or ["spiders"]
    return {name.partition(".")[0] for name in names}


def settings_module(config: ProjectConfig) -> str | None:
    """Return the settings module that the project's ``scrapy.cfg`` names, or None."""
    parser = ConfigParser()
    try:
        parser.read(config.path / "scrapy.cfg", encoding="utf-8")
        return parser.get("settings", "default", fallback=None)
    except (ParserError, UnicodeDecodeError):
        return None


def enclosing_project(folder: Path) -> Path | None:
    """Return the folder of the Scrapy project that has ``folder`` in its package; None if no project has.

    ``shop/shop/spiders`` belongs to the project in ``shop`` if ``shop/scrapy.cfg`` names ``shop.settings``.
    """
    for parent in folder.parents:
        module = settings_module(ProjectConfig(name="", path=parent))
        if module is not None:
            package = parent / module.partition(".")[0]
            return parent if package == folder or package in folder.parents else None
    return None
