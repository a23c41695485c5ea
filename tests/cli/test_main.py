"""``python -m reactorhub`` and ``reactorhub`` are one command."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reactorhub import __version__
from reactorhub.cli import COMMANDS, LazyCommand, main

ROOT = Path(__file__).parents[2]
SCRIPT = str(Path(sys.executable).with_name("reactorhub"))


def outcome(folder: Path, *command: str) -> tuple[int, str, str]:
    """Give a command in a process of its own; return its exit status and what it printed."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [(["--version"], 0), (["--help"], 0), (["check", "--help"], 0), (["check"], 1), (["nope"], 2)],
    ids=["version", "help", "help-of-a-command", "mistake", "wrong-use"],
)
def test_the_module_is_the_command(tmp_path: Path, words: list[str], status: int) -> None:
    """Both print the same, under the same name, and end with the same status."""
    by_module = outcome(tmp_path, sys.executable, "-m", "reactorhub", *words)
    assert by_module == outcome(tmp_path, SCRIPT, *words)
    assert by_module[0] == status
    assert "__main__" not in by_module[1] + by_module[2]


def test_the_version_has_the_name_of_the_command(tmp_path: Path) -> None:
    """``--version`` prints name and version; the usage begins with the name."""
    assert (
        outcome(tmp_path, sys.executable, "-m", "reactorhub", "--version")[1] == f"reactorhub {__version__}\n"
    )
    assert outcome(tmp_path, sys.executable, "-m", "reactorhub", "--help")[1].startswith("Usage: reactorhub ")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_a_lazy_command_looks_like_itself(command: LazyCommand) -> None:
    """The list of commands shows the same name and summary as the command that it stands for."""
    loaded = command.load()
    assert loaded.name == command.name
    assert inspect.cleandoc(loaded.help or "").partition("\n\n")[0] == command.help
    assert loaded.get_short_help_str(1000) == command.get_short_help_str(1000)


def test_a_lazy_command_is_the_command_once_it_is_called() -> None:
    """Usage and options of a called command are its own, under the name by which it was called."""
    result = CliRunner().invoke(main, ["next", "--help"], prog_name="reactorhub")
    assert (
        result.output.startswith("Usage: reactorhub next [OPTIONS] [NAME]\n") and "--after" in result.output
    )
    assert main.commands["next"].load().params  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [["--version"], ["--help"], []], ids=["version", "help", "nothing"])
def test_lists_load_no_command(tmp_path: Path, words: list[str]) -> None:
    """Neither the version nor the list of commands imports a command, pydantic or Twisted."""
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom reactorhub.cli import main\n"
        f"CliRunner().invoke(main, {words!r})\n"
        "heavy = {'pydantic', 'yaml', 'twisted', 'scrapy', 'sqlite3', 'reactorhub.cli.check'}\n"
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)\n"
    )
    assert outcome(tmp_path, sys.executable, "-c", code) == (0, "", "")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("reactorhub ", {"check", "next", "plan", "schema", "why"}),
        ("reactorhub pl", {"plan"}),
        ("reactorhub next --af", {"--after"}),
    ],
)
def test_completion_offers_commands_and_options(typed: str, offered: set[str]) -> None:
    """What click's scripts for shells ask for is answered: commands by name, options of the command."""
    environ = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    environ["_REACTORHUB_COMPLETE"] = "bash_complete"
    result = CliRunner().invoke(main, [], prog_name="reactorhub", env=environ)
    assert {line.partition(",")[2] for line in result.output.splitlines()} >= offered
