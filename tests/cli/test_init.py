"""``reactorhub init`` in folders as people have them; it imports projects, so in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from reactorhub.cli import main
from reactorhub.config import DEFAULT_FILE
from reactorhub.config.reading import read_config
from tests.integration.hubs import REACTORHUB
from tests.support.warm_start import WARM

ROOT = Path(__file__).parents[2]
GOOD = """
    import scrapy
    print("chatter")

    class Good(scrapy.Spider):
        '''Visits one page.'''
        name = {0!r}

        def __init__(self, number="1", **kwargs):
            super().__init__(**kwargs)
"""


def command(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Give a command in a folder."""
    inherited = {key: value for key, value in os.environ.items() if key != "REACTORHUB_CONFIG"}
    environ = {**inherited, "PYTHONPATH": str(ROOT), **environment}
    return WARM.run([REACTORHUB, *words], folder, environ)


def project(folder: Path, **modules: str) -> Path:
    """Write a Scrapy project of the package ``shop``, one spider module for each keyword."""
    spiders = folder / "shop" / "spiders"
    spiders.mkdir(parents=True)
    (folder / "scrapy.cfg").write_text("[settings]\ndefault = shop.settings\n")
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "settings.py").write_text('SPIDER_MODULES = ["shop.spiders"]\n')
    (spiders / "__init__.py").touch()
    for name, source in modules.items():
        (spiders / f"{name}.py").write_text(dedent(source))
    return folder


def schedules(folder: Path, file: str = DEFAULT_FILE) -> dict[str, str]:
    """The spiders of the schedules in a file, by schedule; every one of them is manual."""
    config = read_config(folder / file, {}, {})
    assert all(each.trigger is None for each in config.schedules.values())
    return {name: each.spec.spider for name, each in config.schedules.items()}


def test_a_project_gets_its_file(tmp_path: Path) -> None:
    """The file has a manual schedule for each spider, and passes the check, warnings included."""
    project(tmp_path, one=GOOD.format("books"), two=GOOD.format("on: sale"))
    result = command(tmp_path, "init")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "wrote schedule.yaml: 2 spiders, each with a manual schedule"
    assert "reactorhub check" in result.stdout and "twistd -n reactorhub" in result.stdout
    assert result.stderr.split() == ["chatter"] * 2
    text = (tmp_path / DEFAULT_FILE).read_text()
    assert "    shop: {path: .}\n" in text and "# Visits one page." in text and "takes number" in text
    assert schedules(tmp_path) == {"books": "books", "on-sale": "on: sale"}
    checked = command(tmp_path, "check", "--strict")
    assert (checked.returncode, checked.stdout) == (0, "2 schedules, no mistakes\n")


def test_a_broken_module_costs_only_itself(tmp_path: Path) -> None:
    """The other spiders are in the file; the broken module is named there and on stderr."""
    project(tmp_path, good=GOOD.format("books"), bad="raise SystemExit('no')", worse="class (:")
    result = command(tmp_path, "init")
    assert result.returncode == 0
    assert "warning: module shop.spiders.bad cannot be imported" in result.stderr
    assert "SystemExit: no" in result.stderr and "shop.spiders.worse" in result.stderr
    text = (tmp_path / DEFAULT_FILE).read_text()
    assert "# Module shop.spiders.bad cannot be imported" in text and "#   SystemExit: no\n" in text
    assert schedules(tmp_path) == {"books": "books"}
    assert command(tmp_path, "check").returncode == 0


def test_two_spiders_of_one_name(tmp_path: Path) -> None:
    """Scrapy runs one spider of a name: it has one schedule, and both places are named."""
    project(tmp_path, one=GOOD.format("books"), two=GOOD.format("books"))
    result = command(tmp_path, "init")
    assert result.returncode == 0
    assert "warning: spider 'books' is defined 2 times: shop.spiders.one.Good" in result.stderr
    assert "# spider 'books' is defined 2 times" in (tmp_path / DEFAULT_FILE).read_text()
    assert schedules(tmp_path) == {"books": "books"}


def test_a_project_without_spiders(tmp_path: Path) -> None:
    """The file has no schedule, but shows how to write one."""
    project(tmp_path)
    result = command(tmp_path, "init")
    assert result.returncode == 0 and "no spiders found" in result.stdout
    assert schedules(tmp_path) == {}
    assert command(tmp_path, "check").stdout == "0 schedules, no mistakes\n"


