"""Projects as people have them: made by scrapy itself, plain folders, several at once, some broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hubs import CHECKOUT, Hub, write_project

CONFIG = f"""
    hub:
      demo_site: tcp:0:interface=127.0.0.1
      projects:
        plain: {{path: plain}}
        made: {{path: made}}
        bookshop: {{path: {CHECKOUT / "spiders"}}}
    schedules: {{}}
"""
GOOD = """
    import scrapy

    class Good(scrapy.Spider):
        '''Visits one page.'''

        name = "good"

        def __init__(self, number="1", **kwargs):
            super().__init__(**kwargs)
            self.number = number

        async def start(self):
            yield scrapy.Request(f"{self.shop}/one/{self.number}.html")

        def parse(self, response):
            yield {"url": response.url, "bot": self.settings["BOT_NAME"], "type": type(self.number).__name__}
"""
BROKEN = {
    "absent": ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
    "grammar": ("class Spider(:\n", "SyntaxError: invalid syntax"),
    "unnamed": ("what_is_this\n", "NameError: name 'what_is_this' is not defined"),
    "leaver": ("import sys\nsys.exit('no')\n", "SystemExit: no"),
}
NAMESAKE = """
    import statistics

    import common
    import scrapy
    from scrapy.utils.project import get_project_settings, project_data_dir

    AT_IMPORT = get_project_settings()["WHO"]

    class Lab(scrapy.Spider):
        name = "lab"
        start_urls = ["data:,x"]

        def parse(self, response):
            import lazy

            in_run = get_project_settings()["WHO"]
            mean = statistics.mean([1, 3])
            yield {"found": [common.VALUE, lazy.VALUE, AT_IMPORT, in_run, mean, project_data_dir()]}
"""
STAGE = """
    import scrapy
    from scrapy.utils.project import get_project_settings

    class Stage(scrapy.Spider):
        name = "stage"
        start_urls = ["data:,x"]

        def parse(self, response):
            yield {"stage": self.settings["STAGE"], "module": get_project_settings()["STAGE"]}
"""
SPIDER = """
import scrapy

class Titles(scrapy.Spider):
    name = "titles"

    async def start(self):
        yield scrapy.Request(f"{self.shop}/one/7.html", headers={"X-Seen": "1"})

    def parse(self, response):
        sent = response.request.headers["User-Agent"].decode()
        yield {"agent": sent, "bot": self.settings["BOT_NAME"]}
"""
PIPELINE = """
class MadePipeline:
    def process_item(self, item):
        item["stamped"] = "by the project's own pipeline"
        return item
"""
SETTINGS = """
USER_AGENT = "made by scrapy startproject"
ITEM_PIPELINES = {"made.pipelines.MadePipeline": 300}
DOWNLOAD_DELAY = 0
TELNETCONSOLE_ENABLED = True
"""


def start_project(folder: Path) -> None:
    """Let scrapy make a project, and give it a spider, a pipeline and settings."""
    scrapy = Path(sys.executable).with_name("scrapy")
    command = [str(scrapy), "startproject", folder.name, str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    package = folder / folder.name
    (package / "spiders" / "titles.py").write_text(SPIDER)
    (package / "pipelines.py").write_text(PIPELINE)
    with (package / "settings.py").open("a") as settings:
        settings.write(SETTINGS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a plain folder, a project of scrapy's making and the example project."""
    hub = Hub(tmp_path_factory.mktemp("projects"), CONFIG)
    write_project(hub.folder / "plain", aaa=GOOD.replace("good", "first"), zzz=GOOD)
    for name, (source, _) in BROKEN.items():
        (hub.folder / "plain" / "spiders" / f"{name}.py").write_text(source)
    start_project(hub.folder / "made")
    with hub:
        yield hub


def spiders(hub: Hub) -> dict[str, Any]:
    """Return what the hub says of its spiders."""
    status, view = hub.get("/api/spiders")
    assert status == 200
    return dict(view)


def test_all_spiders_are_listed(hub: Hub) -> None:
    """The good spiders of all projects are listed, with docstring and arguments, broken neighbours or not."""
    found = {(spider["project"], spider["name"]): spider for spider in spiders(hub)["spiders"]}
    expected = {("plain", "first"), ("plain", "good"), ("made", "titles"), ("bookshop", "books")}
    assert expected <= found.keys()
    assert found["plain", "good"]["docstring"] == "Visits one page."
    assert found["plain", "good"]["arguments"] == ["number"]


def test_broken_modules_are_listed_with_their_traceback(hub: Hub) -> None:
    """A module that cannot be imported, or leaves, costs nobody but itself, and is listed with the reason."""
    broken = {module["module"]: module for module in spiders(hub)["broken"]}
    assert {name: module["error"] for name, module in broken.items()} == {
        f"spiders.{name}": error for name, (_, error) in BROKEN.items()
    }
    for name in BROKEN:
        assert f"{name}.py" in broken[f"spiders.{name}"]["traceback"]
    assert {module["project"] for module in broken.values()} == {"plain"}


