"""``reactorhub check`` and ``reactorhub schema``: mistakes in a schedule file, warnings, and its schema."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

import click

from reactorhub.cli.common import config_option, json_option, many, print_json, read
from reactorhub.cli.projects import import_projects
from reactorhub.config import HubConfig
from reactorhub.config.places import suggestion
from reactorhub.config.schema import schema_text
from reactorhub.config.warnings import crowded, in_vain, never_firing
from reactorhub.engine.doctor.kept import KeptDiagnoses
from reactorhub.engine.doctor.source import read_source
from reactorhub.errors import ConfigError, Mistake, UnreadableProject
from reactorhub.model.isolation import Isolate
from reactorhub.model.schedule import Schedule
from reactorhub.storage.layout import DOCTOR


@click.command()
@click.argument("named", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@config_option
@json_option
@click.option("--strict", is_flag=True, help="Exit with status 1 for warnings too.")
@click.option("--spiders/--no-spiders", default=True, help="Import the projects, to know their spiders.")
def check(named: Path | None, file: Path, as_json: bool, strict: bool, spiders: bool) -> None:
    """Print every mistake in FILE, and warnings. The exit status is 1 if there are mistakes."""
    now = datetime.now(UTC)
    try:
        config = read(named or file)
        mistakes: tuple[Mistake, ...] = ()
        warnings = sorted(_warnings(config, now, spiders), key=attrgetter("line", "column"))
        count = len(config.schedules)
    except ConfigError as error:
        mistakes, warnings, count = error.mistakes, [], 0
    if as_json:
        found = {"mistakes": [asdict(each) for each in mistakes], "warnings": [asdict(w) for w in warnings]}
        print_json({"file": str(named or file), "schedules": count, **found})
    else:
        _print_findings(mistakes, warnings, count)
    sys.exit(1 if mistakes or (strict and warnings) else 0)


def _print_findings(mistakes: Iterable[Mistake], warnings: list[Mistake], count: int) -> None:
    for mistake in mistakes:
        click.echo(str(mistake))
    for warning in warnings:
        click.echo(str(replace(warning, message=f"warning: {warning.message}")))
    if not mistakes:
        also = f", {many(len(warnings), 'warning')}" if warnings else ""
        click.echo(f"{many(count, 'schedule')}, no mistakes{also}")


def _warnings(config: HubConfig, now: datetime, spiders: bool) -> Iterator[Mistake]:
    yield from never_firing(config, now)
    yield from in_vain(config)
    yield from crowded(config, now)
    yield from _doctor_warnings(config)
    if spiders:
        yield from _spider_warnings(config)


def _doctor_warnings(config: HubConfig) -> Iterator[Mistake]:
    """Say of each project how many spiders share the reactor and should not, as far as their text tells.

    What the doctor finds is kept for the next time in the data folder, if there is one.
    """
    kept = KeptDiagnoses(config.data_dir / DOCTOR if config.data_dir.is_dir() else None)
    for name, project in config.projects.items():
        if project.isolation.isolate in (Isolate.PROCESS, Isolate.AUTO):
            continue
        try:
            diagnosis = kept.diagnosis(read_source(project))
        except UnreadableProject:
            continue  # a folder of other things; what it lacks is told by the import
        cured = _isolated_by_schedules(config, name)
        if number := sum(spider.name not in cured for spider in diagnosis.isolated):
            spiders = many(len(diagnosis.spiders), "spider")
            message = f"{number:,} of {spiders} should not share the reactor; see reactorhub doctor {name}"
            yield config.mistake(("hub", "projects", name), message)


def _isolated_by_schedules(config: HubConfig, project: str) -> set[str]:
    """Return the spiders of a project that have schedules, none of which lets them share the reactor."""
    specs = [spec for spec in config.specs if spec.project == project]
    sharing = {spec.spider for spec in specs if spec.isolate is Isolate.NONE}
    return {spec.spider for spec in specs} - sharing


def _spider_warnings(config: HubConfig) -> Iterator[Mistake]:
    """The hub does not import projects that are isolated, so nothing is said of their spiders."""
    shared = {name: project for name, project in config.projects.items() if not project.isolated}
    projects = import_projects(shared)
    for name, project in projects.items():
        for module in project.broken:
            message = f"{module.told()} ({module.error}); fix it"
            yield config.mistake(("hub", "projects", name), message)
        for warning in project.warnings:
            yield config.mistake(("hub", "projects", name), warning)
    for name, isolated in config.projects.items():
        if isolated.isolated:
            yield from (config.mistake(("hub", "projects", name), warning) for warning in isolated.warnings)
    known = {
        name: [spider.name for spider in project.catalog().spiders] for name, project in projects.items()
    }
    for schedule in config.schedules.values():
        if schedule.spec.spider not in known.get(schedule.spec.project, [schedule.spec.spider]):
            yield config.mistake(("schedules", schedule.name, "spider"), _no_spider(schedule, known))


def _no_spider(schedule: Schedule, known: dict[str, list[str]]) -> str:
    spider, project = schedule.spec.spider, schedule.spec.project
    near = suggestion(spider, known[project]) or f"; it has {', '.join(known[project]) or 'none'}"
    return f"project {project!r} has no spider {spider!r}{near}"


@click.command()
def schema() -> None:
    """Print the JSON Schema of the schedule file, for editors."""
    click.echo(schema_text(), nl=False)