@pytest.mark.parametrize("marker", [True, False], ids=["package", "folder"])
def test_a_plain_folder_of_spiders(tmp_path: Path, marker: bool) -> None:
    """Without a scrapy.cfg the modules in ``spiders`` are the project, with or without an ``__init__.py``.

    Without one, Python joins all folders of that name that it knows, such as the one of this checkout.
    """
    folder = tmp_path / "my shop"
    (folder / "spiders").mkdir(parents=True)
    (folder / "spiders" / "good.py").write_text(dedent(GOOD.format("books")))
    if marker:
        (folder / "spiders" / "__init__.py").touch()
    assert command(folder, "init").returncode == 0
    assert "    my-shop: {path: .}\n" in (folder / DEFAULT_FILE).read_text()
    assert command(folder, "check", "--strict").stdout == "1 schedule, no mistakes\n"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file that exists, even a dangling link, stays as it is; the status tells."""
    project(tmp_path, good=GOOD.format("books"))
    (tmp_path / DEFAULT_FILE).write_text("mine")
    (tmp_path / "link.yaml").symlink_to("nowhere")
    for name in (DEFAULT_FILE, "link.yaml"):
        result = command(tmp_path, "init", "-c", name)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            f"reactorhub: {name} exists, nothing was written; remove it, or name another file with --config\n"
        )
    assert (tmp_path / DEFAULT_FILE).read_text() == "mine" and not (tmp_path / "nowhere").exists()


def test_the_file_may_be_elsewhere(tmp_path: Path) -> None:
    """--config and $REACTORHUB_CONFIG name the file; the project's path starts from the file's folder."""
    project(tmp_path / "code", good=GOOD.format("books"))
    (tmp_path / "etc").mkdir()
    assert command(tmp_path / "code", "init", "--config", "../etc/hub.yaml").returncode == 0
    assert command(tmp_path / "code", "init", REACTORHUB_CONFIG=str(tmp_path / "all.yaml")).returncode == 0
    assert "{path: ../code}" in (tmp_path / "etc" / "hub.yaml").read_text()
    assert "{path: code}" in (tmp_path / "all.yaml").read_text()
    for name in ("etc/hub.yaml", "all.yaml"):
        assert command(tmp_path, "check", "--strict", name).stdout == "1 schedule, no mistakes\n"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is not there is named, and nothing is left behind."""
    project(tmp_path, good=GOOD.format("books"))
    result = command(tmp_path, "init", "--config", "nowhere/hub.yaml")
    assert (result.returncode, result.stdout) == (1, "")
    assert "reactorhub: nowhere/hub.yaml cannot be written (No such file or directory)" in result.stderr


def test_a_disk_without_room(tmp_path: Path) -> None:
    """A file that cannot be written to its end is removed again, and the reason is named."""
    project(tmp_path, good=GOOD.format("books"))
    script = f"ulimit -f 0; exec {sys.executable} -m reactorhub init"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environ.pop("REACTORHUB_CONFIG", None)
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert "reactorhub: schedule.yaml cannot be written (File too large)" in result.stderr
    assert not (tmp_path / DEFAULT_FILE).exists()


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``init`` says in a folder where it refuses before it imports anything."""
    monkeypatch.delenv("REACTORHUB_CONFIG", raising=False)
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(main, ["init"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert not (folder / DEFAULT_FILE).exists()
    (line,) = result.stderr.splitlines()
    return line


def test_a_folder_without_spiders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with neither scrapy.cfg nor spiders is refused with what to do."""
    line = refusal(tmp_path, monkeypatch)
    assert line.startswith(
        "reactorhub: there are no spiders here: neither a scrapy.cfg nor a folder named spiders"
    )
    assert "go to the folder of your project and run `reactorhub init` there" in line


def test_a_folder_above_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a project, also one in a folder that is called spiders, the project's folder is named."""
    project(tmp_path / "spiders")
    assert "your project, such as spiders, and" in refusal(tmp_path, monkeypatch)


@pytest.mark.parametrize("inner", ["shop", "shop/spiders"])
def test_a_folder_inside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str) -> None:
    """In a package of a project, which has a folder of spiders too, the project's own folder is named."""
    project(tmp_path)
    line = refusal(tmp_path / inner, monkeypatch)
    assert (
        line == f"reactorhub: this folder belongs to the project in {tmp_path}; run `reactorhub init` there"
    )


@pytest.mark.parametrize(
    "text", ["", "[settings]\n", "no section\n", "[settings]\ndefault =\n", "[settings]\ndefault = %(x)s\n"]
)
def test_a_scrapy_cfg_that_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A scrapy.cfg without a settings module is refused with the lines that it lacks."""
    (tmp_path / "scrapy.cfg").write_text(text)
    line = refusal(tmp_path, monkeypatch)
    assert "scrapy.cfg names no settings module" in line and "default = PACKAGE.settings" in line


def test_settings_that_cannot_be_imported(tmp_path: Path) -> None:
    """Without its settings a project has no spiders: the reason is named, and no file is written."""
    project(tmp_path, good=GOOD.format("books"))
    (tmp_path / "shop" / "settings.py").write_text("import no_such_package\n")
    result = command(tmp_path, "init")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "reactorhub: shop.settings cannot be imported, nothing was written; "
        "fix it first: ModuleNotFoundError: No module named 'no_such_package'\n"
    )
    assert not (tmp_path / DEFAULT_FILE).exists()


def test_the_file_says_what_the_doctor_says(tmp_path: Path) -> None:
    """A spider that blocks gets a process of its own, with the reason; the check has nothing more to say."""
    slow = GOOD.format("slow") + "\n        def parse(self, response):\n            input()\n"
    project(tmp_path, one=GOOD.format("books"), two=slow)
    result = command(tmp_path, "init")
    assert "1 spider with isolate: process; `reactorhub doctor` says why" in result.stdout
    text = (tmp_path / DEFAULT_FILE).read_text()
    (line,) = [each for each in text.splitlines() if "isolate" in each]
    assert line.startswith("    isolate: process    # shop/spiders/two.py:13: input() ")
    assert command(tmp_path, "check", "--no-spiders").stdout == "2 schedules, no mistakes\n"
