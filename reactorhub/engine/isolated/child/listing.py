"""Lists the spiders of a project, in a process that ends thereafter."""

from __future__ import annotations

from typing import Any

from scrapy.spiderloader import SpiderLoader
from scrapy.utils.misc import load_object
from scrapy.utils.reactor import install_reactor

from .crawl import REACTOR
from .private import Loader
from .private.imports import no_crawls
from .project import broken
from .reports import Reports
from .settings import project_settings
from .spiders import arguments, classes_of, docstring, module_of


def obey(order: dict[str, Any], reports: Reports) -> None:
    """Import the project and report what spiders it has, and what of it is broken."""
    install_reactor(REACTOR)
    try:
        with no_crawls():
            settings = project_settings(order)
            settings.set("SPIDER_LOADER_CLASS", Loader, priority="command")
            loader = load_object(settings["SPIDER_LOADER_CLASS"]).from_settings(settings.frozencopy())
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a settings module is its own affair
        refuse(error, reports, order["environment"].get("SCRAPY_SETTINGS_MODULE", "settings"))
    else:
        reports.send_last(listed(loader))


def refuse(error: BaseException, reports: Reports, module: str = "settings") -> None:
    """Report that the project cannot be used."""
    reports.send_last({"spiders": [], "broken": [broken(module, error)], "duplicates": {}})


def listed(loader: SpiderLoader) -> dict[str, Any]:
    """Return what there is to say of a project's spiders."""
    classes, odd = classes_of(loader)
    return {
        "spiders": [_spider(name, classes[name]) for name in sorted(classes)],
        "broken": [*getattr(loader, "broken", []), *odd],
        "duplicates": loader.duplicates() if isinstance(loader, Loader) else {},
    }


def _spider(name: str, spidercls: Any) -> dict[str, Any]:
    return {
        "name": name,
        "module": module_of(spidercls),
        "docstring": docstring(spidercls),
        "arguments": arguments(spidercls),
    }
