"""Changed code in the hub's process: who uses which version, and what becomes of versions nobody uses."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from typing import Any

from scrapy import Spider
from twisted.internet import reactor
from twisted.internet.task import deferLater

from reactorhub.model.run import CrawlEnd
from tests.support.shop_project import PACKAGE, EngineCase, spider

SAY = """
def parse(self, response):
    from {package}.helper import VALUE
    yield {{"class": {value}, "lazy": VALUE}}
"""
SLOW = """
async def parse(self, response):
    await asyncio.sleep(0.3)
    from {package}.helper import VALUE
    import {package}.helper as helper
    yield {{"class": {value}, "lazy": VALUE, "module": helper.VALUE}}
"""


def rebuild(table: dict[str, Any]) -> None:
    """Let a dict allocate its memory anew now, as it does once in thousands of changes: it is no leak."""
    for _ in range(10 * len(table)):
        table["no module"] = None
        del table["no module"]


class ReloadTests(EngineCase):
    """A project whose files are edited while the hub runs."""

    timeout = 600

    def write(self, value: int, body: str = SAY) -> None:
        """Write the version of this value. All versions have files of the same size and times."""
        package = self.folder / "project" / PACKAGE
        texts = {
            package / "helper.py": f"VALUE = {value}\n",
            package / "spiders" / "it.py": spider(
                body.format(package=PACKAGE, value=value), imports=f"import {PACKAGE}.helper"
            ),
        }
        for path, text in texts.items():
            path.write_text(text)
            os.utime(path, (1_700_000_000, 1_700_000_000))

    def begin(self, body: str = SAY) -> None:
        """Load version 1."""
        self.load({"it": spider("")})
        self.engine.load({})
        self.write(1, body)
        self.engine.load({"test": self.config})

    @property
    def config(self):  # type: ignore[no-untyped-def]
        """The project's own."""
        from reactorhub.engine.projects import ProjectConfig

        return ProjectConfig(name="test", path=self.folder / "project")

    async def said(self, run_id: str) -> str:
        """What a new run scrapes."""
        await self.launch(run_id).done
        return self.items(run_id)

    async def test_new_runs_use_new_code(self) -> None:
        """Stale bytecode is not executed: the versions differ in content alone."""
        self.begin()
        for value in range(1, 5):
            assert await self.said(f"run{value}") == f'{{"class": {value}, "lazy": {value}}}\n'
            self.write(value + 1)
            assert await self.said(f"old{value}") == f'{{"class": {value}, "lazy": {value}}}\n'
            assert self.engine.reload(["test", "other"]) == {}

    async def test_running_crawls_keep_theirs(self) -> None:
        """Also where they import a module of theirs again, for any number of versions."""
        self.begin(SLOW)
        crawls = []
        for value in (1, 2, 3):
            crawls.append((value, self.launch(f"run{value}")))
            await deferLater(reactor, 0.02)  # type: ignore[arg-type]
            self.write(value + 1, SLOW)
            assert self.engine.reload(["test"]) == {}
        for value, crawl in crawls:
            await crawl.done
            expected = f'{{"class": {value}, "lazy": {value}, "module": {value}}}\n'
            assert self.items(f"run{value}") == expected, self.log(f"run{value}")

    async def test_code_that_cannot_be_imported(self) -> None:
        """The last good version stays in force, as a whole, until there is a better one."""
        self.begin()
        broken = {
            "spiders/it.py": "import nothing_like_this\n",
            "settings.py": "1 / 0\n",
            "spiders/new.py": "raise SystemExit(3)\n",
        }
        for number, (path, text) in enumerate(broken.items()):
            file = self.folder / "project" / PACKAGE / path
            before = file.read_text() if file.exists() else None
            file.write_text(text)
            (kept,) = self.engine.reload(["test"]).values()
            assert f"module {PACKAGE}.{path[:-3].replace('/', '.')} cannot be imported: " in kept
            assert self.engine.catalog().errors() == {}
            assert await self.said(f"run{number}") == '{"class": 1, "lazy": 1}\n'
            file.unlink() if before is None else file.write_text(before)
        self.write(2)
        assert self.engine.reload(["test"]) == {}
        assert await self.said("last") == '{"class": 2, "lazy": 2}\n'

    async def test_what_was_broken_before(self) -> None:
        """It keeps nothing else from being loaded, and is loaded once it is mended."""
        self.begin()
        bad = self.folder / "project" / PACKAGE / "spiders" / "bad.py"
        self.engine.load({})
        bad.write_text("1 / 0\n")
        self.engine.load({"test": self.config})
        assert "ZeroDivisionError" in self.engine.catalog().errors()["test"]
        self.write(2)
        assert self.engine.reload(["test"]) == {}
        assert await self.said("run1") == '{"class": 2, "lazy": 2}\n'
        bad.write_text(spider("", "bad"))
        assert self.engine.reload(["test"]) == {}
        assert self.engine.catalog().errors() == {}
        assert [each.name for each in self.engine.catalog().spiders] == ["bad", "it"]

    async def test_a_project_that_was_taken_out_and_put_back(self) -> None:
        """It is read anew."""
        self.begin()
        self.engine.load({})
        self.write(2)
        self.engine.load({"test": self.config})
        assert await self.said("run1") == '{"class": 2, "lazy": 2}\n'

    async def test_files_that_come_and_go(self) -> None:
        """New modules are found, removed ones and their spiders are gone."""
        self.begin()
        package = self.folder / "project" / PACKAGE
        (package / "spiders" / "more.py").write_text(spider("", "more"))
        assert self.engine.reload(["test"]) == {}
        assert [each.name for each in self.engine.catalog().spiders] == ["it", "more"]
        (package / "spiders" / "more.py").unlink()
        assert self.engine.reload(["test"]) == {}
        assert [each.name for each in self.engine.catalog().spiders] == ["it"]

    async def test_the_log_says_that_code_has_changed(self) -> None:
        """Its first line has the note, once, and counts nowhere."""
        self.begin()
        self.engine.note = lambda project: f"code of {project} changed"
        end: CrawlEnd = await self.launch("noted").done
        first = self.log("noted").splitlines()[0]
        assert first.endswith("[reactorhub] INFO: code of test changed")
        assert self.log("noted").count("code of test") == 1
        assert end.errors == 0

    async def test_memory_stays_flat(self) -> None:
        """Versions that nobody uses are gone, with their classes and modules."""
        self.begin()
        rounds = int(os.environ.get("REACTORHUB_TEST_RELOADS", "16"))
        tracemalloc.start()
        try:
            rebuild(sys.modules)
            await self.rounds(8, 100)
            before = self.left_over()
            await self.rounds(rounds, 200)
            after = self.left_over()
        finally:
            tracemalloc.stop()
        assert (after["spiders"], after["modules"]) == (before["spiders"], before["modules"])
        assert after["objects"] - before["objects"] < 1_000, "as little after 300 rounds as after 16"
        assert after["bytes"] - before["bytes"] < 200_000

    async def rounds(self, count: int, first: int) -> None:
        """Edit, reload, crawl; and again."""
        for number in range(first, first + count):
            self.write(number)
            assert self.engine.reload(["test"]) == {}
            assert f'"lazy": {number}' in await self.said("round")

    def left_over(self) -> dict[str, int]:
        """What is alive."""
        loop = reactor._asyncioEventloop  # type: ignore[attr-defined]
        loop._scheduled[:] = sorted(timer for timer in loop._scheduled if not timer.cancelled())
        for _ in range(3):
            gc.collect()
        spiders = [cls for cls in gc.get_objects() if isinstance(cls, type) and issubclass(cls, Spider)]
        return {
            "spiders": len([cls for cls in spiders if cls.__module__.startswith(PACKAGE)]),
            "modules": len([name for name in sys.modules if name.startswith(PACKAGE)]),
            "objects": len(gc.get_objects()),
            "bytes": tracemalloc.get_traced_memory()[0],
        }
