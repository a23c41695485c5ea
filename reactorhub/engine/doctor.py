"""What the doctor needs from the disk: a project's source files, and what an import of it finds.

Everything here blocks. The import happens in a child process, which cannot hold up the caller for ever.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reactorhub.engine.projects import ProjectConfig, settings_module, top_packages
from reactorhub.errors import UnreadableProject
from reactorhub.model.doctor import (
    ImportReport,
    ListedSpider,
    ProjectSource,
    SourceFile,
    UnreadableModule,
)

MAX_FILES = 20_000
"""A folder with more Python files than this was probably named by mistake."""

IMPORT_PATIENCE = 30.0
"""Seconds that a single module may take to be imported."""

START_PATIENCE = 60.0
"""Seconds that Scrapy itself may take to be imported."""

MAX_STUCK = 5
"""So many modules that end or hold up the process may be left out before the import is given up."""

_CHILD = Path(__file__).parent / "scrapy" / "import_check.py"
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages"})
_POLL = 0.02  # seconds between looks at the child


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
    )


def _python_files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if _is_code(Path(folder) / each))
        for name in sorted(names):
            if name.endswith(".py"):
                yield Path(folder) / name


def _is_code(folder: Path) -> bool:
    """Whether a folder may hold modules of a project: virtual environments and the like do not."""
    name = folder.name
    return name.isidentifier() and name not in _LEFT_OUT and not (folder / "pyvenv.cfg").exists()


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


# -- the import


def import_project(
    config: ProjectConfig, python: str = sys.executable, patience: float = IMPORT_PATIENCE
) -> ImportReport:
    """Import a project in a process of its own, and return what that finds.

    A module that ends the process, or takes longer than ``patience`` seconds, is reported as broken and left
    out of the next attempt.

    :raises UnreadableProject: if Scrapy cannot be started there, or one module after the other gets stuck.
    """
    stuck: list[UnreadableModule] = []
    for _ in range(MAX_STUCK):
        lines, why = _attempt(config, python, patience, [each.module for each in stuck])
        if lines and "end" in lines[-1]:
            return _report(config, lines, stuck)
        begun = [line["begin"] for line in lines if "begin" in line]
        if not begun or begun[-1] == settings_module(config):
            raise UnreadableProject(f"project {config.name!r} cannot be imported: {why}")
        place = _place_of(config, begun[-1])
        stuck.append(UnreadableModule(module=begun[-1], file=shown(place), line=1, error=why))
    raise UnreadableProject(
        f"project {config.name!r} cannot be imported: {MAX_STUCK} modules got stuck, the last one {stuck[-1]}"
    )


def _attempt(
    config: ProjectConfig, python: str, patience: float, skip: list[str]
) -> tuple[list[dict[str, Any]], str]:
    order = {
        "path": str(config.path),
        "settings": settings_module(config),
        "spider_modules": list(config.spider_modules),
        "packages": sorted(top_packages(config)),
        "skip": skip,
    }
    with TemporaryDirectory(prefix="reactorhub-doctor-") as folder:
        report, errors = Path(folder) / "report", Path(folder) / "errors"
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [python, "-B", str(_CHILD), json.dumps(order), str(report)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                cwd=config.path,
            )
            why = _watched(process, lambda: report.stat().st_size if report.exists() else 0, patience)
        lines = _lines(report)
        if not lines:
            said = errors.read_text("utf-8", "replace").strip().splitlines()
            why = said[-1] if said else why
        return lines, why


def _watched(process: subprocess.Popen[bytes], written: Callable[[], int], patience: float) -> str:
    """Wait while the child makes progress, then end it with all it has started. Say what became of it."""
    size, since = 0, time.monotonic()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return _ending(process.wait(_POLL))
            if (now_written := written()) != size:
                size, since = now_written, time.monotonic()
            limit = patience if size else max(patience, START_PATIENCE)
            if time.monotonic() - since > limit:
                return f"the import did not end within {limit:g} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ending(status: int) -> str:
    if status < 0:
        return f"the import ended the process by {signal.Signals(-status).name}"
    return f"the import ended the process with status {status}"


def _lines(report: Path) -> list[dict[str, Any]]:
    if not report.exists():
        return []
    found = []
    for line in report.read_text("utf-8", "replace").splitlines():
        with suppress(ValueError):  # a line that was cut off with its process
            found.append(json.loads(line))
    return found


def _report(
    config: ProjectConfig, lines: list[dict[str, Any]], stuck: list[UnreadableModule]
) -> ImportReport:
    spiders = [
        ListedSpider(
            name=each["name"],
            bases=tuple(each["bases"]),
            file=shown(Path(each["file"])),
            line=each["line"],
        )
        for line in lines
        for each in line.get("spiders", ())
    ]
    broken = [_broken(config, line["broken"]) for line in lines if "broken" in line]
    last_of_name = {each.name: each for each in spiders}
    return ImportReport(spiders=tuple(last_of_name.values()), broken=(*broken, *stuck))


def _broken(config: ProjectConfig, said: dict[str, Any]) -> UnreadableModule:
    place = Path(said["file"]) if said["file"] else _place_of(config, said["module"])
    return UnreadableModule(module=said["module"], file=shown(place), line=said["line"], error=said["error"])


def _place_of(config: ProjectConfig, module: str) -> Path:
    base = config.path.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def is_within(file: str, only: Path | None) -> bool:
    """Whether a file that is shown this way lies at or below a path."""
    return only is None or Path(file).resolve().is_relative_to(only)
