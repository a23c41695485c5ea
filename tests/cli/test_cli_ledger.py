"""The commands that look into a ledger: what they print with a hub, without one, and before the first."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reactorhub.cli import main
from reactorhub.config import load
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick, TickOutcome
from reactorhub.policies.fingerprint import fingerprint
from reactorhub.storage.sqlite import sql
from reactorhub.storage.sqlite.file import SqliteFile

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)
LAST = NOW.replace(minute=0, second=0, microsecond=0)
TEXT = """
hub: {timezone: Europe/Berlin, max_concurrent_runs: 2, queues: {heavy: 1}}
defaults: {spider: books}
schedules:
  hourly: {interval: 1h}
  often: {interval: 10m, timeout: 2h}
  heavy: {interval: 1h, queue: heavy}
  other: {interval: 1h, queue: heavy}
  follower: {after: hourly}
  hand: {}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to be in, with a schedule file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REACTORHUB_CONFIG", raising=False)
    (tmp_path / "schedule.yaml").write_text(TEXT, "utf-8")
    return tmp_path


def run(*words: str) -> Result:
    """Give a command."""
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def told(*words: str) -> dict[str, Any]:
    """Give a command that prints JSON, and return that."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def ended(
    number: int, schedule: str, minutes: float, state: RunState = RunState.SUCCEEDED, **facts: Any
) -> Run:
    """A run that took so long."""
    spec = RunSpec(spider="books", project="default", schedule=schedule)
    begun = LAST - HOUR
    facts = {"started_at": begun, "finished_at": begun + minutes * HOUR / 60} | facts
    return Run(id=f"run-{number}", spec=spec, created_at=begun, state=state, **facts)


@contextmanager
def ledger(folder: Path) -> Iterator[Callable[..., None]]:
    """A ledger to write into, below the folder."""
    (folder / "var").mkdir(exist_ok=True)
    file = SqliteFile(folder / "var" / "hub.db", 1.0, 1)
    file.open()

    def write(change: Callable[..., Any], *args: Any) -> None:
        (result,) = file.commit([lambda db: change(db, *args)])
        assert not isinstance(result, Exception), result

    yield write
    file.close()


@contextmanager
def hub(folder: Path) -> Iterator[None]:
    """A hub that has the data folder, as far as its lock and its ready file tell."""
    descriptor = os.open(folder / "var" / "lock", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"4711\n")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (folder / "var" / "ready.json").write_text('{"pid": 4711, "http": "http://127.0.0.1:6800"}')
    yield
    os.close(descriptor)


def mark(name: str, **facts: Any) -> ScheduleProgress:
    """What the ledger remembers of a schedule of this file, accounted for up to the last full hour."""
    schedule = load(Path("schedule.yaml"), {}, "test").schedules[name]
    known = {"name": name, "fingerprint": fingerprint(schedule), "accounted_until": LAST} | facts
    return ScheduleProgress(**known)


# -- plan


def test_without_a_ledger_all_durations_are_assumed(folder: Path) -> None:
    """A file that no hub has run yet is forecast from what is assumed; that is said, and nothing created."""
    view = told("plan", "--next", "3h", "--assume", "5m")
    assert view["assumed"] == ["hourly", "often", "heavy", "other", "follower"]
    assert (view["slots"], view["queues"], len(view["hours"])) == (2, {"default": 2, "heavy": 1}, 4)
    text = run("plan", "--next", "3h", "--assume", "5m").stdout
    assert f"note: no hub has used {folder / 'var'} yet" in text
    assert (
        "note: these have no past run, and are assumed to take 5m: hourly, often, heavy, other, follower\n"
        in text
    )
    assert {file.name for file in folder.iterdir()} == {"schedule.yaml"}


def test_the_forecast_is_an_aligned_table() -> None:
    """Each hour of the hub's zone has its line, numbers stand at the right, and too few slots are marked."""
    heading, first, *_ = run("plan", "--next", "90m").stdout.splitlines()
    assert heading.split() == ["HOUR", "STARTS", "IN", "USE", "PEAK", "SLOTS"]
    assert " CET " in first or " CEST " in first
    assert len(first.split("too few: ")[0].rstrip()) <= len(heading)


def test_pile_ups_are_sentences() -> None:
    """A pile-up says when, how many want how many slots, how long the last waits, and who it is."""
    lines = run("plan", "--next", "2h", "--assume", "5m").stdout.splitlines()
    (pile,) = [line for line in lines if "queues.heavy" in line and line.startswith("pile-up: 2 runs")]
    assert " (and 1 more time), but queues.heavy is 1;" in pile
    assert pile.endswith("but queues.heavy is 1; the last one waits 5m: heavy, other")


def test_past_runs_decide_how_long_a_run_takes(folder: Path) -> None:
    """Durations come from the ledger; a schedule whose runs outlast its ticks is warned of."""
    with ledger(folder) as write:
        write(sql.add_run, ended(1, "often", 25))
        write(sql.add_run, ended(2, "often", 500, RunState.FAILED))
    assert (
        told("plan")["skips"] == [{"schedule": "often", "skipped": 95, "ticks": 143}] or told("plan")["skips"]
    )
    assert "warning: often would skip " in run("plan").stdout
    assert "often" not in told("plan")["assumed"]


