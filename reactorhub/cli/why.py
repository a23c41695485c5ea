"""``reactorhub why``: why a schedule did not run, from the schedule file, the hub and the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from reactorhub.cli.common import (
    config_option,
    count_option,
    data_option,
    end,
    json_option,
    named,
    print_json,
    print_table,
    read,
    read_time,
)
from reactorhub.cli.data_folder import data_folder_state, ledger, limits_of
from reactorhub.config import HubConfig
from reactorhub.diagnosis.findings import Evidence, Finding, findings
from reactorhub.diagnosis.moment import Answer, explain, reading_of
from reactorhub.errors import ConfigError, LedgerError, StartError
from reactorhub.model.run import Run
from reactorhub.model.schedule import Schedule, Tick
from reactorhub.model.values import time_text
from reactorhub.policies.agenda import upcoming
from reactorhub.policies.fingerprint import fingerprint
from reactorhub.storage.sqlite.reading import LedgerSnapshot
from reactorhub.triggers.rules import After
from reactorhub.wire.views import run_view, schedule_view, tick_view

MAX_TICKS = 1000
"""How many of the newest ticks are counted. No more than these can be shown."""

HEADING = ("TIME", "OUTCOME", "RUN", "REASON")
_NEXT = 3  # how many of the coming ticks are printed


@dataclass(frozen=True, slots=True)
class _Report:
    """Everything that is printed. ``runs`` holds the runs of the ``shown`` ticks, by id."""

    evidence: Evidence
    findings: Sequence[Finding]
    shown: Sequence[Tick]
    runs: Mapping[str, Run]
    answer: Answer | None
    note: str

    @property
    def counts(self) -> Mapping[str, int]:
        outcomes = Counter(tick.outcome.value for tick in self.evidence.ticks)
        return {name: outcomes[name] for name in ("run", "skipped", "missed")}

    @property
    def next(self) -> tuple[datetime, ...]:
        if self.evidence.runs_left == 0:
            return ()
        return upcoming(self.evidence.schedule, self.evidence.now, _NEXT)


@click.command()
@click.argument("name")
@click.option("--at", metavar="TIME", help="Explain this one moment.")
@count_option(0, MAX_TICKS, "How many ticks to show.")
@data_option
@config_option
@json_option
def why(name: str, *, at: str | None, count: int, data_dir: Path | None, file: Path, as_json: bool) -> None:
    """Explain why the schedule NAME did not run, and show what became of its ticks."""
    given = None if at is None else read_time(at, "--at")
    config = _config(file)
    schedule, folder = named(config, name), data_dir or config.data_dir
    try:
        with ledger(folder) as found:
            evidence = _evidence(config, schedule, folder, found)
            report = _report(evidence, found, given, count)
    except (LedgerError, StartError) as error:
        end(f"reactorhub: {error}")
    if as_json:
        print_json(_view(report))
    elif report.answer is not None:
        _print_answer(report.answer, report)
    else:
        _print(report)


def _config(file: Path) -> HubConfig:
    try:
        return read(file)
    except ConfigError as error:
        end(f"{error}\nreactorhub: no hub starts with this file, and a running hub keeps what it read before")


def _report(evidence: Evidence, found: LedgerSnapshot | None, given: datetime | None, count: int) -> _Report:
    schedule, answer, note = evidence.schedule, None, ""
    if given is not None:
        moment, note = reading_of(given, evidence.zone)
        answer = explain(evidence, moment, found.tick(schedule.name, moment) if found else None)
    shown = evidence.ticks[:count]
    ids = {
        tick.run_id for tick in (*shown, *([answer.tick] if answer and answer.tick else ())) if tick.run_id
    }
    runs = {run.id: run for each in ids if found and (run := found.run(each))}
    return _Report(evidence, findings(evidence), shown, runs, answer, note)


def _evidence(config: HubConfig, schedule: Schedule, folder: Path, found: LedgerSnapshot | None) -> Evidence:
    name, trigger = schedule.name, schedule.trigger
    evidence = Evidence(
        schedule=schedule,
        fingerprint=fingerprint(schedule),
        folder=data_folder_state(folder),
        now=datetime.now(UTC),
        zone=(trigger and trigger.timezone) or config.timezone,
    )
    if found is None:
        return evidence
    return replace(
        evidence,
        progress=found.progress().get(name),
        ticks=found.ticks(name, MAX_TICKS),
        first=found.first_tick(name),
        last_run=found.newest_run(name),
        upstream={each: found.newest_run(each) for each in trigger.upstream}
        if isinstance(trigger, After)
        else {},
        unfinished=found.unfinished(),
        limits=limits_of(config, found),
    )


def _print(report: _Report) -> None:
    evidence = report.evidence
    trigger, hub = evidence.schedule.trigger, evidence.folder
    click.echo(f"{evidence.schedule.name}: {f'{trigger.kind} {trigger.text}' if trigger else 'no trigger'}")
    for finding in report.findings:
        click.echo(f"- {finding.text}")
    rows = [
        ("hub", f"running, pid {hub.pid}, {hub.http or 'not ready yet'}" if hub.running else "not running")
    ]
    if report.next:
        rows.append(("next", ", ".join(map(evidence.show, report.next))))
    if evidence.last_run is not None:
        rows.append(("last run", _run_text(evidence.last_run, evidence)))
    counts = ", ".join(f"{number:,} {name}" for name, number in report.counts.items())
    rows.append((f"newest {len(evidence.ticks):,} ticks", counts))
    for label, text in rows:
        click.echo(f"{label}: {text}")
    if report.shown:
        click.echo()
        print_table(HEADING, (_row(tick, report) for tick in report.shown))


def _run_text(run: Run, evidence: Evidence) -> str:
    when = run.finished_at or run.started_at or run.created_at
    reason = f": {run.reason}" if run.reason else ""
    return f"{run.id} {run.state.value} at {evidence.show(when)}{reason}"


def _row(tick: Tick, report: _Report) -> tuple[str, ...]:
    run = report.runs.get(tick.run_id or "")
    state = run.state.value if run else "no longer kept" if tick.run_id else ""
    reason = tick.reason or (run.reason if run else None) or ""
    return (report.evidence.show(tick.nominal_time), tick.outcome.value, state, reason)


def _print_answer(answer: Answer, report: _Report) -> None:
    if report.note:
        click.echo(report.note)
    evidence, tick = report.evidence, answer.tick
    click.echo(f"{evidence.schedule.name} at {evidence.show(answer.moment)}: {answer.text}")
    run = report.runs.get(tick.run_id or "") if tick else None
    if run is not None:
        click.echo(f"run: {_run_text(run, evidence)}")


def _view(report: _Report) -> dict[str, Any]:
    evidence, hub = report.evidence, report.evidence.folder
    progress = evidence.progress
    reason = None if progress is None else progress.why_paused
    last, left = evidence.last_run, evidence.runs_left
    standing = schedule_view(
        evidence.schedule, report.next, reason is not None, reason, last_run=last, runs_left=left
    )
    view = {
        "schedule": standing,
        "hub": {**asdict(hub), "written_at": time_text(hub.written_at)},
        "findings": [asdict(finding) for finding in report.findings],
        "counts": dict(report.counts),
        "ticks": [
            {**tick_view(tick), "run": run_view(run) if (run := report.runs.get(tick.run_id or "")) else None}
            for tick in report.shown
        ],
    }
    answer = report.answer
    if answer is not None:
        run = report.runs.get((answer.tick and answer.tick.run_id) or "")
        view["at"] = {
            "moment": time_text(answer.moment),
            "kind": answer.kind,
            "text": answer.text,
            "note": report.note or None,
            "tick": answer.tick and tick_view(answer.tick),
            "run": run and run_view(run),
            "before": time_text(answer.before),
            "after": time_text(answer.after),
        }
    return view
