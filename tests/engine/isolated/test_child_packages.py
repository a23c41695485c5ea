"""Where an isolated run finds modules: the environment first, but for the project's own packages."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from reactorhub.engine.isolated.child.packages import OwnPackages, find_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose package has a namesake in the environment."""
    for name in ("site", "shop"):
        (tmp_path / name / "rh_own").mkdir(parents=True)
        (tmp_path / name / "rh_own" / "__init__.py").touch()
    (tmp_path / "shop" / "rh_plain").mkdir()
    (tmp_path / "shop" / "statistics.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "shop"), str(tmp_path / "site"), *sys.path])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    return tmp_path / "shop"


def test_own_packages_come_first(project: Path) -> None:
    """The project's package is found in its folder; all else is left to Python."""
    finder = OwnPackages(str(project), ["rh_own", "rh_plain", "rh_gone"])
    own, plain = finder.find_spec("rh_own"), finder.find_spec("rh_plain")
    assert own is not None and own.origin == str(project / "rh_own" / "__init__.py")
    assert plain is not None and plain.submodule_search_locations == [str(project / "rh_plain")]
    assert finder.find_spec("rh_gone") is None
    assert finder.find_spec("statistics") is None
    assert finder.find_spec("rh_own", ["/elsewhere"]) is None


def test_the_folder_goes_to_the_end(project: Path) -> None:
    """So that a stray script stands in front of nothing."""
    find_project(str(project), ["rh_own"])
    assert sys.path[-1] == str(project) and sys.path.count(str(project)) == 1
    assert isinstance(sys.meta_path[sys.meta_path.index(PathFinder) - 1], OwnPackages)
