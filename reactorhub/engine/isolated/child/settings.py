"""The settings of an order's project, as Scrapy's own command would have them in the project's folder."""

from __future__ import annotations

from typing import Any

from scrapy.settings import Settings

from .private.haste import default_settings, settings_of_project

# The hub's own defaults: above Scrapy's, below whatever a project says. A console that executes code is there
# on request only.
DEFAULTS = {"CONCURRENT_ITEMS": 8, "TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False}


def project_settings(order: dict[str, Any]) -> Settings:
    """Import the project's settings and return them.

    :raises BaseException: whatever the settings module raises.
    """
    known = "SCRAPY_SETTINGS_MODULE" in order["environment"]
    settings = settings_of_project(order["path"]) if known else default_settings()
    settings.setdict(DEFAULTS, priority="command")
    if order["spider_modules"]:
        settings.set("SPIDER_MODULES", order["spider_modules"], priority="cmdline")
    elif not known:
        settings.set("SPIDER_MODULES", ["spiders"], priority="project")
    return settings
