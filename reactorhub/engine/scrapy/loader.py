"""Loads spiders module by module, so that a module that cannot be imported breaks no other module."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from scrapy import Spider

from reactorhub.engine.isolated.child.spiders import sort_out
from reactorhub.engine.scrapy.private import HookedLoader
from reactorhub.errors import last_line
from reactorhub.model.spider import BrokenModule


class TolerantSpiderLoader(HookedLoader):
    """Scrapy's own loader, but a module may raise anything, ``SystemExit`` included.

    ``broken`` lists the modules that raised something and the spiders that cannot run, without the name of
    their project.
    """

    broken: list[BrokenModule]

    def load_modules(self) -> None:
        """Import all modules below SPIDER_MODULES and take up their spiders."""
        self.broken = []
        for name in self.spider_modules:
            for each, module in self._modules(name):
                self._take_up(each, module)

    def _take_up(self, module_name: str, module: ModuleType) -> None:
        try:
            spiders, odd = sort_out(module, Spider)
        except BaseException as error:  # noqa: BLE001 - it may have put anything into the table of modules
            self.broken.append(broken_module(module_name, error))
            return
        for name, spidercls in spiders.items():
            self.add_spider(name, spidercls)
        self.broken.extend(BrokenModule(project="", **each) for each in odd)

    def _modules(self, name: str) -> Iterator[tuple[str, ModuleType]]:
        module = self._imported(name)
        if module is None:
            return
        yield name, module
        for info in iter_modules(getattr(module, "__path__", ()), f"{name}."):
            yield from self._modules(info.name)

    def _imported(self, name: str) -> ModuleType | None:
        try:
            return import_module(name)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a spider module breaks that module only
            self.broken.append(broken_module(name, error))
            return None

    def duplicates(self) -> list[str]:
        """Return a warning for each name that several spider classes have. Scrapy runs the last of them."""
        return [
            f"spider {name!r} is defined {len(places)} times: "
            + ", ".join(f"{module}.{cls}" for module, cls in places)
            + "; the last one runs"
            for name, places in self.places.items()
            if len(set(places)) > 1
        ]


def broken_module(name: str, error: BaseException) -> BrokenModule:
    """Return the description of a module whose import raised ``error``."""
    text = "".join(traceback.format_exception(error))
    return BrokenModule(project="", module=name, error=last_line(error), traceback=text)
