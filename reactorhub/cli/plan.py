"""``reactorhub plan``: how many slots the schedules will need, by :mod:`reactorhub.forecast.demand`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from reactorhub.cli.common import (
    config_option,
    data_option,
    end,
    json_option,
    many,
    print_json,
    print_table,
    read_or_end,
    read_span,
)
from reactorhub.cli.data_folder import data_folder_state, ledger, limits_of
from reactorhub.config import HubConfig
from reactorhub.errors import LedgerError, StartError
from reactorhub.forecast.demand import MAX_SPAN, Basis, Demand, Hour, PileUp, demand
from reactorhub.model.schedule import Schedule, ScheduleProgress
from reactorhub.model.values import time_text
from reactorhub.policies.fingerprint import fingerprint
from reactorhub.storage.sqlite.reading import LedgerSnapshot
from reactorhub.triggers.durations import duration_text
from reactorhub.triggers.wall_clock import local_text

HEADING = ("HOUR", "STARTS", "IN USE", "PEAK", "SLOTS", "")
MAX_NAMES = 10
"""A line names at most this many schedules, so that it stays readable."""

MAX_SKIPS = 10
"""How many schedules with skipped ticks have a line of their own: those that would skip the most."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that is printed. ``wanted`` is the end of the time that was asked for."""

    config: HubConfig
    basis: Basis
    demand: Demand
    paused: dict[str, str]
    wanted: datetime
    no_ledger: str

    def names(self, names: tuple[str, ...]) -> str:
        rest = len(names) - MAX_NAMES
        return ", ".join(names[:MAX_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")


@click.command()
@click.option(
    "--next", "span", metavar="SPAN", default="24h", show_default=True, help="How far to look ahead."
)
@click.option(
    "--assume",
    metavar="SPAN",
    default="1m",
    show_default=True,
    help="How long the runs of a schedule take that has not succeeded yet.",
)
@data_option
@config_option
@json_option
def plan(span: str, assume: str, data_dir: Path | None, file: Path, as_json: bool) -> None:
    """Forecast, hour by hour, how many slots the schedules need and where runs pile up."""
    ahead, assumed = read_span(span, "--next"), read_span(assume, "--assume")
    if ahead > MAX_SPAN:
        raise click.BadParameter(f"a forecast covers at most {MAX_SPAN.days}d", param_hint="--next")
    found = _planned(read_or_end(file), data_dir, ahead, assumed)
    if as_json:
        print_json(_view(found))
    else:
        _print(found)


def _planned(config: HubConfig, data_dir: Path | None, ahead: timedelta, assume: timedelta) -> _Plan:
    folder, now = data_dir or config.data_dir, datetime.now(UTC)
    try:
        with ledger(folder) as found:
            basis, paused = _basis(config, found, assume, running=data_folder_state(folder).running)
    except (LedgerError, StartError) as error:
        end(f"reactorhub: {error}")
    outlook = demand(basis, now, now + ahead, config.timezone)
    no_ledger = (
        f"no hub has used {folder} yet, so there are no past runs to learn from" if found is None else ""
    )
    return _Plan(config, basis, outlook, paused, now + ahead, no_ledger)


def _basis(
    config: HubConfig, found: LedgerSnapshot | None, assume: timedelta, *, running: bool
) -> tuple[Basis, dict[str, str]]:
    """Return what the forecast is made from, and the reason for each pause by schedule.

    If no hub is running, the runs that hold a slot in its ledger are over.
    """
    limits = limits_of(config, found)
    facts: dict[str, Any] = {"durations": {}}
    paused: dict[str, str] = {}
    if found is not None:
        progress, schedules = found.progress(), config.schedules
        paused = {
            name: why
            for name, each in progress.items()
            if name in schedules and (why := each.why_paused) is not None
        }
        facts = {
            "durations": found.durations(schedules),
            "runs": _runs(schedules.values(), progress),
            "unfinished": tuple(run for run in found.unfinished() if running or not run.state.active),
        }
    basis = Basis(
        schedules=config.schedules,
        assume=assume,
        limits=limits,
        max_waiting=config.max_queued_runs,
        paused=frozenset(paused),
        **facts,
    )
    return basis, paused


def _runs(schedules: Iterable[Schedule], progress: Mapping[str, ScheduleProgress]) -> dict[str, int]:
    """Return how often each schedule with ``max_runs`` has run. An edited trigger starts to count anew."""
    bounded = [each for each in schedules if each.max_runs is not None and each.name in progress]
    return {
        each.name: progress[each.name].runs
        for each in bounded
        if progress[each.name].fingerprint == fingerprint(each)
    }


def _print(plan: _Plan) -> None:
    zone, demand = plan.config.timezone, plan.demand
    slots = f"{plan.basis.limits.max_concurrent_runs:,}"
    print_table(HEADING, (_row(hour, slots, zone) for hour in demand.hours), right=HEADING[1:-1])
    for pile in demand.pile_ups:
        click.echo(f"pile-up: {_pile_text(pile, plan)}")
    if demand.others:
        click.echo(f"pile-up: and {demand.others:,} more of other schedules, with shorter waits")
    worst = sorted(demand.skips, key=lambda skips: -skips.skipped)
    for skips in worst[:MAX_SKIPS]:
        click.echo(f"warning: {skips.schedule} would skip {skips.skipped:,} of {many(skips.ticks, 'tick')}")
    if rest := worst[MAX_SKIPS:]:
        skipped, ticks = sum(each.skipped for each in rest), sum(each.ticks for each in rest)
        others = f"{many(len(rest), 'more schedule')} would skip {skipped:,} of {many(ticks, 'tick')}"
        click.echo(f"warning: and {others}")
    for line in _notes(plan):
        click.echo(f"note: {line}")


def _notes(plan: _Plan) -> list[str]:
    """Return what the reader has to know about how the forecast was made."""
    notes = [plan.no_ledger] if plan.no_ledger else []
    notes += [f"{name} is left out because it is paused: {reason}" for name, reason in plan.paused.items()]
    if plan.demand.assumed:
        span = _span(plan.basis.assume)
        notes.append(
            f"these have no past run, and are assumed to take {span}: {plan.names(plan.demand.assumed)}"
        )
    if plan.demand.until < plan.wanted:
        until = local_text(plan.demand.until, plan.config.timezone)
        notes.append(f"the forecast ends at {until}, because very many ticks are due")
    return notes


def _row(hour: Hour, slots: str, zone: str) -> tuple[str, ...]:
    short = "too few: " + ", ".join(hour.short) if hour.short else ""
    return (
        local_text(hour.begin, zone),
        f"{hour.starts:,}",
        f"{hour.average:,.1f}",
        f"{hour.peak:,}",
        slots,
        short,
    )


def _pile_text(pile: PileUp, plan: _Plan) -> str:
    again = f" (and {many(pile.times - 1, 'more time')})" if pile.times > 1 else ""
    when = local_text(pile.begin, plan.config.timezone)
    return (
        f"{pile.wanted:,} runs need a slot at {when}{again}, but {pile.limit} is {pile.slots:,};"
        f" the last one waits {_span(pile.longest)}: {plan.names(pile.schedules)}"
    )


def _span(span: timedelta) -> str:
    return (
        duration_text(timedelta(seconds=round(span.total_seconds())))
        if span >= timedelta(seconds=1)
        else "under 1s"
    )


def _view(plan: _Plan) -> dict[str, Any]:
    demand = plan.demand
    return {
        "until": time_text(demand.until),
        "slots": plan.basis.limits.max_concurrent_runs,
        "queues": dict(plan.basis.limits.queues),
        "hours": [
            {
                "begin": time_text(hour.begin),
                "end": time_text(hour.end),
                "starts": hour.starts,
                "in_use": round(hour.average, 3),
                "peak": hour.peak,
                "too_few": list(hour.short),
            }
            for hour in demand.hours
        ],
        "pile_ups": [
            {
                "begin": time_text(pile.begin),
                "limit": pile.limit,
                "wanted": pile.wanted,
                "slots": pile.slots,
                "longest_wait": round(pile.longest.total_seconds(), 3),
                "times": pile.times,
                "schedules": list(pile.schedules),
            }
            for pile in demand.pile_ups
        ],
        "more_pile_ups": demand.others,
        "skips": [{"schedule": s.schedule, "skipped": s.skipped, "ticks": s.ticks} for s in demand.skips],
        "paused": plan.paused,
        "assumed": list(demand.assumed),
    }
