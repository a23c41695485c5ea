"""A hub that starts as a fork differs from one that starts from scratch by nothing that a test could see."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.hubs import TWISTD, alive, until
from tests.support.stopwatch import Stopwatch, waited
from tests.support.warm_start import WARM, WarmProcess


def start(folder: Path, *words: str, **environment: str) -> WarmProcess:
    """Start twistd in a fork; what it says is in ``output`` and ``errors``."""
    with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
        return WARM.start([TWISTD, *words], folder, {**os.environ, **environment}, output, errors)


def test_output_and_status(tmp_path: Path) -> None:
    """The fork writes to its own files, and ends with the status of the program."""
    assert start(tmp_path, "--version").wait(30) == 0
    assert (tmp_path / "output").read_text().startswith("twistd (the Twisted daemon)")
    assert start(tmp_path, "--no-such-option").wait(30) == 1
    assert "no-such-option" in (tmp_path / "output").read_text() + (tmp_path / "errors").read_text()


def test_folder_and_environment(tmp_path: Path) -> None:
    """The fork is in its folder, and has the variables that it was given, and no other."""
    (tmp_path / "elsewhere.yaml").write_text("hub: {nmae: x}\nschedules: {}\n")
    fork = start(tmp_path, "-n", "--pidfile=", "reactorhub", REACTORHUB_CONFIG="elsewhere.yaml")
    assert fork.wait(30) == 1
    assert (tmp_path / "errors").read_text().startswith("elsewhere.yaml:1:")


def test_signals(tmp_path: Path) -> None:
    """A fork that runs has no status; one that was killed has the signal's. A second kill is not an error."""
    (tmp_path / "schedule.yaml").write_text("schedules: {}\n")
    fork = start(tmp_path, "-n", "--pidfile=", "reactorhub", "--http", "tcp:0")
    until((tmp_path / "var" / "ready.json").exists, 30, "the hub's readiness")
    assert fork.poll() is None and alive(fork.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.01)
    fork.kill()
    assert fork.wait(30) == -signal.SIGKILL and not alive(fork.pid)
    fork.kill()


def test_a_stopwatch_leaves_out_what_its_processes_waited_for_a_processor() -> None:
    """It shows the clock's seconds, less the waiting, and never less than none."""
    now = [100.0]
    watch = Stopwatch(clock=lambda: now[0])
    before = waited()
    now[0] += 3600
    assert 3590 < watch.seconds <= 3600
    assert waited() >= before
    now[0] -= 3600
    assert watch.seconds == 0


COMPLETION = "complete -o nosort -F _reactorhub_completion reactorhub"


def test_a_shell_has_forks_too(tmp_path: Path) -> None:
    """A command of a shell is a fork with the files, folder and variables of the shell."""
    (tmp_path / "inner").mkdir()
    path = f"{WARM.commands(tmp_path / 'commands')}{os.pathsep}{os.environ['PATH']}"
    script = """
        cd inner
        echo 'schedules: {}' > here.yaml
        reactorhub check here.yaml --no-spiders | tail -1
        echo 'schedules: {a: 1}' | reactorhub check /dev/stdin > mistakes.txt; echo $?
        REACTORHUB_CONFIG=nowhere.yaml twistd -n --pidfile= reactorhub 2>&1 | grep -o nowhere.yaml | head -1
        _REACTORHUB_COMPLETE=bash_source reactorhub | grep -o "complete -o.*"
    """
    found = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        pass_fds=[WARM.orders.fileno()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stdout.splitlines() == ["0 schedules, no mistakes", "1", "nowhere.yaml", COMPLETION], found
