"""What the doctor needs from the disk: the source files of a project. All of this blocks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from reactorhub.engine.code_files import holds_others_code
from reactorhub.engine.projects import ProjectConfig, settings_module
from reactorhub.errors import UnreadableProject
from reactorhub.model.doctor import ProjectSource, SourceFile

MAX_FILES = 20_000
"""A folder with more Python files than this was probably named by mistake."""

_ANSWER_WITHIN = 20.0  # seconds in which a Python has to say what it has


@dataclass(frozen=True, slots=True)
class Target:
    """A project to look at, or with ``only`` a part of it."""

    config: ProjectConfig
    only: Path | None = None


def target_at(path: Path) -> Target:
    """Return the project that a path belongs to: one with a scrapy.cfg, or a plain folder of spider modules.

    :raises UnreadableProject: if there is nothing at that path.
    """
    place = path.resolve()
    if not place.exists():
        raise UnreadableProject(f"neither a project nor a path: {str(path)!r}")
    folder = place if place.is_dir() else place.parent
    root = next((each for each in (folder, *folder.parents) if (each / "scrapy.cfg").is_file()), None)
    if root is not None:
        config = ProjectConfig(name=root.name, path=root)
        return Target(config, None if root == place else place)
    return _plain(place, folder)


def _plain(place: Path, folder: Path) -> Target:
    if place.is_dir() and (place / "spiders").is_dir():
        return Target(ProjectConfig(name=place.name, path=place))
    root = folder
    while (root / "__init__.py").is_file():
        root = root.parent
    if root != folder:
        modules: tuple[str, ...] = (".".join(folder.relative_to(root).parts),)
    else:
        modules = tuple(sorted(each.stem for each in folder.glob("*.py")))
    if not modules:
        raise UnreadableProject(f"{folder} has neither a scrapy.cfg nor a folder spiders nor Python files")
    return Target(ProjectConfig(name=folder.name, path=root, spider_modules=modules), only=place)


def read_source(config: ProjectConfig) -> ProjectSource:
    """Return the source files of a project.

    :raises UnreadableProject: if its folder cannot be read, or holds far too much.
    """
    files = []
    for path in _python_files(config.path):
        try:
            files.append(_source_file(path, config.path))
        except OSError as error:
            raise UnreadableProject(f"{shown(path)} cannot be read: {error.strerror}") from error
        if len(files) > MAX_FILES:
            raise UnreadableProject(
                f"{config.path} holds more than {MAX_FILES:,} Python files; name a project"
            )
    return ProjectSource(
        name=config.name,
        files=tuple(files),
        settings_module=settings_module(config),
        spider_modules=config.spider_modules,
        scrapy=scrapy_version(config.python),
    )


def _python_files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if _is_code(Path(folder) / each))
        for name in sorted(names):
            if name.endswith(".py"):
                yield Path(folder) / name


def _is_code(folder: Path) -> bool:
    """Whether a folder may hold modules of a project."""
    return folder.name.isidentifier() and not holds_others_code(folder)


def _source_file(path: Path, root: Path) -> SourceFile:
    parts = path.relative_to(root).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if is_package else parts)
    return SourceFile(module, shown(path), path.read_bytes(), is_package)


def shown(path: Path) -> str:
    """Return a path as people want to read it: from the working folder, where that is shorter."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def scrapy_version(python: str | None) -> tuple[int, ...] | None:
    """Return the version of Scrapy that a Python has; None if it has none, or does not say.

    :param python: its path; None for the Python of this process.
    """
    text = _own_scrapy() if python is None else _scrapy_of(Path(python))
    parts = text.split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None


def _own_scrapy() -> str:
    try:
        return version("scrapy")
    except PackageNotFoundError:
        return ""


def _scrapy_of(python: Path) -> str:
    """Look into the virtual environment; only where that does not help, ask the Python itself."""
    for found in python.parent.parent.glob("lib/python*/site-packages/[Ss]crapy-*.dist-info"):
        return found.name.removesuffix(".dist-info").partition("-")[2]
    code = "from importlib.metadata import version; print(version('scrapy'))"
    with suppress(OSError, subprocess.SubprocessError):
        command = [str(python), "-I", "-c", code]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_WITHIN, check=True
        ).stdout.strip()
    return ""


def is_within(file: str, only: Path | None) -> bool:
    """Whether a file that is shown this way lies at or below a path."""
    return only is None or Path(file).resolve().is_relative_to(only)
