"""``reactorhub next``: when schedules fire next, according to the schedule file alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from reactorhub.cli.common import (
    config_option,
    count_option,
    json_option,
    named,
    print_json,
    print_table,
    read_or_end,
    read_time,
)
from reactorhub.forecast.upcoming import next_ticks, next_view
from reactorhub.model.schedule import Schedule
from reactorhub.triggers.rules import After
from reactorhub.triggers.wall_clock import local_text

MAX_TICKS = 1000
HEADING = ("SCHEDULE", "LOCAL TIME", "UTC", "DST")


@click.command("next")
@click.argument("name", required=False)
@count_option(1, MAX_TICKS, "How many ticks to print.")
@click.option("--after", metavar="TIME", help="Begin after this time instead of now.")
@config_option
@json_option
def next_(name: str | None, count: int, after: str | None, file: Path, as_json: bool) -> None:
    """Print when the schedule NAME fires next, or when all schedules do."""
    config = read_or_end(file)
    chosen = config.schedules if name is None else {name: named(config, name)}
    since = datetime.now(UTC) if after is None else _since(after, config.timezone)
    ticks = next_ticks(chosen.values(), since, count)
    views = [(schedule, moment, next_view(schedule, moment, config.timezone)) for moment, schedule in ticks]
    if as_json:
        whose = [{} if name else {"schedule": schedule.name} for schedule, _, _ in views]
        rows = [{**own, **view} for own, (_, _, view) in zip(whose, views, strict=True)]
        print_json({"next": rows})
    elif views:
        print_table(HEADING, [_row(*each, config.timezone) for each in views])
    else:
        click.echo(_why_never(chosen.values()), err=True)


def _since(text: str, timezone: str) -> datetime:
    """Read a time. Without an offset it is local time in the hub's time zone."""
    moment = read_time(text, "--after")
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))).astimezone(UTC)


def _row(schedule: Schedule, moment: datetime, view: dict[str, Any], timezone: str) -> tuple[str, ...]:
    where = (schedule.trigger and schedule.trigger.timezone) or timezone
    return (
        schedule.name,
        local_text(moment, where),
        f"{moment:%Y-%m-%d %H:%M:%SZ}",
        view["dst"] or "",
    )


def _why_never(schedules: Iterable[Schedule]) -> str:
    match list(schedules):
        case [one] if not one.enabled:
            return f"{one.name} does not fire: it is disabled"
        case [one] if isinstance(one.trigger, After):
            return f"{one.name} has no times of its own: it runs after {', '.join(one.trigger.upstream)}"
        case [one] if one.trigger is None:
            return f"{one.name} does not fire on its own: it has no trigger"
        case [one]:
            return f"{one.name} never runs again after that time"
    return "no schedule fires after that time"
