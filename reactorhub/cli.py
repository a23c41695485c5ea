"""The command ``reactorhub``: what can be said of a schedule file without a hub that runs.

Whatever takes long to import is imported by the command that needs it, and nothing here installs a reactor.
"""

# ruff: noqa: PLC0415
from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from zoneinfo import ZoneInfo

import click

from reactorhub import __version__
from reactorhub.errors import ConfigError, Mistake, ReactorHubError

if TYPE_CHECKING:
    from reactorhub.config import HubConfig
    from reactorhub.model import Schedule

DEFAULT_FILE = "schedule.yaml"
MOST_TICKS = 1000

config_option = click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path),
    envvar="REACTORHUB_CONFIG",
    default=DEFAULT_FILE,
    show_default="$REACTORHUB_CONFIG, else schedule.yaml",
    help="The schedule file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reactorhub", message="%(prog)s %(version)s")
def main() -> None:
    """Looks at a schedule file: is it right, and what will run when? `twistd reactorhub` runs it."""


# -- check


@main.command()
@click.argument("named", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@config_option
@json_option
@click.option("--strict", is_flag=True, help="Warnings make the exit status 1, too.")
@click.option("--spiders/--no-spiders", default=True, help="Whether to import the projects' spiders.")
def check(named: Path | None, file: Path, as_json: bool, strict: bool, spiders: bool) -> None:
    """Print every mistake in FILE and what is doubtful about it; exit with 1 if there are mistakes."""
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
        _print_json({"file": str(named or file), "schedules": count, **found})
    else:
        _print_findings(mistakes, warnings, count)
    sys.exit(1 if mistakes or (strict and warnings) else 0)


def read(file: Path) -> HubConfig:
    """Read a schedule file with the checks that the hub makes when it starts.

    :raises ConfigError: with all that is wrong with it.
    """
    from reactorhub.startup import read_config

    return read_config(file, {}, os.environ)


def _print_findings(mistakes: Iterable[Mistake], warnings: list[Mistake], count: int) -> None:
    for mistake in mistakes:
        click.echo(str(mistake))
    for warning in warnings:
        click.echo(str(replace(warning, message=f"warning: {warning.message}")))
    if not mistakes:
        also = f", {_many(len(warnings), 'warning')}" if warnings else ""
        click.echo(f"{_many(count, 'schedule')}, no mistakes{also}")


def _warnings(config: HubConfig, now: datetime, spiders: bool) -> Iterator[Mistake]:
    from reactorhub.forecast import crowded, never_firing

    yield from never_firing(config, now)
    yield from crowded(config, now)
    if spiders:
        yield from _spider_warnings(config)


def _spider_warnings(config: HubConfig) -> Iterator[Mistake]:
    """Import the projects as the hub does; what they print does not get between our own lines."""
    from reactorhub.adapters.scrapy_engine.project import Project

    with redirect_stdout(sys.stderr):
        projects = {name: Project(project) for name, project in config.projects.items()}
    for name, project in projects.items():
        for module in project.broken:
            message = f"module {module.module} cannot be imported ({module.error}); mend it"
            yield config.mistake(("hub", "projects", name), message)
        for warning in project.warnings:
            yield config.mistake(("hub", "projects", name), warning)
    known = {name: [spider.name for spider in project.spiders()] for name, project in projects.items()}
    for schedule in config.schedules.values():
        if schedule.spec.spider not in known[schedule.spec.project]:
            yield config.mistake(("schedules", schedule.name, "spider"), _no_spider(schedule, known))


def _no_spider(schedule: Schedule, known: dict[str, list[str]]) -> str:
    from reactorhub.config.places import suggestion

    spider, project = schedule.spec.spider, schedule.spec.project
    near = suggestion(spider, known[project]) or f"; it has {', '.join(known[project]) or 'none'}"
    return f"project {project!r} has no spider {spider!r}{near}"


# -- next


@main.command("next")
@click.argument("name", required=False)
@click.option(
    "-n", "count", type=click.IntRange(1, MOST_TICKS), default=10, show_default=True, help="How many times."
)
@click.option("--after", metavar="TIME", help="Begin after this time instead of now.")
@config_option
@json_option
def next_(name: str | None, count: int, after: str | None, file: Path, as_json: bool) -> None:
    """Print when the schedule NAME fires next, or all of them together."""
    from reactorhub.forecast import next_ticks, next_view

    config = _read_or_end(file)
    chosen = config.schedules if name is None else {name: _named(config, name)}
    since = datetime.now(UTC) if after is None else _moment(after, config.timezone)
    ticks = next_ticks(chosen.values(), since, count)
    views = [(schedule, moment, next_view(schedule, moment, config.timezone)) for moment, schedule in ticks]
    if as_json:
        whose = [{} if name else {"schedule": schedule.name} for schedule, _, _ in views]
        rows = [{**own, **view} for own, (_, _, view) in zip(whose, views, strict=True)]
        _print_json({"next": rows})
    elif views:
        _print_table([_row(*each, config.timezone) for each in views])
    else:
        click.echo(_why_never(chosen.values()), err=True)


def _read_or_end(file: Path) -> HubConfig:
    try:
        return read(file)
    except ConfigError as error:
        _end(error)


def _named(config: HubConfig, name: str) -> Schedule:
    from reactorhub.config.places import suggestion
    from reactorhub.errors import UnknownSchedule

    if name not in config.schedules:
        near = suggestion(name, config.schedules) or f"; see what there is in {config.file}"
        _end(f"reactorhub: {UnknownSchedule(name)}{near}")
    return config.schedules[name]


def _moment(text: str, timezone: str) -> datetime:
    """Read a time; one without offset is on the wall clock of the hub's time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not 1970 <= moment.year < 3000:
        example = "2027-03-28T02:00:00+01:00, or 2027-03-28 for a local time"
        raise click.BadParameter(f"{text!r} is no time; write it like {example}", param_hint="--after")
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))).astimezone(UTC)


def _row(schedule: Schedule, moment: datetime, view: dict[str, Any], timezone: str) -> tuple[str, ...]:
    from reactorhub.forecast import local_time

    local = local_time(schedule, moment, timezone)
    return (
        schedule.name,
        f"{local:%a %Y-%m-%d %H:%M:%S %Z}",
        f"{moment:%Y-%m-%d %H:%M:%SZ}",
        view["dst"] or "",
    )


def _why_never(schedules: Iterable[Schedule]) -> str:
    from reactorhub.triggers import After

    match list(schedules):
        case [one] if not one.enabled:
            return f"{one.name} does not fire: it is disabled"
        case [one] if isinstance(one.trigger, After):
            return f"{one.name} has no times of its own: it runs after {', '.join(one.trigger.upstream)}"
        case [one] if one.trigger is None:
            return f"{one.name} does not fire by itself: it has no trigger"
        case [one]:
            return f"{one.name} never fires again after that time"
    return "no schedule fires after that time"


# -- schema


@main.command()
def schema() -> None:
    """Print the JSON Schema of the schedule file, for editors."""
    from reactorhub.config.schema import schema_text

    click.echo(schema_text(), nl=False)


# -- printing


def _print_json(view: dict[str, Any]) -> None:
    click.echo(json.dumps(view, ensure_ascii=False))


def _print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows below a heading, each column as wide as its longest text."""
    table = [("SCHEDULE", "LOCAL TIME", "UTC", "DST"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _end(why: ReactorHubError | str) -> NoReturn:
    click.echo(str(why), err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
