"""What is built from the checkout is a whole hub: plugin, schema and all."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.integration.hubs import CHECKOUT, Hub

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
NEEDED = (
    "reactorhub/py.typed",
    "reactorhub/config/schema.json",
    "reactorhub/storage/sqlite/schema/001.sql",
    "twisted/plugins/reactorhub_plugin.py",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the checkout, without what it does not track."""
    folder = tmp_path_factory.mktemp("source")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=CHECKOUT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run([*PIP, *build], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_runs_a_hub(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacked somewhere else and put first on the path, the wheel's own code is what twistd runs."""
    with zipfile.ZipFile(wheel) as packed:
        assert set(NEEDED) <= set(packed.namelist())
        packed.extractall(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    where = "import reactorhub.daemon.tap, sys; sys.stdout.write(reactorhub.daemon.tap.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, capture_output=True, check=True)
    assert found.stdout.decode() == str(tmp_path / "site" / "reactorhub" / "daemon" / "tap.py")
    with Hub(tmp_path, "schedules: {}", fresh=True) as hub:
        assert hub.ask("GET", "/healthz") == (200, {"status": "ok"})


def test_the_sdist_holds_what_a_build_needs(source: Path, tmp_path: Path) -> None:
    """The source archive carries the schema, the plugin, the licence and the example project."""
    command = [sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {*NEEDED, "LICENSE", "setup.cfg", "spiders/scrapy.cfg", "schedule.yaml"} <= names
