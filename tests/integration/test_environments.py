"""Projects with a Python of their own: one hub runs spiders of several Scrapy versions side by side.

The virtual environments are made once, below ``.venv``, which is not part of the repository.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hubs import CHECKOUT, Hub, alive, until
from tests.support.redis_server import free_port

PACKAGES = {
    "2.11.2": ("scrapy==2.11.2", "twisted==24.3.0", "w3lib<2.3"),
    "2.13.3": ("scrapy==2.13.3", "twisted==25.5.0"),
}
CONFIG = """
    hub:
      demo_site: tcp:SITE_PORT:interface=127.0.0.1
      projects:
        p2_11: {path: p2_11, python: PYTHON_2.11.2}
        p2_13: {path: p2_13, python: PYTHON_2.13.3}
        p2_19: {path: p2_19, isolate: process}
        bare: {path: bare, python: bare/bin/python}
    schedules:
      old:
        project: p2_11
        spider: shelf
        args: {shop: "http://127.0.0.1:SITE_PORT"}
        expect: {fields: {url: "== 100%"}}
"""
SETTINGS = 'BOT_NAME = "PROJECT"\nSPIDER_MODULES = ["books.spiders"]\nCONCURRENT_REQUESTS_PER_DOMAIN = 2\n'
SPIDER = '''
    import os, sys, time
    import scrapy
    from scrapy.utils.project import get_project_settings

    class Visitor(scrapy.Spider):
        """Asks for one page."""

        page = "/one/1.html"

        def start_requests(self):
            yield scrapy.Request(self.shop + self.page)

        async def start(self):
            for request in self.start_requests():
                yield request

    class Shelf(Visitor):
        """Says who it is."""

        name = "shelf"

        def __init__(self, shop, extra="", **kwargs):
            super().__init__(**kwargs)
            self.shop = shop

        def parse(self, response):
            self.logger.error("one error")
            bot = get_project_settings()["BOT_NAME"]
            yield {"url": response.url, "scrapy": scrapy.__version__, "bot": bot,
                "python": sys.prefix, "name": "\\u00e9\\udc80"}

    class Hang(Visitor):
        name = "hang"
        page = "/slow/600"

    class Wrong(Visitor):
        name = "wrong"

        def parse(self, response):
            raise ValueError("no price")

    class Refused(Visitor):
        name = "refused"
        page = "/no/such/page"

    class Lost(Visitor):
        name = "lost"
        custom_settings = {"FEEDS": {"/dev/full": {"format": "jsonlines"}}}

        def parse(self, response):
            yield {"url": response.url}

    class Many(Visitor):
        name = "many"
        custom_settings = {"DOWNLOAD_DELAY": 0.1, "RANDOMIZE_DOWNLOAD_DELAY": False}

        def start_requests(self):
            for number in range(600):
                yield scrapy.Request(f"{self.shop}/one/{number}.html")

        def parse(self, response):
            yield {"url": response.url}

    class Polite(Visitor):
        name = "polite"
        custom_settings = {"CONCURRENT_REQUESTS_PER_DOMAIN": 1}

        def start_requests(self):
            for number in range(5):
                yield scrapy.Request(f"{self.shop}/slow/0.2?{number}", dont_filter=True)

        def parse(self, response):
            pass
'''


def python_with(version: str) -> Path:
    """Return the Python of an environment with this Scrapy; make it where there is none.

    :raises AssertionError: with what pip said, where it cannot.
    """
    folder = CHECKOUT / ".venv" / f"scrapy-{version}"
    ready, python = folder / "ready", folder / "bin" / "python"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            *PACKAGES[version],
        ]
        installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert installed.returncode == 0, f"pip cannot install Scrapy {version}: {installed.stderr}"
        ready.touch()
    return python


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a project for each version of Scrapy."""
    folder = tmp_path_factory.mktemp("environments")
    text = CONFIG.replace("SITE_PORT", str(free_port()))
    for version in PACKAGES:
        text = text.replace(f"PYTHON_{version}", str(python_with(version)))
    for project in ("p2_11", "p2_13", "p2_19", "bare"):
        package = folder / project / "books"
        (package / "spiders").mkdir(parents=True)
        (folder / project / "scrapy.cfg").write_text("[settings]\ndefault = books.settings\n")
        (package / "__init__.py").touch()
        (package / "settings.py").write_text(SETTINGS.replace("PROJECT", project))
        (package / "spiders" / "__init__.py").touch()
        (package / "spiders" / "shelf.py").write_text(dedent(SPIDER))
        (package / "spiders" / "broken.py").write_text("import no_such_module\n")
    venv.create(folder / "bare", with_pip=False)
    with Hub(folder, text) as hub:
        yield hub


VERSIONS = pytest.mark.parametrize(
    ("project", "version"), [("p2_11", "2.11.2"), ("p2_13", "2.13.3"), ("p2_19", None)]
)


@VERSIONS
def test_a_run(hub: Hub, project: str, version: str | None) -> None:
    """A run uses its project's Python and Scrapy; items, log, stats and outcome are as anywhere."""
    run_id = hub.order("shelf", project=project)
    run = hub.wait_final(run_id)
    assert (run["state"], run["reason"]) == ("succeeded", "the crawl finished with 1 items and 1 errors")
    assert run["isolated"] is True
    (item,) = hub.items(run_id)
    assert item["bot"] == project
    assert item["name"] == "é\udc80"
    if version is not None:
        assert item["scrapy"] == version
        assert item["python"] == str(CHECKOUT / ".venv" / f"scrapy-{version}")
    assert "[shelf] ERROR: one error" in hub.log(run_id)
    assert run["stats"]["log_count/ERROR"] == 1
    assert run["stats"]["item_scraped_count"] == 1


