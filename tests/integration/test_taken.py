"""What a run takes from the process past every guard: signals, timers, folder, and children that it forks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hubs import Hub, until, write_project

CONFIG = """
    hub: {shutdown_grace: 1s, projects: {lab: {path: lab}}}
    schedules: {}
"""
PAGE = "data:text/html,x"
SPIDERS = f"""
    import _signal, asyncio, locale, multiprocessing, os, posix, subprocess, sys, time, warnings
    import scrapy

    class Taker(scrapy.Spider):
        name = "taker"
        start_urls = ["{PAGE}"]

        def parse(self, response):
            for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD"):
                _signal.signal(getattr(_signal, name), lambda *args: None)
            _signal.signal(_signal.SIGALRM, _signal.SIG_IGN)
            _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGTERM])
            posix.chdir("/")
            posix.umask(0)
            locale.setlocale(locale.LC_ALL, "C")
            sys.excepthook = warnings.showwarning = print
            yield {{"url": response.url}}

    class Alarm(scrapy.Spider):
        name = "alarm"
        start_urls = ["{PAGE}"]

        async def parse(self, response):
            _signal.setitimer(_signal.ITIMER_REAL, 0.01)
            await asyncio.sleep(0.1)
            yield {{"url": response.url}}

    class Forker(scrapy.Spider):
        name = "forker"
        start_urls = ["{PAGE}"]

        def parse(self, response):
            yield {{"url": response.url}}
            getattr(self, self.how)()

        def fork(self):
            pid = os.fork()
            if not pid:
                time.sleep(600)
            self.tell(pid)

        def returns(self):
            pid = os.fork()
            if pid:
                self.tell(os.waitpid(pid, 0)[1])

        def exits(self):
            pid = os.fork()
            if not pid:
                sys.exit(7)
            self.tell(os.waitpid(pid, 0)[1])

        def process(self):
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
            process.start()
            self.tell(process.pid)

        def terminate(self):
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
            process.start()
            time.sleep(0.2)  # Python forgets signals that come while it forks
            process.terminate()
            process.join(5)
            self.tell(process.exitcode)

        def program(self):
            self.tell(subprocess.Popen(["sleep", "600"], close_fds=False).pid)

        def tell(self, what):
            self.logger.info("TOLD %s", what)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that takes any port."""
    hub = Hub(tmp_path_factory.mktemp("taken"), CONFIG)
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        yield hub


def told(hub: Hub, how: str) -> int:
    """What the spider that forks says of its child."""
    run = hub.wait_final(hub.order("forker", {"how": how}))
    assert (run["state"], run["errors"]) == ("succeeded", 0), hub.log(run["id"])
    return int(hub.log(run["id"]).partition("TOLD ")[2].split()[0])


def test_a_child_that_comes_back_ends(hub: Hub) -> None:
    """A forked child never goes on as a second hub: it ends where it would come back to the loop."""
    assert os.waitstatus_to_exitcode(told(hub, "returns")) == os.EX_SOFTWARE
    assert os.waitstatus_to_exitcode(told(hub, "exits")) == 7
    assert told(hub, "terminate") == -signal.SIGTERM
    assert hub.get("/healthz")[0] == 200


def test_an_alarm_ends_nothing(hub: Hub) -> None:
    """SIGALRM without an order to stop is one line in the hub's log, before or after it goes off."""
    assert hub.wait_final(hub.order("alarm"))["state"] == "succeeded"
    assert "SIGALRM came without an order to stop" in hub.output or "a timer for SIGALRM" in hub.output
    assert hub.get("/healthz")[0] == 200


@pytest.mark.parametrize("how", ["fork", "process", "program"])
def test_the_next_hub_starts_beside_a_child(hub: Hub, how: str) -> None:
    """After kill -9 the next hub gets the data folder and the port at once, although a child lives on."""
    child = told(hub, how)
    port = hub._facts["http"].rpartition(":")[2]
    try:
        hub.kill9()
        hub._options[-1] = f"tcp:{port}"
        hub.start()
        assert Path(f"/proc/{child}").exists()
        assert hub._facts["http"].endswith(port)
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_a_run_has_taken_is_put_right(hub: Hub) -> None:
    """One line says what and whose it was; SIGTERM still ends the hub in time."""
    run = hub.wait_final(hub.order("taker"))
    assert run["state"] == "succeeded"
    line = until(lambda: [each for each in hub.output.splitlines() if "the locale (" in each], 5)[0]
    handlers = next(each for each in hub.output.splitlines() if "the handler of SIGTERM" in each)
    assert f"at work: run {run['id']}" in handlers
    assert all(f"the handler of {name}" in handlers for name in ("SIGINT", "SIGHUP", "SIGCHLD", "SIGALRM"))
    assert "blocked signals (SIGTERM)" in handlers
    for what in ("the working folder", "the umask", "sys.excepthook", "warnings.showwarning"):
        assert what in line
    assert Path(f"/proc/{hub.pid}/cwd").readlink() == hub.folder
    assert hub.terminate(within=6.5) in (0, -15, 143)
