"""A hub that cannot start says why in words, with an exit status, and leaves nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.hubs import Hub, refused, until, write_project

CONFIG = """
    hub:
      projects: {lab: {path: lab}}
    schedules: {}
"""
BROKEN = """
    hub:
      max_concurrent_runs: many
      projcts: {lab: {path: lab}}
    schedules:
      one: {spider: one, cron: "0 0 31 2 *"}
      two: {spider: two, interval: 5 potatoes}
"""
DAEMON = ("--pidfile", "twistd.pid", "--logfile", "twistd.log")
TWISTD_SAYS = ("An error has occurred: ", "Please look at log file ")
BOTH_WAYS = pytest.mark.parametrize("flags", [("-n", "--pidfile="), DAEMON], ids=["-n", "daemonized"])
Flags = Sequence[str]


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that has its data folder and its port already."""
    hub = Hub(tmp_path_factory.mktemp("neighbour"), CONFIG)
    write_project(hub.folder / "lab")
    with hub:
        yield hub


def complaint(folder: Path, config: str, *options: str, flags: Flags, http: str = "tcp:0") -> str:
    """Start a hub that must refuse; return the one line that it said on stderr.

    The parent of a daemon may add words of twistd's own, which are cut off after 100 bytes.
    """
    write_project(folder / "lab")
    status, hub = refused(folder, config, *options, flags=flags, http=http)
    assert "Traceback" not in hub.said
    assert status == 1, hub.said
    lines = [line for line in hub.errors.splitlines() if not line.startswith(TWISTD_SAYS)]
    assert len(lines) == 1, hub.errors
    assert not list(folder.rglob("ready.json"))
    until_gone(folder / "twistd.pid")
    return lines[0]


def until_gone(file: Path) -> None:
    """Wait for the daemon to take its file away: it complains first, and its parent may be faster."""
    until(lambda: not file.exists(), 10, f"the removal of {file.name}")


@BOTH_WAYS
def test_broken_config(tmp_path: Path, flags: Flags) -> None:
    """Every mistake of the file is printed with line and column, and no data folder is made."""
    status, hub = refused(tmp_path, BROKEN, flags=flags)
    assert status == 1
    mistakes = [line.removeprefix(f"{hub.file}:") for line in hub.errors.splitlines()]
    assert [mistake.split(": ")[:2] for mistake in mistakes] == [
        ["3:24", "hub.max_concurrent_runs"],
        ["4:3", "hub.projcts"],
        ["6:28", "schedules.one.cron"],
        ["7:32", "schedules.two.interval"],
    ]
    assert "did you mean 'projects'?" in mistakes[1]
    assert not hub.data.exists()
    until_gone(tmp_path / "twistd.pid")


@BOTH_WAYS
def test_port_taken(tmp_path: Path, flags: Flags) -> None:
    """A port that somebody listens on already is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = complaint(tmp_path, CONFIG, flags=flags, http=f"tcp:{port}:interface=127.0.0.1")
    assert str(port) in line and "in use" in line and "--http" in line
    assert "scrapyd" not in line


@BOTH_WAYS
def test_port_of_the_demo_site_taken(tmp_path: Path, flags: Flags) -> None:
    """A port of the demo site that somebody listens on already is named with the key that sets it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = CONFIG.replace("projects:", f"demo_site: tcp:{port}\n      projects:")
        line = complaint(tmp_path, config, flags=flags)
    assert f"tcp:{port}" in line and "hub.demo_site" in line and "--http" not in line


@BOTH_WAYS
def test_data_folder_is_a_file(tmp_path: Path, flags: Flags) -> None:
    """A file in the place of the data folder is named as one, and left alone."""
    file = tmp_path / "var"
    file.write_text("mine")
    line = complaint(tmp_path, CONFIG, "--data-dir", str(file), flags=flags)
    assert f"{file} is a file" in line and "--data-dir" in line
    assert file.read_text() == "mine"


@BOTH_WAYS
def test_data_folder_in_use(tmp_path: Path, neighbour: Hub, flags: Flags) -> None:
    """A second hub on the same data folder is refused, and the first goes on."""
    line = complaint(tmp_path, CONFIG, "--data-dir", str(neighbour.data), flags=flags)
    assert str(neighbour.data) in line and str(neighbour.pid) in line
    assert neighbour.get("/healthz") == (200, {"status": "ok"})


@BOTH_WAYS
def test_endpoint_beyond_loopback(tmp_path: Path, flags: Flags) -> None:
    """An endpoint that other machines could reach is refused as long as there are no tokens."""
    line = complaint(tmp_path, CONFIG, flags=flags, http="tcp:0:interface=0.0.0.0")
    assert "0.0.0.0" in line and "127.0.0.1" in line


def test_missing_project_folder(tmp_path: Path) -> None:
    """A project folder that is not there is a mistake with line and column, and the exit status tells."""
    status, hub = refused(tmp_path, CONFIG)
    assert f"{hub.file}:3:" in hub.errors and "there is no folder" in hub.errors
    assert status == 1


def test_missing_file(tmp_path: Path) -> None:
    """Without a schedule file the hub says which one it looked for."""
    status, hub = refused(tmp_path, CONFIG, "-c", "elsewhere.yaml")
    assert (status, len(hub.errors.splitlines())) == (1, 1)
    assert hub.errors.startswith("elsewhere.yaml:1:1: there is no such file")
