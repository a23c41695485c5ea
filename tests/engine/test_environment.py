"""Scrapy's questions about the project, and its relative paths: answered for the project whose code asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scrapy.exceptions import NotConfigured
from scrapy.settings import Settings
from scrapy.utils.conf import closest_scrapy_cfg, get_config
from scrapy.utils.project import (
    ENVVAR,
    data_path,
    get_project_settings,
    inside_project,
    project_data_dir,
)

from reactorhub.containment.contexts import ProjectContext
from reactorhub.engine.scrapy.environment import answer_for_each_project, make_paths_absolute
from tests.support.shop_project import PACKAGE, EngineCase, spider

ASKS = """
from scrapy.utils.conf import closest_scrapy_cfg, get_config
from scrapy.utils.project import get_project_settings, data_path, inside_project, project_data_dir

def answers():
    return {
        "db": get_project_settings().get("DB"),
        "module": get_project_settings().get("SETTINGS_MODULE"),
        "inside": inside_project(),
        "cfg": closest_scrapy_cfg(),
        "config": get_config().get("settings", "default"),
        "folder": project_data_dir(),
        "path": data_path("cache", createdir=True),
    }

AT_IMPORT = answers()
"""
PLACES = {
    "a": """
        custom_settings = {"FEEDS": {"out/a.jl": {"format": "jsonlines"}}, "JOBDIR": "jobs"}
    """,
    "b": """
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            crawler.settings.set("FEED_TEMPDIR", "temp", priority="spider")
            return super().from_crawler(crawler, *args, **kwargs)
    """,
}
PARSE = """
        def parse(self, response):
            settings = self.crawler.settings
            names = ("JOBDIR", "FEED_TEMPDIR", "FILES_STORE", "IMAGES_STORE")
            yield {name: settings.get(name) for name in names}
"""
SETTINGS = f"""
from pathlib import Path
ADDONS = {{"{PACKAGE}.addon.Addon": 1}}
FILES_STORE = Path("files")
"""
ADDON = """
class Addon:
    def update_settings(self, settings):
        settings.set("IMAGES_STORE", "file://images", priority="addon")
"""


class AnswersTests(EngineCase):
    """A project that asks when it is imported, and in a run."""

    async def test_questions(self) -> None:
        """The answers at import and in a run are those of ``scrapy crawl`` in its folder."""
        text = spider(
            "def parse(self, response):\n    yield {'in': answers(), 'at': AT_IMPORT}", imports=ASKS
        )
        self.load({"it": text}, 'DB = "shop.db"')
        await self.launch().done
        found = json.loads(self.items())
        folder = (self.folder / "project").resolve()
        assert (
            found["in"]
            == found["at"]
            == {
                "db": "shop.db",
                "module": f"{PACKAGE}.settings",
                "inside": True,
                "cfg": str(folder / "scrapy.cfg"),
                "config": f"{PACKAGE}.settings",
                "folder": str(folder / ".scrapy"),
                "path": str(folder / ".scrapy" / "cache"),
            }
        )
        assert (folder / ".scrapy" / "cache").is_dir()

    async def test_relative_paths(self) -> None:
        """They lead into the project's folder, whichever part of the project has set them."""
        spiders = {name: spider(body.rstrip(" ") + PARSE, name) for name, body in PLACES.items()}
        config = self.prepared(spiders, SETTINGS)
        (config.path / PACKAGE / "addon.py").write_text(ADDON)
        (config.path / "temp").mkdir()
        self.engine.load({"test": config})
        ends = [await self.launch(f"run{name}", name).done for name in spiders]
        assert [end.items for end in ends] == [1, 1], [self.log(f"run{name}", name) for name in spiders]
        folder = config.path
        (line,) = (folder / "out" / "a.jl").read_text().splitlines()
        stores = {"FILES_STORE": str(folder / "files"), "IMAGES_STORE": f"file://{folder / 'images'}"}
        assert json.loads(line) == {"JOBDIR": str(folder / "jobs"), "FEED_TEMPDIR": None, **stores}
        assert (folder / "jobs" / "spider.state").exists()
        assert json.loads(self.items("runb", "b"))["FEED_TEMPDIR"] == str(folder / "temp")


class PlainTests(EngineCase):
    """What nobody's project asks, and what a project without scrapy.cfg asks."""

    def test_the_hub_itself_gets_scrapy_s_answers(self) -> None:
        """Outside of projects nothing differs; afterwards nothing is left of the change."""
        before, defaults = inside_project.__code__, closest_scrapy_cfg.__defaults__
        undo = answer_for_each_project()
        assert not closest_scrapy_cfg().startswith(str(self.folder))
        assert inside_project.__code__ is not before
        undo()
        assert inside_project.__code__ is before
        assert closest_scrapy_cfg.__defaults__ is defaults

    def test_a_folder_without_scrapy_cfg(self) -> None:
        """Its data folder is in it, and it is not a project to Scrapy."""
        project = ProjectContext("plain", self.folder.resolve())
        assert project.enter(inside_project) is False
        assert project.enter(data_path, "cache") == str(self.folder.resolve() / ".scrapy" / "cache")
        assert project.enter(data_path, "/cache") == "/cache"
        with self.assertRaises(NotConfigured):
            project.enter(project_data_dir)
        assert project.enter(get_project_settings).get("SETTINGS_MODULE") is None

    def test_a_data_folder_of_another_name(self) -> None:
        """``[datadir]`` of scrapy.cfg is relative to the project's folder."""
        text = "[settings]\\ndefault = json\\n[datadir]\\ndefault = kept\\n".replace("\\n", "\n")
        (self.folder / "scrapy.cfg").write_text(text)
        project = ProjectContext("shop", self.folder.resolve(), "json", "staging")
        assert project.enter(project_data_dir) == str(self.folder.resolve() / "kept")
        assert project.enter(get_config).get("datadir", "default") == "kept"
        assert project.enter(get_project_settings).get("PROJECT") == "staging"
        assert ENVVAR == "SCRAPY_SETTINGS_MODULE"


def changed(name: str, value: Any) -> Any:
    """A setting after its paths have been made absolute."""
    settings = Settings()
    settings.set(name, value, priority="spider")
    make_paths_absolute(settings, Path("/srv/shop"))
    assert settings.getpriority(name) == 30
    return settings.getdict(name) if name == "FEEDS" else settings[name]


def test_each_kind_of_path() -> None:
    """Paths are made absolute, addresses stay."""
    assert changed("JOBDIR", Path("jobs")) == "/srv/shop/jobs"
    assert changed("JOBDIR", "/jobs") == "/jobs"
    assert changed("FILES_STORE", "s3://bucket/x") == "s3://bucket/x"
    assert changed("FILES_STORE", "file:///x") == "file:///x"
    assert changed("FILES_STORE", "file://x") == "file:///srv/shop/x"
    assert changed("FEED_URI", "a b/%(name)s.json") == "/srv/shop/a b/%(name)s.json"
    feeds = [
        "x.json",
        Path("y.json"),
        "file:z%20z.json",
        "file:///abs.json",
        "stdout:",
        "ftp://h/x",
        "/abs.json",
    ]
    assert list(changed("FEEDS", {uri: {"format": "json"} for uri in feeds})) == [
        "/srv/shop/x.json",
        "/srv/shop/y.json",
        "/srv/shop/z z.json",
        "file:///abs.json",
        "stdout:",
        "ftp://h/x",
        "/abs.json",
    ]
    assert list(changed("FEEDS", '{"x.json": {"format": "json"}}')) == ["/srv/shop/x.json"]
