"""Projects as the engine loads them: spiders, broken modules, broken settings."""

from __future__ import annotations

from reactorhub.errors import UnknownSpider
from tests.support.shop_project import PACKAGE, EngineCase, spider


class ProjectTests(EngineCase):
    """What is loaded, what is broken, and which projects exclude each other."""

    def test_broken_modules_cost_nobody_but_themselves(self) -> None:
        """Whatever a module raises at import, its neighbours' spiders are there and it is listed."""
        self.load(
            {
                "a": spider("pass", "a"),
                "b_import": "import no_such_module_anywhere",
                "c_syntax": "def (",
                "d_name": "undefined",
                "e_exit": "import sys; sys.exit(4)",
                "z": spider("'''Walks.'''\ndef __init__(self, day, page=1, **kw):\n    pass", "z"),
            }
        )
        catalog = self.engine.catalog()
        assert [each.name for each in catalog.spiders] == ["a", "z"]
        assert catalog.spiders[1].docstring is None or "Walks" in catalog.spiders[1].docstring
        assert catalog.spiders[1].arguments == ("day", "page")
        broken = {each.module.rsplit(".", 1)[1]: each for each in catalog.broken}
        assert list(broken) == ["b_import", "c_syntax", "d_name", "e_exit"]
        assert broken["b_import"].error == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
        assert broken["e_exit"].error == "SystemExit: 4"
        assert "undefined" in broken["d_name"].traceback
        assert {each.project for each in catalog.broken} == {"test"}
        assert self.engine.module_of("test", "z") == f"{PACKAGE}.spiders.z"
        assert self.engine.module_of("test", "b_import") is None
        assert self.engine.module_of("gone", "z") is None

    def test_an_odd_spider_costs_nobody_but_itself(self) -> None:
        """A name that is not a text breaks its own class, which is listed; its module's other spiders run."""
        odd = spider("pass", "a") + "\n\nclass Seven(It):\n    name = 7\n"
        self.load({"a": odd, "z": spider("pass", "z")})
        catalog = self.engine.catalog()
        assert [each.name for each in catalog.spiders] == ["a", "z"]
        (broken,) = catalog.broken
        assert (broken.project, broken.spider_class) == ("test", "Seven")
        assert "its name is 7, which is not a text" in broken.error
        assert broken.told("no") == f"class Seven of module {PACKAGE}.spiders.a cannot run"

    def test_a_module_that_puts_something_else_in_its_place(self) -> None:
        """What is not a module breaks its own file only."""
        self.load({"a": "import sys\nsys.modules[__name__] = 7\n", "z": spider("pass", "z")})
        assert [each.name for each in self.engine.catalog().spiders] == ["z"]
        (broken,) = self.engine.catalog().broken
        assert broken.module == f"{PACKAGE}.spiders.a" and "TypeError" in broken.error

    def test_a_loader_of_the_project_s_own_may_raise(self) -> None:
        """Its project has no spiders then, and says why; nothing else notices."""
        head = "class Own:\n    from_settings = classmethod(lambda cls, settings: cls())\n"
        modules = {"a": spider("pass", "a"), "own": f"{head}    def list(self):\n        1 / 0\n"}
        self.load(modules, f'SPIDER_LOADER_CLASS = "{PACKAGE}.spiders.own.Own"')
        assert self.engine.catalog().spiders == ()
        assert self.engine.catalog().broken[0].error == "ZeroDivisionError: division by zero"
        with self.assertRaisesRegex(UnknownSpider, "has no spider 'a'"):
            self.engine.resolve("a", "test")

    def test_broken_settings(self) -> None:
        """A settings module that raises leaves its project without spiders, and the hub up."""
        self.load({"a": spider("pass", "a")}, "raise SystemExit('no settings')")
        assert self.engine.catalog().spiders == ()
        assert self.engine.catalog().broken[0].error == "SystemExit: no settings"

    def test_two_spiders_of_one_name(self) -> None:
        """The one that wins is said aloud."""
        self.load({"a": spider("pass", "same"), "b": spider("pass", "same")})
        assert "spider 'same' is defined 2 times" in self.engine.catalog().warnings[0]

    def test_resolve(self) -> None:
        """A spider's project is found, or the refusal says what there is."""
        self.load({"a": spider("pass", "a")})
        assert self.engine.resolve("a", None) == self.engine.resolve("a", "test") == "test"
        with self.assertRaisesRegex(UnknownSpider, "there is no spider 'b'"):
            self.engine.resolve("b", None)
        with self.assertRaisesRegex(UnknownSpider, "there is no project 'x'; there are: test"):
            self.engine.resolve("a", "x")
