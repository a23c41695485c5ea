"""``reactorhub doctor``: what it prints, its exit status, and what ``check`` says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reactorhub.cli import main

GOOD = 'import scrapy\n\n\nclass Good(scrapy.Spider):\n    name = "good"\n'
SLOW = (
    'import time\n\nimport scrapy\n\n\nclass Slow(scrapy.Spider):\n    name = "slow"\n\n'
    "    def parse(self, response):\n        time.sleep(1)\n"
)
OLD = (
    'import scrapy\n\n\nclass Old(scrapy.Spider):\n    name = "old"\n\n'
    "    def start_requests(self):\n        return []\n"
)
LOUD = 'import os\n\nimport scrapy\n\nos.umask(0)\n\n\nclass Loud(scrapy.Spider):\n    name = "loud"\n'
SCHEDULES = """
hub: {projects: {shop: {path: shop}}}
schedules:
  nightly: {spider: slow, interval: 1h}
  weekly: {spider: slow, interval: 7d}
  daily: {spider: good, interval: 1d}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to be in, with no file named by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REACTORHUB_CONFIG", raising=False)
    return tmp_path


def write(name: str = "shop", settings: str = "", **spiders: str) -> None:
    """Write a project with these spider modules."""
    package = Path(name, name, "spiders")
    package.mkdir(parents=True)
    Path(name, "scrapy.cfg").write_text(f"[settings]\ndefault = {name}.settings\n")
    Path(name, name, "__init__.py").write_text("")
    Path(name, name, "settings.py").write_text(f'SPIDER_MODULES = ["{name}.spiders"]\n{settings}')
    (package / "__init__.py").write_text("")
    for module, text in spiders.items():
        (package / f"{module}.py").write_text(text)


def run(*words: str) -> Result:
    """Give a command."""
    return CliRunner().invoke(main, words)


def doctor(*words: str) -> Result:
    """Ask the doctor, without the import unless it is asked for."""
    return run("doctor", "--no-import", *words)


def test_all_can_share() -> None:
    """Nothing to say but the verdicts, and status 0."""
    write(good=GOOD)
    result = doctor("shop")
    assert (result.exit_code, result.stdout) == (
        0,
        "SPIDER  VERDICT  BECAUSE\ngood    shared\n\n1 spider, 0 to isolate\n",
    )


def test_one_should_be_isolated() -> None:
    """Findings with their places, a line for each spider, what to add to which schedules, and status 3."""
    write(good=GOOD, slow=SLOW)
    Path("schedule.yaml").write_text(SCHEDULES)
    result = doctor()
    place = "shop/shop/spiders/slow.py:10: time.sleep() blocks every crawl until it returns"
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        f"{place}: use await asyncio.sleep(...), or set DOWNLOAD_DELAY",
        "SPIDER  VERDICT  BECAUSE",
        "good    shared",
        f"slow    isolate  {place}",
        "",
        "Add this to the schedule file:",
        "",
        "schedules:",
        "  nightly: {isolate: process}",
        "  weekly: {isolate: process}",
        "",
        "2 spiders, 1 to isolate",
    ]


def test_advice_does_not_isolate() -> None:
    """A spider that Scrapy never starts may share the reactor; the finding is marked as advice."""
    write(old=OLD)
    result = doctor("shop")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "shop/shop/spiders/old.py:7: advice: Old.start_requests() is never called"
    )


def test_without_a_schedule_an_example_is_shown() -> None:
    """A spider that has no schedule gets one to start from."""
    write(good=GOOD, slow=SLOW)
    assert "\nschedules:\n  slow: {spider: slow, isolate: process}\n" in doctor("shop").stdout


def test_an_import_that_changes_the_process_isolates_the_project() -> None:
    """The hub would import that module for the sake of its neighbours, too."""
    write(good=GOOD, loud=LOUD)
    result = doctor("shop")
    assert "\nhub:\n  projects:\n    shop: {isolate: process}\n" in result.stdout
    assert "good    shared" in result.stdout


def test_a_part_of_a_project() -> None:
    """A path to a file asks about its spiders alone."""
    write(good=GOOD, slow=SLOW)
    assert doctor("shop/shop/spiders/good.py").exit_code == 0
    assert doctor("shop/shop/spiders/slow.py").exit_code == 3


def test_several_projects_are_told_apart() -> None:
    """Where the schedule file names several, each line says whose spider it is."""
    write(good=GOOD)
    write("press", slow=SLOW)
    Path("schedule.yaml").write_text("hub: {projects: {shop: {path: shop}, press: {path: press}}}\n")
    lines = doctor().stdout.splitlines()
    assert "shop     good    shared" in lines
    assert any(
        line.startswith("press    slow    isolate  press/press/spiders/slow.py:10: ") for line in lines
    )
    assert doctor("shop").exit_code == 0 and doctor("press").exit_code == 3


