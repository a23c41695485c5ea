"""The command line as a shell sees it: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reactorhub import __version__
from reactorhub.cli import main
from reactorhub.cli.common import read
from reactorhub.cli.next import MAX_TICKS
from reactorhub.cli.why import MAX_TICKS as MAX_COUNTED
from reactorhub.config import DEFAULT_FILE, warnings
from reactorhub.config.reading import read_config
from reactorhub.config.schema import schema_text
from reactorhub.daemon import tap
from reactorhub.forecast import demand
from reactorhub.storage.sqlite.reading import NEWEST_RUNS
from tests.docs.test_docs import first_column
from tests.support.hubs import SCHEDULES
from tests.support.web_client import Web

ROOT = Path(__file__).parents[2]
PLAIN = """
hub: {timezone: Europe/Berlin}
schedules:
  nightly: {spider: books, cron: "30 2 * * *"}
  hourly: {spider: books, cron: "@hourly", timezone: Asia/Tokyo}
  hand: {spider: books}
  idle: {spider: books, interval: 1h, enabled: false}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to be in, with no file named by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REACTORHUB_CONFIG", raising=False)
    return tmp_path


def run(*words: str) -> Result:
    """Give a command."""
    return CliRunner().invoke(main, words)


def write(text: str, name: str = "schedule.yaml") -> None:
    """Write a file into this folder."""
    Path(name).write_text(text, "utf-8")


# -- check


def test_a_good_file_is_counted() -> None:
    """A file without mistakes is one line, and status 0."""
    write(PLAIN)
    result = run("check", "--no-spiders")
    assert (result.exit_code, result.stdout) == (0, "4 schedules, no mistakes\n")


def test_every_mistake_is_a_line() -> None:
    """All mistakes are printed with file, line, column and path, in order, and the status is 1."""
    write("schedules:\n  a: {spider: s, corn: x}\n  b: {interval: 90}\n", "f.yaml")
    result = run("check", "f.yaml")
    assert result.exit_code == 1
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == [
        "f.yaml:2:18",
        "f.yaml:3:3",
        "f.yaml:3:17",
    ]
    assert "schedules.a.corn: unknown key 'corn'; did you mean 'cron'?" in result.stdout


@pytest.mark.parametrize(
    ("hub", "path"),
    [
        ("{http: 'tcp:1:interface=0.0.0.0'}", "hub.http"),
        ("{demo_site: 'tcp:1:interface=0.0.0.0'}", "hub.demo_site"),
        ("{redis: {url: 'http://x'}}", "hub.redis.url"),
        ("{projects: {p: {path: nowhere}}}", "hub.projects.p.path"),
        ("{projects: {p: {path: one, settings: stagign}}}", "hub.projects.p.settings"),
    ],
)
def test_the_checks_of_the_start_are_made(hub: str, path: str) -> None:
    """What would keep a hub from starting is a mistake here, too."""
    Path("one").mkdir()
    write(f"hub: {hub}\n")
    result = run("check", "--no-spiders")
    assert result.exit_code == 1 and f": {path}: " in result.stdout


def test_the_checks_of_the_start_come_with_the_others() -> None:
    """Mistakes of both kinds are reported together, in file order; what a variable held is not among them."""
    write(
        "hub: {http: '${NAME:-secret}', redis: {url: 'a://b'}, projects: {p: {path: '${NAME:-secret}'}}}\n"
        "schedules:\n  a: {spider: s, interval: 90}\n"
    )
    lines = run("check", "--no-spiders").stdout.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "hub.http",
        "hub.redis.url",
        "hub.projects.p.path",
        "schedules.a.interval",
    ]
    assert "there is no folder the value of ${NAME:-secret}" in lines[2]
    assert not any("secret" in line.replace("${NAME:-secret}", "") for line in lines)