def test_the_worst_skips_are_told_and_the_others_counted(folder: Path) -> None:
    """Ten schedules have a line each, most skips first; the rest is one line, and JSON has all."""
    lines = (f"  s{every}: {{spider: books, interval: {every}m, timeout: 1h}}\n" for every in range(1, 14))
    (folder / "schedule.yaml").write_text(f"hub: {{max_concurrent_runs: 20}}\nschedules:\n{''.join(lines)}")
    text = run("plan", "--next", "3h", "--assume", "30m").stdout
    warnings = [line for line in text.splitlines() if line.startswith("warning: ")]
    assert [line.split()[1] for line in warnings[:-1]] == [f"s{every}" for every in range(1, 11)]
    skips = told("plan", "--next", "3h", "--assume", "30m")["skips"]
    assert len(skips) == 13
    assert warnings[-1].startswith("warning: and 3 more schedules would skip ")


def test_who_is_paused_is_left_out_and_named(folder: Path) -> None:
    """A pause that the ledger keeps takes a schedule out of the forecast, with its reason."""
    with ledger(folder) as write:
        write(sql.set_progress, [mark("often", paused=True, paused_reason="too slow")], [])
    assert "note: often is left out because it is paused: too slow" in run("plan").stdout
    view = told("plan", "--next", "1h")
    assert view["paused"] == {"often": "too slow"} and "often" not in view["assumed"]


def test_runs_that_are_left_bound_the_forecast(folder: Path) -> None:
    """A schedule that may run so often is forecast for the runs it has left; one that was edited has all."""
    Path("schedule.yaml").write_text(
        "defaults: {spider: s, max_runs: 3}\nschedules:\n  a: {interval: 1h}\n  b: {interval: 1h}\n"
    )
    with ledger(folder) as write:
        write(sql.set_progress, [mark("a", runs=2), mark("b", runs=2, fingerprint="older")], [])
    assert sum(hour["starts"] for hour in told("plan")["hours"]) == 1 + 3


def test_limits_are_those_in_force(folder: Path) -> None:
    """What an operator has set at run time wins over the file, as it does in the hub."""
    with ledger(folder) as write:
        write(sql.set_override, "limits", {"max_concurrent_runs": 7, "queues": {"heavy": 3}})
    view = told("plan", "--next", "1h")
    assert (view["slots"], view["queues"]) == (7, {"default": 7, "heavy": 3})


def test_only_the_runs_of_a_living_hub_hold_slots(folder: Path) -> None:
    """Runs that go on count while a hub has the folder; what a dead one left behind holds nothing."""
    Path("schedule.yaml").write_text("schedules:\n  hourly: {spider: books}\n", "utf-8")
    with ledger(folder) as write:
        write(sql.add_run, ended(1, "hourly", 300))
        going = ended(2, "hourly", 0, RunState.RUNNING, started_at=NOW - HOUR, finished_at=None)
        write(sql.add_run, going)
    assert told("plan", "--next", "1m")["hours"][0]["in_use"] == 0
    with hub(folder):
        assert told("plan", "--next", "1m")["hours"][0]["in_use"] >= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--next", "32d"), "a forecast covers at most 31d"),
        (("--next", "7"), "write a unit after '7'"),
        (("--assume", "long"), "'long' is not a duration"),
    ],
)
def test_bad_spans_are_refused(words: tuple[str, str], message: str) -> None:
    """A text that is not a duration, or a duration that is too long, ends with the status of a wrong use."""
    result = run("plan", *words)
    assert result.exit_code == 2 and message in result.stderr