@VERSIONS
def test_a_failure(hub: Hub, project: str, version: str | None) -> None:
    """Exceptions of callbacks count, and the last one's last line is known."""
    run = hub.wait_final(hub.order("wrong", project=project))
    assert run["state"] == "failed"
    assert run["error"] == "ValueError: no price"


@VERSIONS
def test_winning_nothing(hub: Hub, project: str, version: str | None) -> None:
    """Pages that are refused and items that cannot be stored fail a run, under any Scrapy."""
    refused, lost = (hub.order(name, project=project) for name in ("refused", "lost"))
    assert hub.wait_final(refused)["reason"] == "every page was refused: 404 × 1"
    reason = "1 item could not be stored: OSError: [Errno 28] No space left on device"
    assert hub.wait_final(lost)["reason"] == reason


@VERSIONS
def test_stopping(hub: Hub, project: str, version: str | None) -> None:
    """A forced cancel drops a hung download; a graceful one lets a crawl close in order; stats are live."""
    hang, many = hub.order("hang", project=project), hub.order("many", project=project)
    hub.wait_state(hang, "running")
    hub.post(f"/api/runs/{hang}/cancel", {"force": True})
    run = hub.wait_final(hang, 4)
    assert (run["state"], run["finish_reason"]) == ("cancelled", "shutdown")
    until(lambda: hub.run(many)["stats"].get("item_scraped_count", 0) > 3, 10, "live stats")
    hub.post(f"/api/runs/{many}/cancel")
    run = hub.wait_final(many, 10)
    assert (run["state"], run["finish_reason"]) == ("cancelled", "shutdown")
    assert len(hub.items(many)) == run["stats"]["item_scraped_count"]


@VERSIONS
def test_politeness(hub: Hub, project: str, version: str | None) -> None:
    """One request at a time is one at a time: five pages of 0.2 s take a second."""
    run = hub.wait_final(hub.order("polite", project=project))
    assert run["stats"]["elapsed_time_seconds"] >= 1


def test_spiders_are_listed_by_a_process(hub: Hub) -> None:
    """The catalog tells name, docstring and arguments, and what is broken, without the hub importing it."""
    listed = hub.get("/api/spiders")[1]
    spiders = {(each["project"], each["name"]): each for each in listed["spiders"]}
    for project in ("p2_11", "p2_13", "p2_19"):
        assert spiders[project, "shelf"]["docstring"] == "Says who it is."
        assert spiders[project, "shelf"]["arguments"] == ["shop", "extra"]
    broken = {each["project"]: each for each in listed["broken"]}
    assert broken["p2_11"]["module"] == "books.spiders.broken"
    assert "no_such_module" in broken["p2_11"]["error"]


def test_a_python_without_scrapy_is_told(hub: Hub) -> None:
    """A Python that cannot be used breaks its own project, with the reason, and no other."""
    broken = {each["project"]: each for each in hub.get("/api/spiders")[1]["broken"]}
    assert "No module named 'scrapy'" in broken["bare"]["error"]
    status, problem = hub.post("/api/runs", {"spider": "shelf", "project": "bare"})
    assert (status, problem["status"]) == (422, 422)


def test_an_order_cannot_leave_its_environment(hub: Hub) -> None:
    """A project with a Python of its own is always isolated."""
    status, problem = hub.post("/api/runs", {"spider": "shelf", "project": "p2_11", "isolate": "none"})
    assert status == 422
    assert "its own Python" in problem["errors"][0]["message"]


def test_a_schedule_of_another_environment(hub: Hub) -> None:
    """A schedule's expectations hold for it, and its run is isolated without a word about it."""
    run_id = hub.post("/api/schedules/old/trigger")[1]["id"]
    run = hub.wait_final(run_id)
    assert (run["state"], run["isolated"]) == ("succeeded", True)
    assert run["stats"]["item_field_count/url"] == 1


def test_a_new_spider_is_found_by_a_reload(hub: Hub) -> None:
    """A reload asks isolated projects again what spiders they have."""
    module = hub.folder / "p2_19" / "books" / "spiders" / "fresh.py"
    assert hub.post("/api/runs", {"spider": "fresh", "project": "p2_19"})[0] == 422
    module.write_text("import scrapy\nclass Fresh(scrapy.Spider):\n    name = 'fresh'\n    start_urls = []\n")
    assert hub.post("/api/reload")[0] == 200
    run = hub.wait_final(hub.order("fresh", project="p2_19"))
    assert run["finish_reason"] == "finished"


def test_a_project_that_kills_whoever_imports_it(tmp_path: Path) -> None:
    """Code that ends, stops or deafens the process that imports it is one broken project; the hub goes on."""
    project = tmp_path / "lab" / "spiders"
    project.mkdir(parents=True)
    (project / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    config = "hub: {projects: {lab: {path: lab, isolate: process}}}\n"
    with Hub(tmp_path, config) as hub:
        (broken,) = hub.get("/api/spiders")[1]["broken"]
        assert "killed by SIGSEGV while the project was imported" in broken["error"]
        assert alive(hub.pid)


def test_this_test_needs_this_python() -> None:
    """The environments are of the Python that runs the tests."""
    for version in PACKAGES:
        said = subprocess.run(
            [
                str(python_with(version)),
                "-c",
                "import scrapy, sys; print(scrapy.__version__, *sys.version_info[:2])",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.split() == [version, *map(str, sys.version_info[:2])]