@pytest.mark.parametrize(
    "hub",
    [
        "{}",
        "{http: 'tcp:1:interface=127.0.0.1', demo_site: 'tcp:2', redis: embedded}",
        "{redis: {url: 'redis://127.0.0.1:1/0'}, max_concurrent_runs: 3}",
        "{projects: {p: {path: .}, q: {path: ., spider_modules: [two]}}, name: n}",
    ],
)
def test_the_quick_way_reads_what_the_start_reads(hub: str) -> None:
    """Whether or not the checks of the start are left out, the config is the same."""
    write(f"hub: {hub}\n")
    file = Path("schedule.yaml")
    assert read(file) == read_config(file, {}, os.environ)


def test_warnings_leave_the_status_alone() -> None:
    """A warning is printed like a mistake and costs nothing; --strict makes it count."""
    write("schedules:\n  past: {spider: s, at: 2020-01-01T00:00:00}\n")
    result = run("check", "--no-spiders")
    assert result.exit_code == 0
    assert result.stdout.startswith("schedule.yaml:2:25: schedules.past.at: warning: never runs again")
    assert result.stdout.endswith("1 schedule, no mistakes, 1 warning\n")
    assert run("check", "--no-spiders", "--strict").exit_code == 1


def test_warnings_are_in_the_order_of_the_file() -> None:
    """Warnings of different kinds are sorted by their places."""
    many = "".join(f"  s{number}: {{spider: s, interval: 1h}}\n" for number in range(3))
    write(
        f"schedules:\n  past: {{spider: s, at: 2020-01-01T00:00:00}}\n{many}hub: {{max_concurrent_runs: 2}}\n"
    )
    places = [line.split(":")[1] for line in run("check", "--no-spiders").stdout.splitlines()[:-1]]
    assert places == ["2", "6"]


def test_check_as_json() -> None:
    """--json has file, count, mistakes and warnings, each with its place."""
    write("schedules:\n  past: {spider: s, at: 2020-01-01T00:00:00}\n")
    good = json.loads(run("check", "--no-spiders", "--json").stdout)
    assert (good["file"], good["schedules"], good["mistakes"]) == ("schedule.yaml", 1, [])
    (warning,) = good["warnings"]
    assert warning.keys() == {"file", "line", "column", "path", "message"}
    write("hub: 7\n")
    result = run("check", "--json")
    (mistake,) = json.loads(result.stdout)["mistakes"]
    assert (mistake["line"], mistake["column"], mistake["path"], result.exit_code) == (1, 6, "hub", 1)


