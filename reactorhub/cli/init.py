"""A first schedule file for the Scrapy project in the current folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import click

from reactorhub.cli.common import config_option, end, many
from reactorhub.cli.projects import import_projects
from reactorhub.config.template import Isolated, project_name, schedule_file
from reactorhub.diagnosis.doctor.diagnose import diagnose
from reactorhub.engine.doctor.source import read_source
from reactorhub.engine.projects import ProjectConfig, enclosing_project, settings_module
from reactorhub.errors import UnreadableProject
from reactorhub.model.spider import Catalog


@click.command()
@config_option
def init(file: Path) -> None:
    """Write a schedule file for the Scrapy project in this folder: a manual schedule for each spider.

    A file that exists is never overwritten.
    """
    if os.path.lexists(file):
        _refuse_to_overwrite(file)
    project = _project(Path.cwd())
    catalog = _catalog(project)
    path = os.path.relpath(project.path, file.absolute().parent)
    isolated = _isolated(project)
    _write(file, schedule_file(project.name, path, catalog, isolated))
    _report(file, catalog, isolated)


def _refuse_to_overwrite(file: Path) -> NoReturn:
    end(f"reactorhub: {file} exists, nothing was written; remove it, or name another file with --config")


def _project(folder: Path) -> ProjectConfig:
    """Return the project in ``folder``: one with a ``scrapy.cfg``, or a folder ``spiders`` of modules."""
    if module := settings_module(ProjectConfig(name="", path=folder)):
        return ProjectConfig(name=project_name(module.partition(".")[0]), path=folder)
    if outer := enclosing_project(folder):
        end(f"reactorhub: this folder belongs to the project in {outer}; run `reactorhub init` there")
    if not _has_spiders(folder):
        end(f"reactorhub: {_no_project(folder)}")
    return ProjectConfig(name=project_name(folder.name), path=folder)


def _has_spiders(folder: Path) -> bool:
    """Whether there are spider modules without a ``scrapy.cfg``. A project in ``spiders/`` has its own."""
    package = folder / "spiders"
    if package.is_dir():
        return not (package / "scrapy.cfg").exists()
    return (folder / "spiders.py").is_file()


def _no_project(folder: Path) -> str:
    """Say what is missing in a folder without a project, and what to do."""
    if (folder / "scrapy.cfg").exists():
        advice = "write `[settings]` and below it `default = PACKAGE.settings`"
        return f"scrapy.cfg names no settings module; {advice}"
    inner = sorted(file.parent.name for file in folder.glob("*/scrapy.cfg"))
    where = f", such as {inner[0]}," if inner else ""
    return (
        "there are no spiders here: neither a scrapy.cfg nor a folder named spiders; "
        f"go to the folder of your project{where} and run `reactorhub init` there"
    )


def _catalog(project: ProjectConfig) -> Catalog:
    """Import the project. Its settings must load; a spider module that does not load costs only itself."""
    loaded = import_projects({project.name: project})[project.name]
    if loaded.runner is None:
        (broken,) = loaded.broken
        end(
            f"reactorhub: {broken.told().removeprefix('module ')}, nothing was written; "
            f"fix it first: {' '.join(broken.error.split())}"
        )
    return loaded.catalog()


def _isolated(project: ProjectConfig) -> Isolated:
    """Return what the doctor would isolate, with the findings that decide."""
    try:
        diagnosis = diagnose(read_source(project))
    except UnreadableProject as error:
        click.echo(f"warning: the doctor cannot read the project: {error}", err=True)
        return Isolated()
    harm = diagnosis.harmful_import
    return Isolated(
        project=harm.place_and_reason if harm else None,
        spiders={
            spider.name: spider.because.place_and_reason for spider in diagnosis.spiders if spider.because
        },
    )


def _write(file: Path, text: str) -> None:
    """Write a new file. If that fails, for example on a full disk, no part of the file is left behind."""
    try:
        opened = file.open("x", encoding="utf-8")  # "x" fails if somebody has written the file meanwhile
    except FileExistsError:
        _refuse_to_overwrite(file)
    except OSError as error:
        _cannot_write(file, error)
    try:
        with opened:
            opened.write(text)
    except OSError as error:
        file.unlink(missing_ok=True)
        _cannot_write(file, error)


def _cannot_write(file: Path, error: OSError) -> NoReturn:
    end(f"reactorhub: {file} cannot be written ({error.strerror}); choose another place with --config")


def _report(file: Path, catalog: Catalog, isolated: Isolated) -> None:
    for broken in catalog.broken:
        error = " ".join(broken.error.split())
        click.echo(f"warning: {broken.told('its spiders are missing')}: {error}", err=True)
    for warning in catalog.warnings:
        click.echo(f"warning: {warning}", err=True)
    if catalog.spiders:
        click.echo(f"wrote {file}: {many(len(catalog.spiders), 'spider')}, each with a manual schedule")
    else:
        click.echo(f"wrote {file}: no spiders found, so it only shows how to write a schedule")
    if isolated.project or isolated.spiders:
        number = len(catalog.spiders) if isolated.project else len(isolated.spiders)
        click.echo(f"{many(number, 'spider')} with isolate: process; `reactorhub doctor` says why")
    click.echo("next: `reactorhub check` looks for mistakes, `twistd -n reactorhub` starts the hub")