def test_each_broken_module_is_one_warning_at_start(hub: Hub) -> None:
    """The hub's log has one line for each module that could not be imported, as a warning with the reason."""
    lines = [line for line in hub.output.splitlines() if "cannot be imported" in line]
    assert len(lines) == len(BROKEN) and all("#warn" in line for line in lines)
    for name, (_, error) in BROKEN.items():
        (line,) = [line for line in lines if f"module spiders.{name} cannot be imported" in line]
        assert "project plain" in line and error in line


def test_unknown_spider_may_be_in_a_broken_module(hub: Hub) -> None:
    """Who orders a spider that is not there is told which modules failed to import."""
    status, problem = hub.post("/api/runs", {"spider": "absent"})
    assert status == 422
    assert "spiders.absent" in problem["detail"]


def test_plain_folder_runs(hub: Hub) -> None:
    """A spider of a plain folder runs with Scrapy's own settings, and its arguments are texts."""
    run = hub.wait_final(hub.order("good", {"number": "3"}))
    assert run["state"] == "succeeded", run["reason"]
    assert hub.items(run["id"]) == [{"url": f"{hub.shop}/one/3.html", "bot": "scrapybot", "type": "str"}]


def test_project_of_scrapys_making_runs_unchanged(hub: Hub) -> None:
    """A project made by ``scrapy startproject`` crawls with its own settings and pipelines."""
    run = hub.wait_final(hub.order("titles"))
    assert run["state"] == "succeeded", run["reason"]
    (item,) = hub.items(run["id"])
    assert item == {
        "agent": "made by scrapy startproject",
        "bot": "made",
        "stamped": "by the project's own pipeline",
    }


def test_projects_with_the_same_names_are_told_apart(tmp_path: Path) -> None:
    """Two folders with the same module names run in one process, each with its own modules and settings."""
    for name in ("one", "two"):
        write_project(tmp_path / name, lab=NAMESAKE)
        (tmp_path / name / "common.py").write_text(f"VALUE = {name!r}\n")
        (tmp_path / name / "lazy.py").write_text(f"VALUE = {name!r}\n")
        (tmp_path / name / "settings.py").write_text(f"WHO = {name!r}\nSPIDER_MODULES = ['spiders']\n")
        (tmp_path / name / "scrapy.cfg").write_text("[settings]\ndefault = settings\n")
        (tmp_path / name / "statistics.py").write_text("raise SystemExit('a script')\n")
    config = """
        hub:
          projects:
            one: {path: one}
            two: {path: two}
        schedules: {}
    """
    with Hub(tmp_path, config) as hub:
        for name in ("one", "two", "one"):
            run = hub.wait_final(hub.order("lab", project=name))
            assert run["state"] == "succeeded", run["reason"]
            folder = str((tmp_path / name / ".scrapy").resolve())
            expected = [name, name, name, name, 2, folder]
            assert hub.items(run["id"]) == [{"found": expected}]


def test_sections_and_what_is_wrong_in_scrapy_cfg(tmp_path: Path) -> None:
    """A project names its section, shared and isolated; one that cannot be read costs nobody but itself."""
    write_project(tmp_path / "shop", stage=STAGE)
    (tmp_path / "shop" / "base.py").write_text("STAGE = 'base'\nSPIDER_MODULES = ['spiders']\n")
    (tmp_path / "shop" / "staging.py").write_text("from base import *\nSTAGE = 'staging'\n")
    (tmp_path / "shop" / "scrapy.cfg").write_text("[settings]\ndefault = base\nstaging = staging\n")
    write_project(tmp_path / "bad", stage=STAGE)
    (tmp_path / "bad" / "scrapy.cfg").write_text("[settings]\nwhat is this\n")
    config = """
        hub:
          projects:
            base: {path: shop}
            staging: {path: shop, settings: staging}
            apart: {path: shop, settings: staging, isolate: process}
            module: {path: shop, settings: base}
            bad: {path: bad}
            bad_apart: {path: bad, isolate: process}
        schedules: {}
    """
    stages = {"base": "base", "staging": "staging", "apart": "staging", "module": "base"}
    with Hub(tmp_path, config, environment={"SCRAPY_PROJECT": "production"}) as hub:
        ids = {name: hub.order("stage", project=name) for name in stages}
        ends = {name: hub.wait_final(run_id) for name, run_id in ids.items()}
        assert {name: end["state"] for name, end in ends.items()} == dict.fromkeys(stages, "succeeded"), ends
        expected = {name: [{"stage": stage, "module": stage}] for name, stage in stages.items()}
        assert {name: hub.items(run_id) for name, run_id in ids.items()} == expected
        found = spiders(hub)
        wrong = "'what is this' is not a section, and not a key with a value"
        error = f"{tmp_path / 'bad' / 'scrapy.cfg'}:2: {wrong}"
        broken = {each["project"]: (each["module"], each["error"]) for each in found["broken"]}
        assert broken == {"bad": ("scrapy.cfg", error), "bad_apart": ("scrapy.cfg", error)}
        (warning,) = found["warnings"]
        assert warning.startswith("project 'base': SCRAPY_PROJECT is 'production', which is not an entry")
