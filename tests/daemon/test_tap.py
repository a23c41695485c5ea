"""The options of ``twistd reactorhub``: the schedule file is found wherever the process is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reactorhub.daemon.tap import Options
from reactorhub.errors import ConfigError


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder with a schedule file; the process is in the folder ``hub``, which has one, too."""
    for name, hub in (("hub", "mine"), ("elsewhere", "wrong")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "schedule.yaml").write_text(f"hub: {{name: {hub}}}\nschedules: {{}}\n")
    monkeypatch.chdir(tmp_path / "hub")
    monkeypatch.delenv("REACTORHUB_CONFIG", raising=False)
    monkeypatch.setattr(sys, "path", ["", "lib", *sys.path])
    return tmp_path / "elsewhere"


def test_a_change_of_the_folder_changes_nothing(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub goes on to read the file it has begun with, and keeps its data where they are."""
    options = Options()
    options.parseOptions([])
    first = options.settings
    monkeypatch.chdir(elsewhere)
    again = options.read()
    assert again == first and again.name == "mine"
    assert again.data_dir == elsewhere.parent / "hub" / "var"
    assert options.file == elsewhere.parent / "hub" / "schedule.yaml"
    assert all(Path(each).is_absolute() for each in sys.path)


def test_messages_name_the_file_as_it_was_given(elsewhere: Path) -> None:
    """People read the name that they have typed."""
    options = Options()
    options.parseOptions([])
    assert options.settings.file == "schedule.yaml"
    Path("schedule.yaml").write_text("hub: {nane: x}\n")
    with pytest.raises(ConfigError, match=r"^schedule\.yaml:1:7: hub\.nane: "):
        options.read()
    Path("schedule.yaml").unlink()
    with pytest.raises(ConfigError, match=r"schedule\.yaml:1:1: there is no such file; .*`reactorhub init`"):
        options.read()
