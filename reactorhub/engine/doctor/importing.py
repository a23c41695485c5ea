"""What an import of a project finds.

All of this blocks. The import happens in a child process, which cannot hold up the caller for ever.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reactorhub.engine.doctor.source import shown
from reactorhub.engine.projects import ProjectConfig, settings_module, top_packages
from reactorhub.errors import UnreadableProject
from reactorhub.model.doctor import ImportReport, ListedSpider, UnreadableModule

IMPORT_PATIENCE = 30.0
"""Seconds that a single module may take to be imported."""

START_PATIENCE = 60.0
"""Seconds that Scrapy itself may take to be imported."""

MAX_STUCK = 5
"""So many modules that end or hold up the process may be left out before the import is given up."""

_CHILD = Path(__file__).parent.parent / "scrapy" / "import_check.py"
_POLL = 0.02  # seconds between looks at the child


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
