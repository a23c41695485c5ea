"""``python -m bench``: measures all contenders in turns, prints the table and writes it beside this file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.contenders import Bare, Contender, Fresh, Hub, Isolated, Scrapyd, Shop
from bench.errors import BenchError
from bench.fairness import Fairness, FairnessBench
from bench.feed import Feed, FeedBench
from bench.figures import Contest, History, Part, Report, Round, Target, isolation_targets
from bench.history import measure
from bench.measure import Meter, fsync_seconds
from bench.procfs import PROC, machine
from bench.punctuality import Punctuality, Scale
from bench.redis_stats import StatsBench
from bench.table import (
    as_json,
    fairness_markdown,
    feed_markdown,
    history_markdown,
    isolation_markdown,
    markdown,
    redis_markdown,
    timetable_markdown,
)
from bench.timetable import Timetable
from reactorhub.redis.embedded import server_binary

HERE = Path(__file__).parent
AT_ONCE = 16
WARM_UP = 32  # crawls before anything is measured: imports and caches are paid once in a process that stays


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    runs: int
    rounds: int
    process_runs: int
    process_rounds: int
    long_rounds: int
    delays: int
    process_delays: int
    past: int


@dataclass(slots=True)
class Findings:
    """What has been measured of one contender so far."""

    title: str
    short: list[Round] = field(default_factory=list)
    long: list[Round] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


class Bench:
    """One bench: ``findings`` by contender, ``fsyncs`` in seconds."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """:param folder: an empty one, for everything that is written."""
        kinds: dict[str, type[Contender]] = {
            "bare": Bare,
            "hub": Hub,
            "isolated": Isolated,
            "scrapyd": Scrapyd,
            "fresh": Fresh,
        }
        self.findings = {name: Findings(kind.title) for name, kind in kinds.items()}
        self.fsyncs: list[float] = []
        self.history: History | None = None
        self.timetable: Timetable | None = None
        self.fairness: Fairness | None = None
        self.feed: Feed | None = None
        self.redis: list[Part] = []
        self._plan = plan
        self._folder = folder

    def run(self) -> None:
        """Measure everything. What stays a process stays one for all rounds; the others start for each."""
        with ExitStack() as programs:
            meter = Meter(programs.enter_context(Shop(self._folder / "shop")))
            bare = programs.enter_context(Bare(self._project("bare"), AT_ONCE))
            hub = programs.enter_context(Hub(self._project("hub"), self._folder / "hub-data", AT_ONCE))
            staying: dict[str, Contender] = {"bare": bare, "hub": hub}
            for contender in staying.values():
                meter.load(contender, "one", WARM_UP)
                meter.load(contender, "shelf", 1)
            for number in range(self._plan.rounds):
                self._loads(meter, _turns(staying, number))
                if number < self._plan.process_rounds:
                    self._processes(meter, number)
            for number in range(self._plan.long_rounds):
                for name, contender in _turns(staying, number):
                    self._found(name, "long", meter.load(contender, "shelf", 1))
            self._delays("bare", meter, bare, self._plan.delays)
            for _ in range(self._plan.delays):
                self._delays("hub", meter, hub, 1)
                self.fsyncs.append(fsync_seconds(self._folder / "fsync"))
            self._isolated(meter)
            self.history = self._history(meter)
        self.timetable = self.run_schedules()
        self.fairness = self.run_fairness()
        self.feed = self.run_feed()
        self.redis = self.run_redis()

    def part(self, name: str) -> str:
        """Measure only one part; return it as Markdown."""
        parts: dict[str, Callable[[], str]] = {
            "history": lambda: history_markdown(self.run_history()),
            "schedules": lambda: timetable_markdown(self.run_schedules()),
            "fairness": lambda: fairness_markdown(self.run_fairness()),
            "feed": lambda: feed_markdown(self.run_feed()),
            "redis": lambda: redis_markdown(self.run_redis()),
            "isolation": lambda: isolation_markdown(self.run_isolation(), contests(self.findings)),
        }
        return parts[name]()

    def run_isolation(self) -> list[Target]:
        """Measure only what a process of its own costs, beside scrapyd and a fresh process for each crawl."""
        with Shop(self._folder / "shop") as shop:
            meter = Meter(shop)
            self._isolated(meter)
            for number in range(self._plan.process_rounds):
                self._processes(meter, number)
        return isolation_targets(contests(self.findings))

    def run_history(self) -> History:
        """Measure only what a long history costs."""
        with Shop(self._folder / "shop") as shop:
            return self._history(Meter(shop))

    def run_schedules(self) -> Timetable:
        """Measure only a hub with thousands of schedules; the other ways have none."""
        return Punctuality(Scale(), self._project("scheduled"), self._folder / "schedules", _say).measure()

    def run_fairness(self) -> Fairness:
        """Measure only how crawls in the hub's own process share it."""
        return FairnessBench(self._project, self._folder, _say).measure()

    def run_feed(self) -> Feed:
        """Measure only spiders that Redis feeds, beside those of scrapy-redis."""
        return FeedBench(self._folder, _say).measure()

    def run_redis(self) -> list[Part]:
        """Measure only what is done with Redis."""
        return [StatsBench(self._project, self._folder, _say).measure()]

    def _history(self, meter: Meter) -> History:
        _say(f"a past of {self._plan.past:,} runs and ticks")
        (folder := self._folder / "history").mkdir()
        return measure(meter, self._project("past"), folder, self._plan.past, self._plan.delays // 2)

    def _isolated(self, meter: Meter) -> None:
        with Isolated(self._project("isolated"), self._folder / "isolated-data", AT_ONCE) as hub:
            meter.load(hub, "one", WARM_UP)
            for _ in range(self._plan.rounds):
                self._found("isolated", "short", meter.load(hub, "one", self._plan.process_runs))
            self._delays("isolated", meter, hub, self._plan.delays)

    def _loads(self, meter: Meter, turns: Sequence[tuple[str, Contender]]) -> None:
        for name, contender in turns:
            self._found(name, "short", meter.load(contender, "one", self._plan.runs))

    def _processes(self, meter: Meter, number: int) -> None:
        kinds: dict[str, type[Scrapyd | Fresh]] = {"scrapyd": Scrapyd, "fresh": Fresh}
        for name, kind in kinds.items():
            with kind(self._project(f"{name}-{number}"), AT_ONCE) as contender:
                meter.load(contender, "one", 1)
                self._found(name, "short", meter.load(contender, "one", self._plan.process_runs))
                if number == 0:
                    self._delays(name, meter, contender, self._plan.process_delays)

    def _delays(self, name: str, meter: Meter, contender: Contender, crawls: int) -> None:
        self.findings[name].delays += meter.delays(contender, crawls)

    def _found(self, name: str, what: str, found: Round) -> None:
        getattr(self.findings[name], what).append(found)
        title = self.findings[name].title
        _say(f"{title}, {what}: {found.runs} in {found.wall:.1f} s, {found.cpu_ms:.1f} ms CPU each")

    def _project(self, name: str) -> Path:
        """Return a copy of the project: nothing is written into the original, not even bytecode."""
        copied = shutil.ignore_patterns("__pycache__")
        return Path(shutil.copytree(HERE / "project", self._folder / name, ignore=copied))


def _turns(staying: dict[str, Contender], number: int) -> list[tuple[str, Contender]]:
    """Return the contenders so that each comes first in every other round."""
    turns = list(staying.items())
    return turns[::-1] if number % 2 else turns


def contests(findings: dict[str, Findings]) -> dict[str, Contest]:
    """Return what was found of one-page crawls, of those that were measured."""
    return {
        name: Contest(name=each.title, rounds=each.short, delays=each.delays)
        for name, each in findings.items()
        if each.short
    }


def report(bench: Bench) -> Report:
    """Return what was found, with where and when."""
    findings = bench.findings
    return Report(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=machine((PROC / "cpuinfo").read_text(), os.cpu_count() or 1, platform.release()),
        versions=_versions(),
        at_once=AT_ONCE,
        short=contests(findings),
        long={
            name: Contest(name=each.title, rounds=each.long) for name, each in findings.items() if each.long
        },
        fsyncs=bench.fsyncs,
        history=bench.history,
        timetable=bench.timetable,
        fairness=bench.fairness,
        feed=bench.feed,
        redis=bench.redis,
    )


def _versions() -> dict[str, str]:
    said = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    server = next(word[2:] for word in said.split() if word.startswith("v="))
    packages = {"Scrapy": "scrapy", "Twisted": "twisted", "scrapyd": "scrapyd"}
    found = {name: version(package) for name, package in packages.items()}
    return {"Python": platform.python_version(), **found, "Valkey": server}


def _plan(arguments: Sequence[str] | None) -> tuple[Plan, argparse.Namespace]:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "part",
        nargs="?",
        choices=["history", "schedules", "isolation", "fairness", "redis", "feed"],
        help="measure and print this part only",
    )
    parser.add_argument(
        "--past", type=int, default=1_000_000, help="runs in a long history (default: 1000000)"
    )
    parser.add_argument("--runs", type=int, default=300, help="one-page crawls in a round (default: 300)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of script and hub (default: 9)")
    parser.add_argument(
        "--process-runs",
        type=int,
        default=32,
        help="the same for ways with a process per crawl (default: 32)",
    )
    parser.add_argument("--full", action="store_true", help="as many crawls for those as for the others")
    parser.add_argument("--results", type=Path, default=HERE, help="folder for results.md and results.json")
    chosen = parser.parse_args(arguments)
    plan = Plan(
        runs=chosen.runs,
        rounds=chosen.rounds,
        process_runs=chosen.runs if chosen.full else chosen.process_runs,
        process_rounds=1 if chosen.full else 2,
        long_rounds=chosen.rounds,
        delays=200,
        process_delays=10,
        past=chosen.past,
    )
    return plan, chosen


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Bench, print, write; the exit status tells whether there are figures, not whether they are good."""
    plan, chosen = _plan(arguments)
    results: Path = chosen.results
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            bench = Bench(plan, Path(folder))
            if chosen.part is not None:
                print(bench.part(chosen.part))
                return 0
            bench.run()
    except BenchError as error:
        _say(f"bench: {error}")
        return 1
    found = report(bench)
    text = markdown(found)
    (results / "results.md").write_text(text)
    (results / "results.json").write_text(json.dumps(as_json(found), indent=2) + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
