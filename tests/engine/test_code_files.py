"""The files with a project's code: which they are, and which changes show."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reactorhub.engine.code_files import CodeFiles, code_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder, with much that is no code."""
    for path in (
        "scrapy.cfg",
        "shop/__init__.py",
        "shop/spiders/a.py",
        "shop/notes.txt",
        "shop/__pycache__/a.cpython-311.pyc",
        ".git/hooks/x.py",
        "env/pyvenv.cfg",
        "env/lib/y.py",
        "node_modules/z.py",
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1\n")
    return tmp_path


def test_which_files(folder: Path) -> None:
    """Python files and scrapy.cfg count; hidden folders and environments do not; links are followed once."""
    (folder / "shop" / "loop").symlink_to(folder / "shop")
    (folder / "shop" / "gone.py").symlink_to(folder / "nowhere.py")
    names = {str(Path(path).relative_to(folder)) for path in code_files(folder).marks}
    assert {"scrapy.cfg", "shop/__init__.py", "shop/spiders/a.py"} <= names
    assert not any(word in name for name in names for word in (".git", "env", "node", "cache", "gone", "txt"))
    assert len(names) <= 7


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """It has no files."""
    assert code_files(tmp_path / "nowhere") == CodeFiles()


def test_every_change_shows(folder: Path) -> None:
    """Also one of the same size whose old times were put back, a new file and a removed one."""
    file = folder / "shop" / "spiders" / "a.py"
    before, times = code_files(folder), file.stat()
    assert code_files(folder) == before
    _until_the_clock_moves(file)
    file.write_text("x = 2\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = code_files(folder)
    assert after != before
    changed_at = after.changed_at(before)
    assert changed_at is not None and changed_at.timestamp() == pytest.approx(file.stat().st_ctime, abs=0.001)
    (folder / "shop" / "b.py").write_text("")
    more = code_files(folder)
    assert more != after
    (folder / "shop" / "b.py").unlink()
    assert code_files(folder).changed_at(more) is None
    assert code_files(folder) == after


def _until_the_clock_moves(file: Path) -> None:
    """The time of an inode moves in steps of some milliseconds."""
    before = file.stat().st_ctime_ns
    probe = file.with_name("probe.txt")
    while True:
        probe.write_text("")
        if probe.stat().st_mtime_ns > before:
            return
        time.sleep(0.001)
