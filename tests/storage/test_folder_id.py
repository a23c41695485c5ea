"""The identity of a data folder: the same at each start, another one for a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reactorhub.errors import StartError
from reactorhub.storage.folder_id import folder_id


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with its lock."""
    folder = tmp_path / "var"
    folder.mkdir()
    (folder / "lock").touch()
    return folder


def test_same_at_each_start(data_dir: Path) -> None:
    """A folder keeps its identity, in a file that only its user reads."""
    assert folder_id(data_dir) == folder_id(data_dir)
    assert (data_dir / "hub.id").stat().st_mode & 0o777 == 0o600


def test_crash_while_it_was_written(data_dir: Path) -> None:
    """An empty file, as a power cut may leave it, is written again."""
    (data_dir / "hub.id").touch()
    assert len(folder_id(data_dir)) > 32
    assert folder_id(data_dir) == folder_id(data_dir)


def test_copy(data_dir: Path) -> None:
    """A copy of a folder is another one, though it holds the same files."""
    copy = data_dir.with_name("copy")
    original = folder_id(data_dir)
    shutil.copytree(data_dir, copy)
    assert folder_id(copy) != original
    assert (copy / "hub.id").read_text() == (data_dir / "hub.id").read_text()


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """A folder without its lock is an error that names the folder."""
    with pytest.raises(StartError, match=r"data folder .*gone cannot be used"):
        folder_id(tmp_path / "gone")
