"""The JSON views of spiders and of modules that cannot be imported."""

from __future__ import annotations

from collections.abc import Mapping

from reactorhub.model.doctor import ProjectReport
from reactorhub.model.spider import BrokenModule, Catalog, SpiderInfo
from reactorhub.model.values import View


def catalog_view(catalog: Catalog, reports: Mapping[str, ProjectReport]) -> View:
    """Return the view of all spiders.

    :param reports: what the doctor says, by project.
    """
    return {
        "spiders": [spider_view(spider, reports.get(spider.project)) for spider in catalog.spiders],
        "broken": [broken_view(module) for module in catalog.broken],
        "warnings": list(catalog.warnings),
        "project": [
            {"project": name, **finding} for name, report in reports.items() for finding in report.findings
        ],
        "next_cursor": None,
    }


def spider_view(spider: SpiderInfo, report: ProjectReport | None) -> View:
    """Return the view of a spider that can run.

    ``verdict``, ``because`` and ``findings`` are those of the doctor; all are null where it has not read the
    spider.
    """
    said = (report.spiders if report else {}).get(spider.name, {})
    return {
        "name": spider.name,
        "project": spider.project,
        "docstring": spider.docstring,
        "arguments": list(spider.arguments),
        "verdict": said.get("verdict"),
        "because": said.get("because"),
        "findings": said.get("findings"),
    }


def broken_view(module: BrokenModule) -> View:
    """Return the view of a spider module that could not be imported, or of a spider class that cannot run."""
    return {
        "project": module.project,
        "module": module.module,
        "spider_class": module.spider_class,
        "error": module.error,
        "traceback": module.traceback,
    }
