"""Loads spiders module by module, so that one that fails to import costs nobody but itself."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from scrapy.spiderloader import SpiderLoader

from reactorhub.errors import last_line
from reactorhub.model.spider import BrokenModule


class TolerantSpiderLoader(SpiderLoader):
    """Scrapy's own loader, except that a module may raise anything at all, ``SystemExit`` included.

    ``broken`` lists the modules that did, without their project's name.
    """

    broken: list[BrokenModule]

    def _load_all_spiders(self) -> None:
        self.broken = []
        for name in self.spider_modules:
            for module in self._modules(name):
                self._load_spiders(module)

    def _modules(self, name: str) -> Iterator[ModuleType]:
        module = self._imported(name)
        if module is None:
            return
        yield module
        for info in iter_modules(getattr(module, "__path__", ()), f"{name}."):
            yield from self._modules(info.name)

    def _imported(self, name: str) -> ModuleType | None:
        try:
            return import_module(name)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a spider module is its own affair
            self.broken.append(broken_module(name, error))
            return None

    def duplicates(self) -> list[str]:
        """Return a sentence for each name that several spider classes claim; Scrapy runs the last."""
        return [
            f"spider {name!r} is defined {len(places)} times: "
            + ", ".join(f"{module}.{cls}" for module, cls in places)
            + "; the last one runs"
            for name, places in self._found.items()
            if len(set(places)) > 1
        ]


def broken_module(name: str, error: BaseException) -> BrokenModule:
    """Return what there is to say of a module whose import raised ``error``."""
    text = "".join(traceback.format_exception(error))
    return BrokenModule(project="", module=name, error=last_line(error), traceback=text)
