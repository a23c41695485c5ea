"""All the ways in which twistd can start a hub, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

import twisted
from reactorhub import __version__
from tests.integration.conftest import MakeHub
from tests.integration.hubs import TWISTD, alive, refused, until, write_project

CONFIG = """
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      projects: {lab: {path: lab}}
    schedules: {}
"""
SPIDERS = """
    import asyncio
    import scrapy

    class Quick(scrapy.Spider):
        name = "quick"

        async def start(self):
            await asyncio.sleep(0.1)
            yield scrapy.Request(f"{self.shop}/one/1.html")

        def parse(self, response):
            yield {"url": response.url}
"""


@pytest.mark.parametrize("reactor", [[], ["--reactor=asyncio"]], ids=["default", "asyncio"])
def test_daemon(make_hub: MakeHub, reactor: list[str]) -> None:
    """A daemon crawls, logs to its file, writes its pid and removes it when SIGTERM has ended it."""
    flags = ("--pidfile", "twistd.pid", "--logfile", "twistd.log", *reactor)
    hub = make_hub(CONFIG, flags=flags)
    write_project(hub.folder / "lab", lab=SPIDERS)
    hub.start()
    pidfile, log = hub.folder / "twistd.pid", hub.folder / "twistd.log"
    assert hub.wait_end(10) == 0, "the parent of the daemon says that all is well"
    assert int(pidfile.read_text()) == hub.pid
    assert hub.wait_final(hub.order("quick"))["state"] == "succeeded"

    hub.send(signal.SIGTERM)
    until(lambda: not alive(hub.pid), 10, "the end of the daemon")
    assert not pidfile.exists()
    assert "reactor class: twisted.internet.asyncioreactor.AsyncioSelectorReactor" in log.read_text()
    assert "the hub has stopped" in log.read_text()
    assert hub.said.strip() == ""


def test_foreground_with_the_reactor_named(make_hub: MakeHub) -> None:
    """``twistd -n --reactor=asyncio`` is the same as leaving the choice to the hub."""
    hub = make_hub(CONFIG, flags=("-n", "--pidfile=", "--reactor=asyncio"))
    write_project(hub.folder / "lab", lab=SPIDERS)
    hub.start()
    assert hub.wait_final(hub.order("quick"))["state"] == "succeeded"


def test_foreign_reactor_is_refused(tmp_path: Path) -> None:
    """Another reactor is refused with one line that says what to type instead."""
    status, hub = refused(tmp_path, CONFIG, flags=("-n", "--pidfile=", "--reactor=epoll"))
    assert status == 1
    (line,) = hub.errors.splitlines()
    assert "EPollReactor" in line and "twistd --reactor=asyncio reactorhub" in line
    assert not hub.data.exists()


def test_other_commands_keep_their_reactor(tmp_path: Path) -> None:
    """``twistd web`` runs on Twisted's default reactor, though the hub's plugin is installed."""
    log = tmp_path / "web.log"
    command = [TWISTD, "-n", "--pidfile=", "--logfile", str(log), "web", "--listen", "tcp:0", "--path", "."]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL)
    try:
        until(lambda: log.exists() and "starting on" in log.read_text(), 15, "the start of twistd web")
    finally:
        process.terminate()
        process.wait(10)
    assert "reactor class: twisted.internet.epollreactor.EPollReactor" in log.read_text()


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["reactorhub", "--version"], f"reactorhub {__version__}\n"),
        (["-n", "reactorhub", "--version"], f"reactorhub {__version__}\n"),
        (["--version"], f"twistd (the Twisted daemon) {twisted.__version__}\n"),
    ],
    ids=["hub", "hub-in-the-foreground", "twistd"],
)
def test_version(tmp_path: Path, words: list[str], printed: str) -> None:
    """``twistd reactorhub --version`` prints the hub's version and starts nothing; twistd's own stays."""
    result = subprocess.run([TWISTD, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(printed)
    assert "Twisted" not in result.stdout or words == ["--version"]
    assert not list(tmp_path.iterdir())
