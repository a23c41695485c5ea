"""A report as the Markdown that the README quotes, and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.fairness import Fairness
from bench.feed import Feed
from bench.figures import Contest, History, Part, Report, Target, history_targets, percentile, ratio, targets
from bench.timetable import Timetable

_NOTES = """\
The site runs on the same machine, in a process of its own. The ways were measured in turns, each with
{at_once} crawls at once. The figures are medians of the rounds. CPU is the user and system time of all
processes that a way starts, without the site and the client that submits. Memory is the highest sum of PSS
over these processes. For the time to the first request, crawls were submitted one by one, so that none
waited for a slot. The hub wrote its ledger, logs, items and Redis; the other ways wrote only logs."""


def markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    parts = [_short(report), _notes(report), _targets(targets(report))]
    if report.long:
        parts.insert(1, _long(report))
    if report.timetable is not None:
        parts.insert(-2, _timetable(report.timetable))
    if report.fairness is not None:
        parts.insert(-2, _fairness(report.fairness))
    if report.feed is not None:
        parts.insert(-2, _feed(report.feed))
    if report.redis:
        parts.insert(-2, _redis(report.redis))
    if report.history is not None:
        parts.insert(-2, history_table(report.history))
    return "\n\n".join(parts) + "\n"


def timetable_markdown(timetable: Timetable) -> str:
    """Return what was found of a hub with thousands of schedules as Markdown, by itself."""
    return "\n\n".join((_timetable(timetable), _targets(timetable.targets()))) + "\n"


def fairness_markdown(fairness: Fairness) -> str:
    """Return how crawls share one process as Markdown, by itself."""
    return "\n\n".join((_fairness(fairness), _targets(fairness.targets()))) + "\n"


def feed_markdown(feed: Feed) -> str:
    """Return what feeding spiders from Redis costs as Markdown, by itself."""
    return "\n\n".join((_feed(feed), _targets(feed.targets()))) + "\n"


def isolation_markdown(judged: Iterable[Target], short: Mapping[str, Contest]) -> str:
    """Return what a process of its own costs as Markdown, by itself."""
    return "\n\n".join((_contests(short), _targets(judged))) + "\n"


def as_json(report: Report) -> dict[str, Any]:
    """Return everything that was measured, round by round, with the targets."""
    judged = [{**asdict(target), "reached": target.reached} for target in targets(report)]
    return {**asdict(report), "targets": judged}


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column reads from the left, figures align on the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(value: float) -> str:
    """Write a figure with as many digits as it deserves: ``0.083``, ``1.12``, ``14.6``, ``1,312``."""
    for limit, digits in ((0.2, 3), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def _short(report: Report) -> str:
    return _contests(report.short)


def _contests(short: Mapping[str, Contest]) -> str:
    head = (
        "one-page crawls",
        "runs",
        "runs/min",
        "CPU ms/run",
        "peak MB",
        "to first request p50 / p99 ms",
        "of",
    )
    return rows(head, [_row(contest) for contest in short.values()])


def _row(contest: Contest) -> list[str]:
    numbers = (contest.runs_per_minute, contest.cpu_ms, contest.peak_mb)
    return [
        contest.name,
        f"{len(contest.rounds)} x {contest.runs}",
        *map(figure, numbers),
        f"{figure(contest.delay_ms(50))} / {figure(contest.delay_ms(99))}" if contest.delays else "",
        str(len(contest.delays)),
    ]


def _long(report: Report) -> str:
    bare = report.long["bare"]
    head = ("a long crawl (500 books)", "rounds", "CPU ms", "against bare")
    body = [
        [contest.name, str(len(contest.rounds)), figure(contest.cpu_ms), f"{ratio(contest, bare):.2f} x"]
        for contest in report.long.values()
    ]
    return rows(head, body)


def _timetable(timetable: Timetable) -> str:
    body = [[what, f"{figure(value)} {unit}"] for what, value, unit in timetable.rows()]
    return rows((f"{timetable.schedules:,} schedules", "measured"), body)


def redis_markdown(parts: Sequence[Part]) -> str:
    """Return what was measured with Redis, by itself, with its targets."""
    return "\n\n".join((_redis(parts), _targets(each for part in parts for each in part.targets()))) + "\n"


def _redis(parts: Sequence[Part]) -> str:
    return rows(("Redis", "measured"), [row for part in parts for row in part.rows()])


def _fairness(fairness: Fairness) -> str:
    return rows(("crawls that share the reactor", "measured"), fairness.rows())


def _feed(feed: Feed) -> str:
    head = (
        "spiders fed by Redis",
        "URLs/s",
        "push to request, ms: p50",
        "p99",
        "CPU µs per URL",
        "of them for the feed",
    )
    return rows(head, feed.rows())


def history_markdown(history: History) -> str:
    """Return what a long history costs, by itself, with its targets."""
    return "\n\n".join((history_table(history), _targets(history_targets(history)))) + "\n"


def history_table(history: History) -> str:
    """Return what a long history costs: ledger calls, crawls, and what a step of pruning takes."""
    head = ("ms, median", f"{history.few:,} runs and ticks", f"{history.many:,} runs and ticks")
    pages = [call for call in history.calls if call.name.startswith("runs")]
    slowest = max(pages, key=lambda call: call.ms[1])
    shown = [call for call in history.calls if call not in pages]
    body = [[call.name, *map(figure, call.ms)] for call in shown]
    title = f"a page of runs: the slowest of {len(pages)} filters ({slowest.name})"
    body.append([title, *map(figure, slowest.ms)])
    delays = {name: _both(seconds) for name, seconds in history.delays.items()}
    body.append(["from submit to first request: median / p99", delays["few"], delays["many"]])
    body.append(["the same while old rows are removed", "", delays["pruned"]])
    body.append(["a step that removes old rows: median / p99", "", _both(history.prune)])
    return rows(head, body)


def _both(seconds: Sequence[float]) -> str:
    return " / ".join(figure(percentile(seconds, percent) * 1000) for percent in (50, 99))


def _targets(judged: Iterable[Target]) -> str:
    body = [[each.text, _value(each), _limit(each), "pass" if each.reached else "FAIL"] for each in judged]
    return rows(("target", "measured", "wanted", ""), body)


def _value(target: Target) -> str:
    return f"{figure(target.value)}{target.unit}"


def _limit(target: Target) -> str:
    return f"{'≤' if target.at_most else '≥'} {target.limit:g}{target.unit}"


def _notes(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; {versions}; {report.date}."
    )
    return "\n\n".join((_NOTES.format(at_once=report.at_once) + _disk(report.fsyncs), where))


def _disk(fsyncs: Sequence[float]) -> str:
    if not fsyncs:
        return ""
    middle, worst = (figure(percentile(fsyncs, percent) * 1000) for percent in (50, 99))
    return (
        f"\nMeanwhile an fsync took {middle} ms (p50) and {worst} ms (p99). A run starts after two of them."
    )
