"""Checks Scrapy projects by their folders alone, without importing them."""

from __future__ import annotations

import os

from reactorhub.config import HubConfig
from reactorhub.config.places import KeyPath
from reactorhub.engine.projects import ProjectConfig, settings_mistake
from reactorhub.errors import Mistake
from reactorhub.model.isolation import Isolate


def project_mistakes(config: HubConfig) -> list[Mistake]:
    """Return the reasons why the hub cannot use the projects."""
    return [
        *_missing_folders(config),
        *_missing_pythons(config),
        *_missing_settings(config),
        *_pythons_that_cannot_share(config),
    ]


def _missing_folders(config: HubConfig) -> list[Mistake]:
    return [
        config.mistake(path, f"there is no folder {_shown(config, path, project)}")
        for name, project in config.projects.items()
        if not project.path.is_dir() and (path := ("hub", "projects", name, "path"))
    ]


def _missing_pythons(config: HubConfig) -> list[Mistake]:
    message = "there is no Python {python}; write the path of one, such as ../venv/bin/python"
    return [
        config.mistake(("hub", "projects", name, "python"), message.format(python=project.python))
        for name, project in config.projects.items()
        if project.python is not None and not os.access(project.python, os.X_OK | os.R_OK)
    ]


def _missing_settings(config: HubConfig) -> list[Mistake]:
    return [
        config.mistake(("hub", "projects", name, "settings"), message)
        for name, project in config.projects.items()
        if project.path.is_dir() and (message := settings_mistake(project))
    ]


def _pythons_that_cannot_share(config: HubConfig) -> list[Mistake]:
    message = "the project has its own Python, {python}, so its runs are isolated; remove this"
    return [
        config.mistake(("hub", "projects", name, "isolate"), message.format(python=project.python))
        for name, project in config.projects.items()
        if project.python is not None and project.isolate is Isolate.NONE
    ]


def _shown(config: HubConfig, path: KeyPath, project: ProjectConfig) -> str:
    """The folder, without the value of a variable."""
    filled = config.positions.filled.get(path)
    return filled[1] if filled else str(project.path)