def answer(*words: str) -> dict[str, Any]:
    """What the doctor says as JSON."""
    said: dict[str, Any] = json.loads(doctor("--json", *words).stdout)
    return said


def test_json() -> None:
    """Spiders with verdict and findings, what concerns a whole project, and modules that cannot be read."""
    write(good=GOOD, slow=SLOW, bad="def (:\n", settings="DNS_TIMEOUT = 5\n")
    said = answer("shop")
    finding = {
        "file": "shop/shop/spiders/slow.py",
        "line": 10,
        "what": "time.sleep() blocks every crawl until it returns",
        "remedy": "use await asyncio.sleep(...), or set DOWNLOAD_DELAY",
        "kind": "blocks",
        "severity": "isolate",
    }
    assert said["spiders"][1] == {
        "name": "slow",
        "project": "shop",
        "file": "shop/shop/spiders/slow.py",
        "line": 6,
        "verdict": "isolate",
        "because": finding,
        "findings": [finding],
    }
    assert [said["spiders"][0][key] for key in ("name", "verdict", "because", "findings")] == [
        "good",
        "shared",
        None,
        [],
    ]
    assert [(each["project"], each["kind"], each["line"]) for each in said["project"]] == [
        ("shop", "ignored-setting", 2)
    ]
    assert [(each["module"], each["line"]) for each in said["broken"]] == [("shop.spiders.bad", 1)]


def test_what_cannot_be_read_is_status_1() -> None:
    """A module that cannot be parsed, a folder that is not there, a schedule file with mistakes."""
    write(bad="def (:\n", slow=SLOW)
    result = doctor("shop")
    assert result.exit_code == 1
    assert (
        "shop/shop/spiders/bad.py:1: module shop.spiders.bad cannot be imported: SyntaxError" in result.stdout
    )
    assert "slow" in result.stdout
    nowhere = doctor("nowhere")
    assert nowhere.exit_code == 1 and "neither a project nor a path: 'nowhere'" in nowhere.stderr
    Path("schedule.yaml").write_text("schedules: {a: {}}\n")
    assert doctor().exit_code == 1


def test_the_import_adds_what_no_text_shows() -> None:
    """A module that fails to import is named with the line, and spiders that a factory makes are listed."""
    made = (
        'import scrapy\n\nMade = type("Made", (scrapy.Spider,), {"name": "made", "__module__": __name__})\n'
    )
    write(good=GOOD, made=made, bad="import no_such_module\n")
    result = run("doctor", "shop")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "shop/shop/spiders/bad.py:1: module shop.spiders.bad cannot be imported: ModuleNotFoundError: "
    )
    assert "good    shared" in result.stdout and "made    shared" in result.stdout


def test_this_folder_without_a_schedule_file() -> None:
    """Without an argument and without a schedule file, the project here is meant."""
    write(slow=SLOW)
    Path("shop").rename("there")
    assert doctor("there").exit_code == 3
    result = doctor("-c", "none.yaml", "there/shop/spiders")
    assert result.exit_code == 3


def test_check_mentions_the_doctor() -> None:
    """``check`` says in one line where the doctor would isolate spiders, and is silent otherwise."""
    write(good=GOOD, slow=SLOW)
    Path("schedule.yaml").write_text(SCHEDULES)
    told = [line for line in run("check", "--no-spiders").stdout.splitlines() if "doctor" in line]
    assert told == [
        "schedule.yaml:2:18: hub.projects.shop: warning: 1 of 2 spiders should not share the reactor; "
        "see reactorhub doctor shop"
    ]
    Path("shop/shop/spiders/slow.py").write_text(GOOD)
    assert "doctor" not in run("check", "--no-spiders").stdout


@pytest.mark.parametrize("isolate", ["process", "auto", "none"])
def test_check_is_silent_where_the_doctor_is_heeded(isolate: str) -> None:
    """Nobody is warned of a spider whose schedules isolate it, or leave that to the doctor."""
    write(good=GOOD, slow=SLOW)
    name = next(line.partition("=")[2].strip(" '\"") for line in SLOW.splitlines() if " name =" in line)
    schedules = f"schedules: {{a: {{spider: {name}, isolate: {isolate}}}}}\n"
    Path("schedule.yaml").write_text(f"hub:\n  projects: {{shop: {{path: shop}}}}\n{schedules}")
    assert ("doctor" in run("check", "--no-spiders").stdout) is (isolate == "none")


def test_check_keeps_what_it_has_found_in_a_data_folder() -> None:
    """Where a hub has a data folder the next check reads changed files only; it makes no such folder."""
    write(good=GOOD, slow=SLOW)
    Path("schedule.yaml").write_text(SCHEDULES)
    run("check", "--no-spiders")
    assert not Path("var").exists()
    Path("var").mkdir()
    told = [run("check", "--no-spiders").stdout for _ in range(2)]
    assert "1 of 2 spiders should not share" in told[0]
    assert (told[0], Path("var/doctor/shop").exists()) == (told[1], True)
