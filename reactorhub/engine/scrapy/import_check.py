"""Imports a project in a process of its own and writes down what it finds, line by line.

It runs as a script, with the Python of the project, and so imports nothing but the standard library and
Scrapy. Each line of the report is JSON: ``ready`` (Scrapy is imported), ``begin`` (a module), ``spiders``,
``broken``, ``end``.
Whoever reads a report without ``end`` knows by the last ``begin`` which module ended or held up the process.
"""

from __future__ import annotations

import json
import linecache
import os
import re
import sys
import traceback
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from os import _exit
from pkgutil import iter_modules
from typing import Any, TextIO


class Report:
    """The file that the findings go to; each line is written at once."""

    def __init__(self, out: TextIO, path: str) -> None:
        self._out = out
        self._path = os.path.realpath(path)

    def say(self, **line: Any) -> None:
        """Write a line."""
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()

    def broken(self, module: str, error: BaseException) -> None:
        """Write down what a module raised, with the last place in the project that it came from."""
        text = traceback.format_exception_only(type(error), error)[-1].strip()
        file, line = self._place(error)
        self.say(broken={"module": module, "error": text, "file": file, "line": line})

    def _place(self, error: BaseException) -> tuple[str | None, int]:
        if isinstance(error, SyntaxError) and error.filename:
            return error.filename, error.lineno or 1
        frames = [
            (frame.filename, frame.lineno or 1)
            for frame in traceback.extract_tb(error.__traceback__)
            if os.path.realpath(frame.filename).startswith(self._path + os.sep)
        ]
        return frames[-1] if frames else (None, 1)


def main(order: dict[str, Any], out: TextIO) -> None:
    """Import a project and report on it: its settings first, then module by module."""
    os.chdir(order["path"])
    sys.path[:] = [each for each in sys.path if each != os.path.dirname(__file__)]  # noqa: PTH120
    _packages().find_project(order["path"], order["packages"])
    report = Report(out, order["path"])
    _prepare()
    report.say(ready=True)
    try:
        modules = _spider_modules(order, report)
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a settings module is a finding, too
        report.broken(order["settings"] or "settings", error)
        modules = []
    for module in modules:
        _import(module, order["skip"], report)
    report.say(end=True)


def _packages() -> Any:
    """Load the module that isolated runs use, from its file: nothing else of the hub is needed."""
    place = os.path.join(os.path.dirname(__file__), "..", "isolated", "child", "packages.py")  # noqa: PTH118, PTH120
    spec = spec_from_file_location("_reactorhub_packages", place)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prepare() -> None:
    import scrapy  # noqa: PLC0415, F401
    from twisted.internet import asyncioreactor  # noqa: PLC0415

    asyncioreactor.install()


def _spider_modules(order: dict[str, Any], report: Report) -> list[str]:
    from scrapy.settings import Settings  # noqa: PLC0415

    settings = Settings()
    if order["settings"]:
        os.environ["SCRAPY_SETTINGS_MODULE"] = order["settings"]
        report.say(begin=order["settings"])
        settings.setmodule(order["settings"], priority="project")
    return order["spider_modules"] or settings.getlist("SPIDER_MODULES") or ["spiders"]


def _import(name: str, skip: list[str], report: Report) -> None:
    """Import a module and all modules below it."""
    if name in skip:
        return
    report.say(begin=name)
    try:
        module = import_module(name)
        found = list(_spiders(module, report))
    except BaseException as error:  # noqa: BLE001 - a module may raise anything at all
        report.broken(name, error)
        return
    report.say(spiders=found)
    for each in iter_modules(getattr(module, "__path__", ()), name + "."):
        _import(each.name, skip, report)


def _spiders(module: Any, report: Report) -> Any:
    from scrapy.utils.spider import iter_spider_classes  # noqa: PLC0415

    for cls in iter_spider_classes(module):
        if isinstance(cls.name, str):
            bases = [f"{each.__module__}:{each.__qualname__}" for each in cls.__mro__]
            yield {
                "name": cls.name,
                "bases": bases,
                "file": module.__file__,
                "line": _line(cls, module.__file__),
            }
        else:
            error = TypeError(f"the name of spider class {cls.__name__} is {cls.name!r}, which is not a text")
            report.broken(module.__name__, error)


def _line(cls: type, file: str) -> int:
    """The line of a class; :mod:`inspect` would parse the whole file for it."""
    begins = re.compile(rf"\s*class\s+{re.escape(cls.__name__)}\b")
    lines = enumerate(linecache.getlines(file), 1)
    return next((number for number, line in lines if begins.match(line)), 1)


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as file:  # noqa: PTH123
        main(json.loads(sys.argv[1]), file)
        file.flush()
        _exit(0)  # threads and exit handlers of the project do not matter any more