def test_a_ledger_that_cannot_be_read_is_said(folder: Path) -> None:
    """A file that is not a ledger ends both commands with 1 and a sentence."""
    (folder / "var").mkdir()
    (folder / "var" / "hub.db").write_text("no database" * 100)
    for words in (("plan",), ("why", "hourly")):
        result = run(*words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("reactorhub: the ledger ") and "move the file away" in result.stderr


# -- why


def tick(hours: int, outcome: TickOutcome, reason: str | None = None, run_id: str | None = None) -> Tick:
    """A tick of the hourly schedule, so many hours before the last full one."""
    moment = LAST - hours * HOUR
    return Tick(
        schedule="hourly",
        nominal_time=moment,
        outcome=outcome,
        reason=reason,
        run_id=run_id,
        recorded_at=moment,
    )


@pytest.fixture
def history(folder: Path) -> Iterator[None]:
    """A ledger with three ticks of the hourly schedule, the newest skipped."""
    with ledger(folder) as write:
        write(
            sql.set_progress, [mark("hourly", accounted_until=NOW + 2 * HOUR)], []
        )  # so that nothing is owed
        run_ = replace(ended(1, "hourly", 5, RunState.FAILED), reason="no items")
        write(sql.record_tick, tick(2, TickOutcome.RUN, run_id="run-1"), run_)
        write(sql.record_tick, tick(1, TickOutcome.MISSED, "the hub was not running"), None)
        write(sql.record_tick, tick(0, TickOutcome.SKIPPED, "overlap is skip"), None)
        yield


@pytest.mark.usefixtures("history")
def test_one_look_says_all(folder: Path) -> None:
    """The obstacles, the hub, the next time, the last run, and the newest ticks with how their runs ended."""
    with hub(folder):
        lines = run("why", "hourly", "-n", "3").stdout.splitlines()
    assert lines[0] == "hourly: interval 1h"
    assert lines[1].startswith("- its newest tick, ") and lines[1].endswith(" was skipped: overlap is skip")
    assert lines[2].endswith("failed: no items")
    assert lines[3] == "hub: running, pid 4711, http://127.0.0.1:6800"
    assert lines[4].startswith("next: ") and lines[5].startswith("last run: run-1 failed at ")
    assert lines[6] == "newest 3 ticks: 1 run, 1 skipped, 1 missed"
    assert [line.split()[4:] for line in lines[9:]] == [
        ["skipped", "overlap", "is", "skip"],
        ["missed", "the", "hub", "was", "not", "running"],
        ["run", "failed", "no", "items"],
    ]


@pytest.mark.usefixtures("history")
def test_no_hub_is_the_first_answer() -> None:
    """Without a hub that comes first, and since when its ledger has been silent."""
    view = told("why", "hourly", "-n", "1")
    assert [each["kind"] for each in view["findings"]] == ["no_hub", "last_skipped", "last_failed"]
    assert (view["hub"]["running"], view["hub"]["pid"]) == (False, None) and view["hub"]["written_at"]
    assert len(view["ticks"]) == 1 and view["counts"] == {"run": 1, "skipped": 1, "missed": 1}
    assert view["schedule"]["last_run"]["id"] == "run-1"


@pytest.mark.usefixtures("history")
def test_one_moment_is_explained() -> None:
    """--at has the row and the run of that moment, or why there is none, in JSON as well."""
    at = (LAST - 2 * HOUR).isoformat()
    lines = run("why", "hourly", "--at", at).stdout.splitlines()
    assert lines[0].startswith("hourly at ") and ": it was run, as run run-1; recorded at " in lines[0]
    assert lines[1].startswith("run: run-1 failed at ")
    view = told("why", "hourly", "--at", at)["at"]
    assert (view["kind"], view["tick"]["run_id"], view["run"]["state"]) == ("run", "run-1", "failed")
    odd = told("why", "hourly", "--at", (LAST - HOUR / 2).isoformat())["at"]
    assert (odd["kind"], odd["tick"], odd["note"]) == ("not_a_time", None, None)
    assert odd["before"] < odd["moment"] < odd["after"]


def test_before_the_first_start_all_is_said() -> None:
    """Without any ledger there are no ticks, and the next steps are named."""
    view = told("why", "hourly")
    assert [each["kind"] for each in view["findings"]] == ["no_hub", "not_taken_up"]
    assert (view["ticks"], view["hub"]["written_at"]) == ([], None)
    assert run("why", "hand").stdout.startswith("hand: no trigger\n")
    assert "it runs when a run of hourly ends as succeeded" in run("why", "follower").stdout


def test_a_local_time_is_that_of_the_schedule() -> None:
    """A time in a gap is remarked, and explained as the gap's end."""
    Path("schedule.yaml").write_text(
        "schedules:\n  a: {spider: s, cron: '30 2 * * *', timezone: Europe/Berlin}\n", "utf-8"
    )
    note, answer = run("why", "a", "--at", "2027-03-28T02:30").stdout.splitlines()
    assert note == "02:30:00 does not exist that day in Europe/Berlin; it stands for the end of the gap"
    assert answer == "a at Sun 2027-03-28 03:00:00 CEST: this is in the future"


def test_unknown_names_and_broken_files_end_as_with_next() -> None:
    """A name that the file does not have, a time that is none, and mistakes in the file: the known words."""
    result = run("why", "horly")
    assert (result.exit_code, result.stdout) == (1, "") and "did you mean 'hourly'?" in result.stderr
    assert run("why", "hourly", "--at", "soon").exit_code == 2
    Path("schedule.yaml").write_text("hub: 7\n")
    result = run("why", "hourly")
    assert (result.exit_code, result.stdout) == (1, "") and result.stderr.startswith("schedule.yaml:1:6: hub")
    assert "no hub starts with this file" in result.stderr


@pytest.mark.usefixtures("history")
def test_another_data_folder_may_be_named(folder: Path) -> None:
    """--data-dir looks where the hub was told to be."""
    (folder / "var").rename(folder / "elsewhere")
    assert told("why", "hourly")["ticks"] == []
    assert len(told("why", "hourly", "--data-dir", "elsewhere")["ticks"]) == 3
