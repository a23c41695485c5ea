"""Which spiders can share the reactor, and which should have a process of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from reactorhub.cli.common import config_option, end, json_option, many, print_json, print_table, read_or_end
from reactorhub.config import HubConfig
from reactorhub.diagnosis.doctor.diagnose import diagnose
from reactorhub.engine.doctor.importing import import_project
from reactorhub.engine.doctor.source import Target, is_within, read_source, target_at
from reactorhub.errors import UnreadableProject
from reactorhub.model.doctor import Diagnosis, Finding, Severity, SpiderDiagnosis
from reactorhub.wire.doctor import diagnoses_view

UNREADABLE = 1
"""Exit status where a project or one of its modules could not be read."""

ISOLATE = 3
"""Exit status where a spider should have a process of its own."""


@click.command()
@click.argument("what", metavar="[PROJECT | PATH]", required=False)
@config_option
@json_option
@click.option("--import/--no-import", "imports", default=True, help="Whether to import the spiders, too.")
@click.option(
    "--patience",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long one module may take to be imported.",
)
def doctor(what: str | None, file: Path, as_json: bool, imports: bool, patience: float) -> None:
    """Say which spiders can share the reactor, and why others should have a process of their own.

    PROJECT is a project of the schedule file, PATH a folder with a scrapy.cfg or with spiders. Without either
    it is all projects of the schedule file, or this folder.

    Exit status: 0 if all spiders can share the reactor, 3 if some should not, 1 if something cannot be read.
    """
    config = read_or_end(file) if file.exists() else None
    try:
        diagnoses = [_diagnosed(target, imports, patience) for target in _targets(what, config)]
    except UnreadableProject as error:
        end(f"reactorhub: {error}")
    if as_json:
        print_json(diagnoses_view(diagnoses))
    else:
        _print(diagnoses, config)
    sys.exit(_status(diagnoses))


def _status(diagnoses: Iterable[Diagnosis]) -> int:
    found = tuple(diagnoses)
    if any(each.broken for each in found):
        return UNREADABLE
    return ISOLATE if any(each.isolated for each in found) else 0


def _targets(what: str | None, config: HubConfig | None) -> list[Target]:
    if config is not None and what is None:
        return [Target(project) for project in config.projects.values()]
    if config is not None and what is not None and what in config.projects:
        return [Target(config.projects[what])]
    return [target_at(Path(what or "."))]


def _diagnosed(target: Target, imports: bool, patience: float) -> Diagnosis:
    source = read_source(target.config)
    report = import_project(target.config, patience=patience) if imports else None
    whole = diagnose(source, report)
    return replace(
        whole,
        spiders=tuple(each for each in whole.spiders if is_within(each.file, target.only)),
        broken=tuple(each for each in whole.broken if is_within(each.file, target.only)),
    )


# -- what is printed


def _print(diagnoses: list[Diagnosis], config: HubConfig | None) -> None:
    for diagnosis in diagnoses:
        for line in _finding_lines(diagnosis):
            click.echo(line)
    spiders = [spider for diagnosis in diagnoses for spider in diagnosis.spiders]
    if not spiders:
        click.echo("no spiders found", err=True)
        return
    _print_verdicts(spiders, with_project=len(diagnoses) > 1)
    isolated = [spider for spider in spiders if spider.because]
    if isolated:
        click.echo("\nAdd this to the schedule file:\n")
        for line in _yaml(diagnoses, config):
            click.echo(line)
    click.echo(f"\n{many(len(spiders), 'spider')}, {len(isolated):,} to isolate")


def _finding_lines(diagnosis: Diagnosis) -> Iterator[str]:
    yield from (str(module) for module in diagnosis.broken)
    found = {*diagnosis.findings, *(each for spider in diagnosis.spiders for each in spider.findings)}
    yield from (_line(each) for each in sorted(found))


def _line(finding: Finding) -> str:
    mark = "" if finding.severity is Severity.ISOLATE else "advice: "
    return f"{finding.file}:{finding.line}: {mark}{finding.what}: {finding.remedy}"


def _print_verdicts(spiders: list[SpiderDiagnosis], *, with_project: bool) -> None:
    heading = ("PROJECT",) * with_project + ("SPIDER", "VERDICT", "BECAUSE")
    rows = [
        ((spider.project,) if with_project else ()) + (spider.name, spider.verdict, _because(spider))
        for spider in spiders
    ]
    print_table(heading, rows)


def _because(spider: SpiderDiagnosis) -> str:
    return spider.because.place_and_reason if spider.because else ""


def _yaml(diagnoses: list[Diagnosis], config: HubConfig | None) -> Iterator[str]:
    """The keys to add: to a project where its import or all of its spiders ask for it, else to schedules."""
    whole = [diagnosis for diagnosis in diagnoses if _wholly(diagnosis)]
    if whole:
        yield "hub:"
        yield "  projects:"
        yield from (f"    {_key(diagnosis.project)}: {{isolate: process}}" for diagnosis in whole)
    single = [spider for each in diagnoses if each not in whole for spider in each.isolated]
    if single:
        yield "schedules:"
        for spider in single:
            yield from _schedule_lines(spider, config)


def _wholly(diagnosis: Diagnosis) -> bool:
    if not diagnosis.isolated:
        return False
    at_import = any(spider.because and spider.because.at_import for spider in diagnosis.isolated)
    return at_import or len(diagnosis.isolated) == len(diagnosis.spiders) > 1


def _schedule_lines(spider: SpiderDiagnosis, config: HubConfig | None) -> Iterator[str]:
    schedules = config.schedules.values() if config else ()
    names = [
        each.name
        for each in schedules
        if (each.spec.project, each.spec.spider) == (spider.project, spider.name)
    ]
    for name in names:
        yield f"  {_key(name)}: {{isolate: process}}"
    if not names:
        yield f"  {_key(spider.name)}: {{spider: {_key(spider.name)}, isolate: process}}"


def _key(name: str) -> str:
    """A name as YAML takes it."""
    return (
        name if name.replace("_", "").replace("-", "").isalnum() and not name.isdigit() else json.dumps(name)
    )
