"""Classes of all kinds in a module of spiders: some run, some are said to be broken, none harms another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest
from scrapy import Spider
from scrapy.settings import Settings

from reactorhub.engine.isolated.child.private import Loader
from reactorhub.engine.isolated.child.spiders import arguments, classes_of, docstring, module_of, sort_out

HEAD = """
import scrapy
from enum import Enum

class Good(scrapy.Spider):
    name = "good"

class Base(scrapy.Spider):
    name = None

class Angry(type):
    def __getattribute__(cls, name):
        if name in ("name", "__module__", "__doc__"):
            raise RuntimeError("no")
        return super().__getattribute__(name)

class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("outside of a request")

proxy = Proxy()
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[object]:
    """A function that writes a module below :data:`HEAD` and executes it."""

    def make(text: str) -> ModuleType:
        path = tmp_path / "odd_spiders.py"
        path.write_text(HEAD + dedent(text))
        module = ModuleType("odd_spiders")
        module.__file__ = str(path)
        sys.modules["odd_spiders"] = module
        exec(compile(path.read_text(), str(path), "exec"), vars(module))
        return module

    yield make
    sys.modules.pop("odd_spiders", None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("name = 7", "its name is 7, which is not a text; write it in quotes"),
        ("name = b'odd'", "its name is b'odd', which is not a text"),
        ("name = ['odd'] * 100", "its name is ['odd', 'odd', "),
        ("name = property(lambda self: 'odd')", "its name is a property; only an attribute of the class"),
        ("name = 'two\\nlines'", "its name 'two\\nlines' has characters that cannot be printed"),
        ("name = '\\ud800'", "its name '\\ud800' has characters that cannot be printed"),
        ("name = 'odd'; custom_settings = ['LOG_LEVEL']", "its custom_settings are ['LOG_LEVEL'], which"),
        ("name = 'x' * 300", "its name has 300 characters; an order can name 200 at most"),
        ("name = 'odd'; from_crawler = None", "its from_crawler is None, which cannot be called"),
    ],
)
def test_what_keeps_a_spider_from_running_is_said(made: object, body: str, says: str) -> None:
    """One class is listed as broken with its file and line; the spider beside it runs."""
    spiders, odd = sort_out(made(f"class Odd(scrapy.Spider):\n    {body}\n"), Spider)  # type: ignore[operator]
    assert list(spiders) == ["good"]
    (report,) = odd
    assert report["spider_class"] == "Odd" and report["module"] == "odd_spiders"
    assert report["error"].startswith("spider class Odd in /") and "odd_spiders.py:23: " in report["error"]
    assert says in report["error"]


def test_a_class_that_raises_when_it_is_looked_at(made: object) -> None:
    """A metaclass of the project's own may raise anywhere."""
    spiders, odd = sort_out(made("class Odd(scrapy.Spider, metaclass=Angry):\n    pass\n"), Spider)  # type: ignore[operator]
    assert list(spiders) == ["good"]
    assert odd[0]["error"].endswith(": it raises RuntimeError when its attributes are read")
    odd_class = vars(sys.modules["odd_spiders"])["Odd"]
    assert docstring(odd_class) is None
    assert module_of(odd_class) == "odd_spiders"


def test_a_class_that_does_not_say_its_module() -> None:
    """Whatever stands in its place, nothing is raised."""

    def angry(self: object) -> str:
        raise RuntimeError

    assert module_of(type("Odd", (), {"__module__": 7})) is None
    assert module_of(type("Odd", (), {"__module__": property(angry)})) is None


@pytest.mark.parametrize(
    "body",
    [
        "name = 'a/b'",
        "name = '..'",
        "name = 'x' * 200",
        "name = 'odd'; custom_settings = None",
        "name = 'odd'; __doc__ = 7; __init__ = object.__init__",
        "name = 'odd'; __signature__ = 3",
        "name = Enum('Names', {'ODD': 'odd'}, type=str).ODD",
    ],
)
def test_what_is_merely_unusual_runs(made: object, body: str) -> None:
    """What Scrapy can run is not refused, and its name is a plain text."""
    spiders, odd = sort_out(made(f"class Odd(scrapy.Spider):\n    {body}\n"), Spider)  # type: ignore[operator]
    assert odd == []
    name, cls = list(spiders.items())[1]
    assert type(name) is str and name == cls.name
    assert isinstance(docstring(cls), str | None)
    assert arguments(cls) == []


@pytest.mark.parametrize("name", ["None", "''", "0"])
def test_a_class_without_a_name_is_not_a_spider(made: object, name: str) -> None:
    """Base classes are neither listed nor broken, as in Scrapy."""
    spiders, odd = sort_out(made(f"class Odd(scrapy.Spider):\n    name = {name}\n"), Spider)  # type: ignore[operator]
    assert list(spiders) == ["good"] and odd == []


def test_a_base_class_without_the_attribute(made: object) -> None:
    """In old versions of Scrapy the class Spider itself has no name."""

    class Old:
        custom_settings = None

        @classmethod
        def update_settings(cls, settings: object) -> None:
            """Scrapy calls it."""

        from_crawler = update_settings

    module = made("")  # type: ignore[operator]
    vars(module)["Named"] = type("Named", (Old,), {"name": "named", "__module__": "odd_spiders"})
    vars(module)["Nameless"] = type("Nameless", (Old,), {"__module__": "odd_spiders"})
    spiders, odd = sort_out(module, Old)
    assert list(spiders) == ["named"] and odd == []


def test_a_loader_of_the_project_s_own() -> None:
    """It may have names that are not texts, and raise for single spiders."""

    class Own:
        def list(self) -> list[object]:
            return ["good", 7, "gone"]

        def load(self, name: str) -> type[Spider]:
            return {"good": Spider}[name]

    found, odd = classes_of(Own())
    assert found == {"good": Spider}
    assert [each["error"] for each in odd] == [
        "TypeError: the spider loader has a name that is not a text: 7",
        "KeyError: 'gone'",
    ]


def test_a_spider_whose_module_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the module and what is wrong with it; the traceback is printed, for the run's log."""
    package = tmp_path / "half_done_spiders"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "prices.py").write_text("import no_such_package\n")
    sys.path.insert(0, str(tmp_path))
    try:
        loader = Loader.from_settings(Settings({"SPIDER_MODULES": ["half_done_spiders"]}))
        with pytest.raises(
            ImportError, match=r"'prices'.*half_done_spiders.prices .*No module named 'no_such"
        ):
            loader.load("prices")
        assert "import no_such_package" in capsys.readouterr().err
        loader.broken.clear()
        with pytest.raises(KeyError):
            loader.load("prices")
    finally:
        sys.path.remove(str(tmp_path))
