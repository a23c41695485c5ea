"""What the commands share: options, reading the schedule file, printing, and ending with an error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Container, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from reactorhub.config import DEFAULT_FILE, HubConfig
from reactorhub.config.places import suggestion
from reactorhub.config.reading import read_config
from reactorhub.errors import ConfigError, ReactorHubError, UnknownSchedule
from reactorhub.model.schedule import Schedule
from reactorhub.triggers.durations import duration

Row = tuple[str, ...]
Command = TypeVar("Command", bound=Callable[..., Any])

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
data_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The data folder of the hub.",
    show_default="hub.data_dir, else var",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def count_option(least: int, most: int, text: str, default: int = 10) -> Callable[[Command], Command]:
    """Return the option ``-n`` of a command that prints so many of something.

    :param text: the option's help.
    """
    return click.option(
        "-n", "count", type=click.IntRange(least, most), default=default, show_default=True, help=text
    )


def read(file: Path) -> HubConfig:
    """Read a schedule file, with all checks that the hub makes at its start.

    :raises ConfigError: with every mistake in the file.
    """
    return read_config(file, {}, os.environ)


def read_or_end(file: Path) -> HubConfig:
    """Read a schedule file. If it has mistakes, print them and exit with status 1."""
    try:
        return read(file)
    except ConfigError as error:
        end(error)


def named(config: HubConfig, name: str) -> Schedule:
    """Return the schedule of this name. If there is none, say so and exit with status 1."""
    if name not in config.schedules:
        near = suggestion(name, config.schedules) or f"; look into {config.file} for the names"
        end(f"reactorhub: {UnknownSchedule(name)}{near}")
    return config.schedules[name]


def read_time(text: str, option: str) -> datetime:
    """Read a time, with or without an offset.

    :raises click.BadParameter: if ``text`` is not a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not 1970 <= moment.year < 3000:
        example = "2027-03-28T02:00:00+01:00, or 2027-03-28 for a local time"
        raise click.BadParameter(f"{text!r} is not a time; write it like {example}", param_hint=option)
    return moment


def read_span(text: str, option: str) -> timedelta:
    """Read a duration.

    :raises click.BadParameter: if ``text`` is not a duration.
    """
    try:
        return duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def print_json(view: dict[str, Any]) -> None:
    """Print ``view`` as one line of JSON."""
    click.echo(json.dumps(view, ensure_ascii=False))


def print_table(heading: Row, rows: Iterable[Row], right: Container[str] = ()) -> None:
    """Print rows below a heading. Each column is as wide as its longest text.

    :param right: the headings of columns that hold numbers; these align on the right.
    """
    table = [heading, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = zip(row, heading, widths, strict=True)
        texts = (text.rjust(width) if name in right else text.ljust(width) for text, name, width in cells)
        click.echo("  ".join(texts).rstrip())


def many(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def end(why: ReactorHubError | str) -> NoReturn:
    """Print the reason on stderr, and exit with status 1."""
    click.echo(str(why), err=True)
    sys.exit(1)