def test_the_file_is_found_as_by_twistd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over --config, that over $REACTORHUB_CONFIG, that over schedule.yaml."""
    for name in "abcd":
        write("hub: 7\n", f"{name}.yaml")
    write("hub: 7\n")
    assert run("check").stdout.startswith(f"{DEFAULT_FILE}:1:6")
    monkeypatch.setenv("REACTORHUB_CONFIG", "a.yaml")
    assert run("check").stdout.startswith("a.yaml:1:6")
    assert run("check", "-c", "b.yaml").stdout.startswith("b.yaml:1:6")
    assert run("check", "c.yaml", "--config", "b.yaml").stdout.startswith("c.yaml:1:6")
    monkeypatch.setenv("REACTORHUB_CONFIG", "")
    assert run("check").stdout.startswith("schedule.yaml:1:6")
    assert tap.DEFAULT_FILE == DEFAULT_FILE


def test_a_missing_file_is_a_mistake() -> None:
    """A file that is not there is one line that says what to do."""
    result = run("check")
    assert result.exit_code == 1
    assert result.stdout == (
        "schedule.yaml:1:1: there is no such file; "
        "write one with `reactorhub init`, or name another with --config\n"
    )


def outside(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Give a command in a process of its own, since it imports projects."""
    command = [sys.executable, "-m", "reactorhub", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_unknown_spiders_and_broken_modules_are_warned_of(folder: Path) -> None:
    """The projects' spiders are imported: who names another is told which there are, and what is broken."""
    spiders = folder / "spiders"
    spiders.mkdir()
    good = "import scrapy\nprint('chatter')\nclass Books(scrapy.Spider):\n    name = 'books'\n"
    (spiders / "__init__.py").write_text("")
    (spiders / "good.py").write_text(good)
    (spiders / "bad.py").write_text("raise SystemExit('no')\n")
    write("schedules:\n  a: {spider: books}\n  b: {spider: boks}\n  c: {spider: zzz}\n")
    result = outside(folder, "check", "--json")
    assert result.returncode == 0 and "chatter" in result.stderr
    told = [(each["path"], each["message"]) for each in json.loads(result.stdout)["warnings"]]
    assert told == [
        ("hub.projects.default", "module spiders.bad cannot be imported (SystemExit: no); fix it"),
        ("schedules.b.spider", "project 'default' has no spider 'boks'; did you mean 'books'?"),
        ("schedules.c.spider", "project 'default' has no spider 'zzz'; it has books"),
    ]
    assert outside(folder, "check", "--no-spiders").stdout == "3 schedules, no mistakes\n"


def test_the_shipped_file_is_right() -> None:
    """The schedule file that comes with the project has neither mistakes nor warnings."""
    assert outside(ROOT, "check", "--strict").stdout == "4 schedules, no mistakes\n"


def test_check_needs_neither_scrapy_nor_a_reactor(folder: Path) -> None:
    """Checking a file without its spiders imports no Scrapy, and neither way installs a reactor."""
    (folder / "spiders.py").write_text("")
    write(PLAIN)
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom reactorhub.cli import main\n"
        "assert CliRunner().invoke(main, ['check', '--no-spiders']).exit_code == 0\n"
        "assert 'scrapy' not in sys.modules\n"
        "assert CliRunner().invoke(main, ['check']).exit_code == 0\n"
        "assert 'scrapy' in sys.modules and 'twisted.internet.reactor' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_five_thousand_schedules_take_no_time() -> None:
    """A file of 5,000 schedules, some every second, is checked in well under four seconds of CPU."""
    rules = ("interval: 1s", "interval: 7m", 'cron: "*/5 * * * *"', "cron: '{m} {h} * * *'")
    lines = [
        f"  s{n}: {{spider: s, {rules[n % 4].format(m=n % 60, h=n % 24)}, timezone: Europe/Berlin}}\n"
        for n in range(5_000)
    ]
    write(f"schedules:\n{''.join(lines)}")
    began = time.process_time()
    result = run("check", "--no-spiders")
    assert result.exit_code == 0 and result.stdout.count("\n") == 7
    assert time.process_time() - began < 4


# -- next


def test_next_is_an_aligned_table() -> None:
    """Local time with its zone, UTC and the mark of a change of clocks stand below each other."""
    write(PLAIN)
    result = run("next", "nightly", "-n", "2", "--after", "2027-03-27T12:00:00Z")
    assert result.exit_code == 0
    assert result.stdout == (
        "SCHEDULE  LOCAL TIME                    UTC                   DST\n"
        "nightly   Sun 2027-03-28 03:00:00 CEST  2027-03-28 01:00:00Z  gap\n"
        "nightly   Mon 2027-03-29 02:30:00 CEST  2027-03-29 00:30:00Z\n"
    )


def test_next_of_all_is_in_order_of_time() -> None:
    """Without a name the coming ticks of all schedules are merged, each on its own wall clock."""
    write(PLAIN)
    rows = run("next", "-n", "3", "--after", "2027-01-10T00:30:00+01:00").stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["hourly", "hourly", "nightly"]
    assert "Sun 2027-01-10 09:00:00 JST" in rows[0] and "2027-01-10 00:00:00Z" in rows[0]
    assert "02:30:00 CET" in rows[2]


@pytest.mark.parametrize("after", ["2027-03-28", "2027-03-28T00:00", "2027-03-27T23:00:00Z"])
def test_after_may_be_a_local_time(after: str) -> None:
    """A time without offset is on the wall clock of the hub's zone; a date is its midnight."""
    write(PLAIN)
    (row,) = json.loads(run("next", "nightly", "-n", "1", "--after", after, "--json").stdout)["next"]
    assert row["local_time"] == "2027-03-28T03:00:00+02:00"


@pytest.mark.parametrize("after", ["soon", "1969-01-01T00:00:00Z", "3000-01-01"])
def test_a_bad_time_is_refused(after: str) -> None:
    """A text that is not a time ends with the status of a wrong use, and an example."""
    write(PLAIN)
    result = run("next", "--after", after)
    assert result.exit_code == 2 and "write it like 2027-03-28T02:00:00+01:00" in result.stderr


def test_next_as_json_is_what_the_api_answers() -> None:
    """--json of one schedule is the very answer of the API; of all, each entry has its schedule, too."""
    write(SCHEDULES)
    after = "2026-11-21T12:00:00Z"
    answer: Any = Web().get(f"/api/schedules/hourly/next?n=3&after={after}").json
    assert json.loads(run("next", "hourly", "-n", "3", "--after", after, "--json").stdout) == answer
    rows = json.loads(run("next", "-n", "3", "--after", after, "--json").stdout)["next"]
    assert {row["schedule"] for row in rows} == {"buffered", "every"}
    assert rows[0].keys() == {"schedule", *answer["next"][0]}


@pytest.mark.parametrize(("name", "why"), [("hand", "it has no trigger"), ("idle", "it is disabled")])
def test_a_schedule_without_ticks_says_why(name: str, why: str) -> None:
    """Where nothing will come, stdout is empty and stderr says why; JSON has an empty list."""
    write(PLAIN)
    result = run("next", name)
    assert (result.exit_code, result.stdout) == (0, "") and why in result.stderr
    assert json.loads(run("next", name, "--json").stdout) == {"next": []}


def test_an_unknown_schedule_is_an_error() -> None:
    """A name that the file does not have ends with 1, and the nearest one it has."""
    write(PLAIN)
    result = run("next", "nihgtly")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "reactorhub: there is no schedule 'nihgtly'; did you mean 'nightly'?\n"


def test_next_of_a_broken_file_prints_its_mistakes() -> None:
    """A file with mistakes has no next ticks: its mistakes go to stderr."""
    write("hub: 7\n")
    result = run("next")
    assert (result.exit_code, result.stdout) == (1, "") and result.stderr.startswith("schedule.yaml:1:6: hub")


# -- the rest


def test_schema_is_printed() -> None:
    """The schema for editors goes to stdout as it is shipped."""
    assert run("schema").stdout == schema_text()


def test_version_is_printed() -> None:
    """--version names the program and its version."""
    assert run("--version").stdout == f"reactorhub {__version__}\n"


def test_the_page_tells_of_every_command() -> None:
    """The table of commands has all there are, and the limits it quotes are those in force."""
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    assert first_column(page.partition("\n## ")[0]) == {f"reactorhub {name}" for name in main.commands}
    text = " ".join(page.split())
    assert f"ends after {warnings.MAX_QUESTIONS:,} of them" in text
    assert f"up to {MAX_TICKS:,}" in text
    assert (warnings.MAX_PILES, warnings.DAY.total_seconds()) == (5, 24 * 3600)
    assert "within 24 hours" in text and "the five largest" in text
    assert f"at most {demand.MAX_TICKS:,} ticks" in text and f"up to {demand.MAX_SPAN.days} days" in text
    assert demand.MAX_PILES == 5 and "The five with the longest waits" in text
    assert f"last {NEWEST_RUNS} runs that succeeded" in text and f"The newest {MAX_COUNTED:,} ticks" in text


def test_the_command_is_installed() -> None:
    """The package brings the command ``reactorhub`` along, and the schema with it."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["options.entry_points"]["console_scripts"].strip() == "reactorhub = reactorhub.cli:main"
    assert setup["options.package_data"]["reactorhub.config"] == "schema.json"
