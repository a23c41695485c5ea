"""The JSON shape of what the doctor says."""

from __future__ import annotations

from collections.abc import Iterable

from reactorhub.model.doctor import Diagnosis, Finding, SpiderDiagnosis, UnreadableModule
from reactorhub.model.values import View


def finding_view(finding: Finding) -> View:
    """Return the view of a finding."""
    return {
        "file": finding.file,
        "line": finding.line,
        "what": finding.what,
        "remedy": finding.remedy,
        "kind": finding.kind,
        "severity": finding.severity.value,
    }


def spider_diagnosis_view(spider: SpiderDiagnosis) -> View:
    """Return the view of one spider; ``because`` is null if it can share the reactor."""
    return {
        "name": spider.name,
        "project": spider.project,
        "file": spider.file,
        "line": spider.line,
        "verdict": spider.verdict,
        "because": finding_view(spider.because) if spider.because else None,
        "findings": [finding_view(finding) for finding in spider.findings],
    }


def diagnoses_view(diagnoses: Iterable[Diagnosis]) -> View:
    """Return the view of what is to be said of projects.

    ``project`` holds what concerns all spiders of a project, and ``broken`` the modules that cannot be read.
    """
    all_of_them = tuple(diagnoses)
    return {
        "spiders": [spider_diagnosis_view(spider) for each in all_of_them for spider in each.spiders],
        "project": [
            {"project": each.project, **finding_view(finding)}
            for each in all_of_them
            for finding in each.findings
        ],
        "broken": [_broken_view(each.project, module) for each in all_of_them for module in each.broken],
    }


def _broken_view(project: str, module: UnreadableModule) -> View:
    return {
        "project": project,
        "module": module.module,
        "file": module.file,
        "line": module.line,
        "error": module.error,
    }
