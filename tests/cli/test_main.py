"""``python -m reactorhub`` and ``reactorhub`` are one command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reactorhub import __version__

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
