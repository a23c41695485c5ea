"""Bytecode that is older than its source is not executed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from reactorhub.engine.isolated.child.bytecode import distrust_old_bytecode


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path whose bytecode is distrusted."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    undo = distrust_old_bytecode(lambda: [str(tmp_path)])
    yield tmp_path
    undo()


def imported(name: str) -> int:
    """The value in a module that is imported anew."""
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    value: int = importlib.import_module(name).VALUE
    del sys.modules[name]
    return value


@pytest.mark.parametrize("prefix", [None, "cache"])
def test_the_same_second_and_size(
    folder: Path,
    prefix: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """An edit that Python's own check cannot see is seen, wherever the bytecode is kept."""
    monkeypatch.setattr(sys, "pycache_prefix", prefix and str(tmp_path_factory.mktemp(prefix)))
    file = folder / "rh_same.py"
    file.write_text("VALUE = 1\n")
    times = file.stat()
    for value in (1, 2, 3):
        file.write_text(f"VALUE = {value}\n")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert imported("rh_same") == value
        assert Path(cache_from_source(str(file))).exists()


def test_current_bytecode_is_used(folder: Path) -> None:
    """What was compiled after the last change is not compiled again, and other folders are not looked at."""
    file = folder / "rh_current.py"
    file.write_text("VALUE = 1\n")
    imported("rh_current")
    cached = Path(cache_from_source(str(file)))
    later = file.stat().st_ctime_ns + 10**9
    os.utime(cached, ns=(later, later))
    assert imported("rh_current") == 1
    assert cached.stat().st_mtime_ns == later, "it would have been written again"


def test_a_module_without_source(folder: Path) -> None:
    """A module that is bytecode alone is imported as ever."""
    file = folder / "rh_bare.py"
    file.write_text("VALUE = 1\n")
    imported("rh_bare")
    Path(cache_from_source(str(file))).rename(folder / "rh_bare.pyc")
    file.unlink()
    assert imported("rh_bare") == 1


def test_it_is_undone(tmp_path: Path) -> None:
    """Undoing leaves Python's own check."""
    from importlib.machinery import SourceFileLoader

    before = SourceFileLoader.get_data
    undo = distrust_old_bytecode(list)
    assert SourceFileLoader.get_data is not before
    undo()
    assert SourceFileLoader.get_data is before
