"""Scrapy projects as the schedule file describes them. Nothing of a project is imported here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reactorhub.engine.scrapy_cfg import ScrapyCfg
from reactorhub.errors import UnreadableProject
from reactorhub.model.code import CodeReload
from reactorhub.model.isolation import Isolate, IsolationWish

PLAIN_FOLDER = "spiders"
"""The package with the spiders of a project that has no ``scrapy.cfg``."""

DEFAULT = "default"
"""The entry under ``[settings]`` that Scrapy uses unless it is told another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """A Scrapy project. ``path`` is absolute.

    Without ``spider_modules`` the ``scrapy.cfg`` in ``path`` says where the spiders are. Without a
    ``scrapy.cfg`` too, the spiders are in a package ``spiders`` in ``path``.

    ``settings`` names an entry under ``[settings]`` in ``scrapy.cfg``, or a settings module; None means the
    entry ``default``. ``warnings`` say what of the environment is not heeded.

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
    settings: str | None = None
    warnings: tuple[str, ...] = ()

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
    """Return the names of the project's own top-level packages, as its settings and the schedule file say.

    What Python itself has under such a name comes first, so it is not among them.
    """
    module = settings_module(config)
    names = [*config.spider_modules, *([module] if module else [])] or [PLAIN_FOLDER]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


@dataclass(frozen=True, slots=True)
class SettingsChoice:
    """The settings module of a project, and the entry of ``scrapy.cfg`` that was asked for by name."""

    module: str | None = None
    section: str | None = None


def settings_choice(config: ProjectConfig) -> SettingsChoice:
    """Return the settings module that the project uses.

    :raises UnreadableProject: if its ``scrapy.cfg`` cannot be read, or it has neither settings nor spiders.
    """
    cfg = ScrapyCfg(config.path)
    if config.settings is not None:
        module = cfg.module(config.settings)
        return SettingsChoice(config.settings) if module is None else SettingsChoice(module, config.settings)
    module = cfg.module(DEFAULT)
    if module is None and not config.spider_modules and not has_module(config.path, PLAIN_FOLDER):
        raise UnreadableProject(_nothing_there(cfg, config.path))
    return SettingsChoice(module)


def settings_module(config: ProjectConfig) -> str | None:
    """Return the settings module that the project uses; None if it has none, or none can be told."""
    try:
        return settings_choice(config).module
    except UnreadableProject:
        return None


def settings_mistake(config: ProjectConfig) -> str | None:
    """Return why ``settings`` of this project names nothing; None if it may name something."""
    name = config.settings
    try:
        names = ScrapyCfg(config.path).names
    except UnreadableProject:
        return None  # this is reported when the project is loaded
    if name is None or name.lower() in names or has_module(config.path, name):
        return None
    if "." in name and not has_module(config.path, name.partition(".")[0]):
        return None  # it may be installed where the project runs
    there = f"it has {', '.join(names)}" if names else "it has none"
    return f"there is neither a module {name!r} nor such an entry under [settings] in scrapy.cfg; {there}"


def with_environment(config: ProjectConfig, environ: Mapping[str, str]) -> ProjectConfig:
    """Return the project with the settings that ``scrapy crawl`` would choose by these variables.

    ``SCRAPY_SETTINGS_MODULE`` wins over ``SCRAPY_PROJECT``, and ``settings`` of the project over both. A
    variable that names nothing in the project is not heeded, and the project says so in a warning.
    """
    module, section = environ.get("SCRAPY_SETTINGS_MODULE"), environ.get("SCRAPY_PROJECT")
    if config.settings is not None or not (module or section):
        return config
    try:
        names = ScrapyCfg(config.path).names
    except UnreadableProject:
        return config
    if module:
        if has_module(config.path, module):
            return replace(config, settings=module)
        lacks = f"SCRAPY_SETTINGS_MODULE is {module!r}, which is not a module in its folder"
    elif (section or "").lower() in names:
        return replace(config, settings=section) if section != DEFAULT else config
    else:
        lacks = f"SCRAPY_PROJECT is {section!r}, which is not an entry under [settings] in its scrapy.cfg"
    return replace(config, warnings=(f"project {config.name!r}: {lacks}; it is not heeded",))


def has_module(folder: Path, name: str) -> bool:
    """Return whether there is a module or package of this dotted name in a folder."""
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    place = folder.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def _nothing_there(cfg: ScrapyCfg, folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if not cfg.exists:
        return f"there is neither a scrapy.cfg nor a folder {PLAIN_FOLDER} in {folder}"
    others = f"; to use another, write settings: {cfg.names[0]}" if cfg.names else ""
    return f"{cfg.path} has no entry {DEFAULT} under [settings]{others}"


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
