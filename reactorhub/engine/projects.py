"""Scrapy projects as the file names them, read without importing anything of them."""

from __future__ import annotations

from configparser import ConfigParser
from configparser import Error as ParserError
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """A Scrapy project. ``path`` is absolute. Without ``spider_modules``, the ``scrapy.cfg`` in ``path`` says
    where the spiders are, or else they are in a package ``spiders`` there."""

    name: str
    path: Path
    spider_modules: tuple[str, ...] = ()


def top_packages(config: ProjectConfig) -> set[str]:
    """Return the top-level module names that this project brings into the process."""
    module = settings_module(config)
    names = [*config.spider_modules, *([module] if module else [])] or ["spiders"]
    return {name.partition(".")[0] for name in names}


def settings_module(config: ProjectConfig) -> str | None:
    """Return the settings module that the project's ``scrapy.cfg`` names, or None where none does."""
    parser = ConfigParser()
    try:
        parser.read(config.path / "scrapy.cfg", encoding="utf-8")
    except (ParserError, UnicodeDecodeError):
        return None
    return parser.get("settings", "default", fallback=None)
