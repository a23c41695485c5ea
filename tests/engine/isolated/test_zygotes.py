"""Real zygotes: they start, fork, answer, and are replaced when they do not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from reactorhub.engine.isolated import zygotes
from reactorhub.engine.isolated.strays import DATA_MARK, kill_strays
from reactorhub.engine.isolated.zygotes import Zygote
from tests.integration.hubs import alive
from tests.support.shop_project import until

LEAVING = """
import os, time
if not os.fork():
    os.setsid()
    open("{note}.new", "w").write(str(os.getpid()))
    os.rename("{note}.new", "{note}")
    time.sleep(60)
    os._exit(0)
{then}
"""


class HeardJob:
    """A job that notes what it hears; ``over`` fires when its process is dead or lost."""

    def __init__(self) -> None:
        self.pid = 0
        self.heard: list[Any] = []
        self.over: Deferred[HeardJob] = Deferred()

    @property
    def reports(self) -> list[Mapping[str, Any]]:
        """What the process has reported."""
        return [each for each in self.heard if isinstance(each, Mapping)]

    def forked(self, pid: int) -> None:
        self.pid = pid

    def reported(self, report: Mapping[str, Any]) -> None:
        self.heard.append(report)

    def garbled(self) -> None:
        self.heard.append("garbage")

    def hung_up(self) -> None:
        self.heard.append("hung up")

    def over_memory(self, used: int) -> None:
        self.heard.append(used)

    def exited(self, status: int) -> None:
        self.heard.append(status)
        self._end()

    def lost(self, reason: str) -> None:
        self.heard.append(reason)
        self._end()

    def _end(self) -> None:
        if not self.over.called:
            self.over.callback(self)


def exists(job: HeardJob) -> bool:
    """Whether there is a process of this number, dead or alive."""
    return Path(f"/proc/{job.pid}").exists()


class ZygoteTests(TestCase):
    """One zygote each."""

    timeout = 60

    def zygote(self, python: str = sys.executable) -> Zygote:
        """Start one; it ends with the test."""
        self.ended: list[Zygote] = []
        zygote = Zygote(reactor, python, self.ended.append)
        self.addCleanup(lambda: zygote._gone if zygote.gone else zygote.stop())
        return zygote

    def listing(self, source: str) -> dict[str, Any]:
        """An order to list a project with one module of spiders."""
        folder = Path(mkdtemp())
        (folder / "spiders").mkdir()
        (folder / "spiders" / "__init__.py").write_text(source)
        return {
            "kind": "list",
            "path": str(folder),
            "spider_modules": [],
            "packages": [],
            "environment": {},
        }

    async def listed(self, zygote: Zygote, source: str = "") -> HeardJob:
        """Have a project listed; return what was heard, once the process is dead."""
        job = HeardJob()
        zygote.fork("job", job, self.listing(source))
        await job.over
        if 0 in job.heard:  # the report goes its own way, and may arrive after the end
            await until(lambda: job.reports)
        return job

    async def test_it_forks_and_tells_how_the_process_ended(self) -> None:
        """A job hears its process's number, its reports and its end; it is a zombie until it is reaped."""
        zygote = self.zygote()
        job = await self.listed(zygote)
        self.assertIn({"spiders": [], "broken": [], "duplicates": {}}, job.heard)
        self.assertIn(0, job.heard)
        self.assertTrue(exists(job))
        zygote.reap("job")
        again = await self.listed(zygote, "import os\nos._exit(3)\n")
        self.assertIn(3, again.heard)
        self.assertFalse(exists(job))
        self.assertEqual((zygote.ready, zygote.jobs, zygote.gone), (True, 1, False))
        self.assertIn("scrapy", zygote.versions)

    async def test_each_process_has_an_interpreter_of_its_own(self) -> None:
        """What one project puts into modules is not there for the next."""
        zygote = self.zygote()
        await self.listed(zygote, "import json\njson.mark = 1\n")
        zygote.reap("job")
        job = await self.listed(zygote, "import json\nassert not hasattr(json, 'mark')\n")
        self.assertEqual(job.reports[0]["broken"], [])

    async def test_a_zygote_that_does_not_answer(self) -> None:
        """One that was stopped is killed when its time is over, and its jobs hear why."""
        zygote = self.zygote()
        await self.listed(zygote)
        zygote.reap("job")
        self.patch(zygotes, "_ANSWER_WITHIN", 0.3)
        os.kill(zygote.pid, signal.SIGSTOP)
        job = await self.listed(zygote)
        self.assertIn("it did not answer within 0.3 seconds", job.heard[-1])
        self.assertEqual((zygote.gone, self.ended), (True, [zygote]))
        await zygote._gone
        self.assertFalse(alive(zygote.pid))

    async def test_a_python_that_is_none(self) -> None:
        """A program that ends at once costs the jobs that waited for it."""
        job = await self.listed(self.zygote("/bin/false"))
        self.assertIn("it ended with exit status 1", job.heard[-1])

    async def test_a_python_that_cannot_be_used(self) -> None:
        """What it said last is part of the reason."""
        script = Path(mkdtemp()) / "python"
        script.write_text("#!/bin/sh\necho 'No module named scrapy' >&2\nexit 4\n")
        script.chmod(0o700)
        job = await self.listed(self.zygote(str(script)))
        self.assertIn("it ended with exit status 4 (No module named scrapy)", job.heard[-1])

    async def test_a_zygote_that_sends_nonsense(self) -> None:
        """What answers otherwise than a zygote is killed."""
        script = Path(mkdtemp()) / "python"
        script.write_text(
            f"#!{sys.executable}\nimport os, sys, time\nos.write(int(sys.argv[2]), b'x\\n')\ntime.sleep(60)\n"
        )
        script.chmod(0o700)
        zygote = self.zygote(str(script))
        job = await self.listed(zygote)
        self.assertIn("it sent what the hub cannot read", job.heard[-1])

    def test_a_file_that_is_not_a_program(self) -> None:
        """What cannot be started is an error at once."""
        self.assertRaises(OSError, self.zygote, "/no/such/python")

    async def started(self, zygote: Zygote, source: str) -> tuple[HeardJob, int]:
        """Have a process forked whose project forks one that leaves session and parent; return that, too."""
        note = Path(mkdtemp()) / "pid"
        job = HeardJob()
        zygote.fork("job", job, self.listing(LEAVING.format(note=note, then=source.format(note=note))))
        while not note.exists():
            await self.turn()
        return job, int(note.read_text())

    async def turn(self) -> None:
        """Let a moment pass."""
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.02, turn.callback, None)  # type: ignore[attr-defined]
        await turn

    async def test_what_a_process_has_forked_dies_with_it(self) -> None:
        """A grandchild in a session of its own, that never started a program, ends with the process."""
        zygote = self.zygote()
        other = HeardJob()
        zygote.fork("other", other, self.listing("import time\ntime.sleep(60)\n"))
        # The process ends only after its child has written its number: one that is killed before never does.
        wait = "while not os.path.exists('{note}'): time.sleep(0.01)"
        job, grandchild = await self.started(zygote, wait)
        await job.over
        while alive(grandchild):
            await self.turn()
        self.assertTrue(alive(other.pid))

    async def test_nothing_outlives_a_killed_zygote(self) -> None:
        """Not even a grandchild that has left session and parent; ``stop`` waits until it is killed."""
        zygote = self.zygote()
        job, grandchild = await self.started(zygote, "time.sleep(60)")
        self.assertTrue(alive(grandchild))
        os.kill(zygote.pid, signal.SIGKILL)
        await job.over
        await zygote.stop()
        while alive(grandchild):  # a process that is killed takes a moment to be dead
            await self.turn()

    async def test_what_an_earlier_hub_has_left_is_found(self) -> None:
        """Processes know the data folder that their hub had, whatever became of it."""
        zygote = Zygote(reactor, sys.executable, lambda _: None, "/data/of this test")
        self.addCleanup(zygote.stop)
        _, grandchild = await self.started(zygote, "time.sleep(60)")
        self.assertIn(grandchild, kill_strays(f"{DATA_MARK}=/data/of this test"))
        self.assertEqual(kill_strays(f"{DATA_MARK}=/data/of another"), [])

    async def test_a_zygote_without_work_ends(self) -> None:
        """It keeps its memory for some minutes after its last job only."""
        self.patch(zygotes, "_IDLE", 0.5)
        zygote = self.zygote()
        await self.listed(zygote)
        self.assertFalse(zygote.gone)
        zygote.reap("job")
        await zygote._gone
        self.assertEqual((zygote.retired, self.ended, alive(zygote.pid)), (True, [zygote], False))

    async def test_stopping(self) -> None:
        """A zygote that is stopped takes its children with it, and its jobs hear of it."""
        zygote = self.zygote()
        job = HeardJob()
        zygote.fork("job", job, self.listing("import time\ntime.sleep(60)\n"))
        while not job.pid:
            await self.turn()
        await zygote.stop()
        self.assertFalse(alive(zygote.pid))
        self.assertFalse(alive(job.pid))
        self.assertTrue(any("the hub has stopped" in str(each) for each in job.heard))
