"""A process of the doctor's own reads projects for the hub."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from reactorhub.engine.doctor.process import ProcessDoctor
from reactorhub.engine.projects import ProjectConfig
from reactorhub.model.isolation import Isolate

SPIDER = """\
import time, scrapy

class {0}(scrapy.Spider):
    name = "{0}"
    def parse(self, response):
        {1}
"""


class DoctorTests(TestCase):
    """On the test's own reactor, with real processes."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.doctor = ProcessDoctor(reactor, self.folder / "kept")

    def write(self, name: str, call: str = "pass") -> ProjectConfig:
        """Write a project of one spider that makes this call."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / f"{name}_spider.py").write_text(SPIDER.format(name, call))
        modules = (f"{name}_spider",)
        return ProjectConfig(name=name, path=folder, spider_modules=modules, isolate=Isolate.AUTO)

    def because(self, name: str) -> str | None:
        """Why this project's spider should have a process of its own."""
        report = self.doctor.report(name)
        assert report is not None
        return report.because(name)

    async def test_projects_are_read_once_and_again_when_told(self) -> None:
        """A report stays until the doctor is told to read again; all who wait share one process."""
        shop, press = self.write("shop", "time.sleep(1)"), self.write("press")
        waiting = self.doctor.known([shop, press]), self.doctor.known([press])
        assert self.doctor.report("shop") is None
        for each in waiting:
            await each
        why = self.because("shop")
        assert why is not None and why.endswith(
            "shop_spider.py:6: time.sleep() blocks every crawl until it returns"
        )
        assert self.because("press") is None
        self.write("press", "time.sleep(1)")
        assert self.doctor.known([press]).called
        again = self.doctor.read([press])
        assert (self.doctor.report("press"), again.called) == (None, False)
        await again
        assert self.because("press") is not None

    async def test_a_project_that_changes_while_it_is_read(self) -> None:
        """An order to read that comes meanwhile is obeyed afterwards, with the code as it is then."""
        first = self.doctor.read([self.write("shop")])
        second = self.doctor.read([self.write("shop", "time.sleep(1)")])
        await first
        await second
        assert self.because("shop") is not None

    async def test_what_cannot_be_read(self) -> None:
        """A folder without spiders is told by its report; a process that fails, by all of its reports."""
        gone = ProjectConfig(name="gone", path=self.folder / "gone", isolate=Isolate.AUTO)
        await self.doctor.known([gone])
        assert self.because("gone") == "the doctor does not find the spider in the code of the project"
        self.patch(sys, "executable", "/bin/false")
        await self.doctor.read([gone])
        report = self.doctor.report("gone")
        assert report is not None and report.error is not None and "ended" in report.error
        self.flushLoggedErrors()

    async def test_nobody_waits_for_ever(self) -> None:
        """An answer may be cancelled; at the end of the hub all come, and the process ends."""
        first, second = self.doctor.known([self.write("shop")]), self.doctor.known([self.write("shop")])
        first.addErrback(lambda _: None).cancel()
        self.doctor.stop()
        await second
