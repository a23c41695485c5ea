"""Scrapy's questions about the project, and relative paths, answered for the project whose code asks.

A process has one working folder and one environment. Under ``scrapy crawl`` these are the project's. Here
they are the hub's, so Scrapy's functions are told the folder and the settings of the project that executes.
What no project asks is answered as Scrapy does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from scrapy.exceptions import NotConfigured
from scrapy.settings import BaseSettings, Settings
from scrapy.utils.conf import closest_scrapy_cfg, get_config, init_env
from scrapy.utils.project import data_path, get_project_settings, inside_project, project_data_dir

from reactorhub.containment.contexts import ProjectContext, project_here
from reactorhub.containment.replacing import Undo, replace_code

_PATHS = ("JOBDIR", "FEED_TEMPDIR")
_STORES = ("FILES_STORE", "IMAGES_STORE")
_OF_THE_COMMAND = ("CHECK", "PYTHON_SHELL")  # settings that Scrapy takes from variables named SCRAPY_...
_OF_STATS = ".JsonLinesConnector"  # the connector of spiderkit.StatsUploader that writes to a file
_DATA_FOLDER = ".scrapy"


def answer_for_each_project() -> Undo:
    """Change these functions in place, so that earlier imports by name have the change too.

    Return a function that undoes this.
    """
    replaced: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...] = (
        (get_project_settings, _get_project_settings),
        (inside_project, _inside_project),
        (project_data_dir, _project_data_dir),
        (data_path, _data_path),
        (init_env, _init_env),
    )
    with ExitStack() as stack:
        before = closest_scrapy_cfg.__defaults__
        stack.callback(setattr, closest_scrapy_cfg, "__defaults__", before)
        closest_scrapy_cfg.__defaults__ = (_FolderHere(), None)
        for function, instead in replaced:
            stack.callback(replace_code(function, instead))
        return stack.pop_all().close


class _FolderHere(os.PathLike[str]):
    """The folder in which ``scrapy crawl`` would run the code that executes."""

    def __fspath__(self) -> str:
        return str(_folder_of(project_here()))

    __str__ = __fspath__


def _folder_of(project: ProjectContext | None) -> Path:
    return Path() if project is None or project.folder is None else project.folder


def settings_of(project: ProjectContext) -> Settings:
    """Return the settings that ``scrapy crawl`` would begin with in this project's folder."""
    settings = Settings()
    add_own_settings(settings, project)
    return settings


def add_own_settings(settings: Settings, project: ProjectContext) -> None:
    """Set what the project's settings module says, and what Scrapy takes from the environment for it."""
    if project.settings_module is not None:
        settings.setmodule(project.settings_module, priority="project")
    settings.setdict(variables_of(project), priority="project")


def variables_of(project: ProjectContext) -> dict[str, str]:
    """Return the settings that Scrapy takes from the environment, as they would be for this project."""
    found = {name: os.environ.get(f"SCRAPY_{name}") for name in _OF_THE_COMMAND}
    found |= {"SETTINGS_MODULE": project.settings_module, "PROJECT": project.section}
    return {name: value for name, value in found.items() if value is not None}


def _get_project_settings(original: Callable[[], Settings]) -> Settings:
    project = project_here()
    return original() if project is None else settings_of(project)


def _inside_project(original: Callable[[], bool]) -> bool:
    project = project_here()
    if project is None:
        return original()
    return project.settings_module is not None or bool(closest_scrapy_cfg())


def _project_data_dir(original: Callable[[str], str], project: str = "default") -> str:
    here = project_here()
    if here is None:
        return original(project)
    if not inside_project():
        raise NotConfigured(f"project {here.name!r} has no scrapy.cfg")
    config, closest = get_config(), closest_scrapy_cfg()
    if config.has_option("datadir", project):
        folder = _folder_of(here) / config.get("datadir", project)
    elif closest:
        folder = Path(closest).parent / _DATA_FOLDER
    else:
        raise NotConfigured(f"project {here.name!r} has no scrapy.cfg, which says where its data folder is")
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _data_path(original: Callable[..., str], path: str | os.PathLike[str], createdir: bool = False) -> str:
    here = project_here()
    if here is None or Path(path).is_absolute():
        return original(path, createdir)
    folder = Path(project_data_dir()) if inside_project() else _folder_of(here) / _DATA_FOLDER
    return original(folder / path, createdir)


def _init_env(original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Do nothing for a project: its folder is on the path already, and the environment is everybody's."""
    if project_here() is None:
        original(*args, **kwargs)


# -- relative paths in settings


def make_paths_absolute(settings: BaseSettings, folder: Path) -> None:
    """Make the paths that Scrapy itself opens relative to the project's folder, whoever has set them.

    Each keeps its priority. An address with a scheme, as ``s3://...``, stays as it is.
    """
    for name in _PATHS:
        _change(settings, name, lambda value: _in_folder(value, folder))
    for name in _STORES:
        _change(settings, name, lambda value: _store_in_folder(value, folder))
    _change(settings, "FEED_URI", lambda value: _feed_in_folder(value, folder))
    if settings.get("FEEDS"):
        feeds = settings.getdict("FEEDS")
        located = {_feed_in_folder(uri, folder): options for uri, options in feeds.items()}
        if located.keys() != feeds.keys():
            settings.set("FEEDS", located, priority=settings.getpriority("FEEDS") or 0)
    if str(settings.get("STATSUPLOADER_CONNECTOR_CLASS")).endswith(_OF_STATS):
        _change(settings, "STATSUPLOADER_CONNECT_CONFS", lambda value: _stats_in_folder(value, folder))


def _change(settings: BaseSettings, name: str, change: Callable[[Any], Any]) -> None:
    value = settings.get(name)
    if value and (changed := change(value)) != value:
        settings.set(name, changed, priority=settings.getpriority(name) or 0)


def _in_folder(value: Any, folder: Path) -> Any:
    return str(folder / value) if isinstance(value, str | os.PathLike) else value


def _store_in_folder(value: Any, folder: Path) -> Any:
    text = str(value)
    scheme, slashes, path = text.rpartition("://")
    if scheme not in ("", "file"):
        return value
    return f"{scheme}{slashes}{folder / path}"


def _stats_in_folder(value: Any, folder: Path) -> Any:
    if not isinstance(value, Mapping) or "path" not in value:
        return value
    return {**value, "path": _in_folder(value["path"], folder)}


def _feed_in_folder(uri: Any, folder: Path) -> Any:
    text = str(uri)
    scheme = urlsplit(text).scheme
    if scheme == "file" and not text.startswith("file:/"):
        return str(folder / unquote(text.removeprefix("file:")))
    return uri if scheme else str(folder / text)
