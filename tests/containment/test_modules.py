"""Modules of several projects in one process: each project finds its own, and nobody else's."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from reactorhub.containment.contexts import ProjectContext
from reactorhub.containment.module_places import place_of
from reactorhub.containment.modules import MODULES, tell_modules_apart

Make = Callable[..., ProjectContext]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A function that writes a project's modules and adds it; ``declared`` are its own packages.

    In a module's name ``__`` stands for a slash.
    """
    loaded, path, undo = set(sys.modules), list(sys.path), tell_modules_apart()

    def made(name: str, declared: str = "", **modules: str) -> ProjectContext:
        folder = tmp_path / name
        for module, text in modules.items():
            file = folder / f"{module.replace('__', '/').replace('INIT', '__init__')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        project = ProjectContext(name, folder)
        MODULES.add(project, place_of(folder, set(declared.split())))
        return project

    yield made
    undo()
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def told(project: ProjectContext, text: str) -> Any:
    """What the name ``it`` holds once a project has executed this text."""
    namespace: dict[str, Any] = {"__name__": "told"}
    project.enter(exec, text, namespace)
    return namespace["it"]


def test_one_name_in_two_projects(make: Make) -> None:
    """Each has its own module, also by ``importlib``, late, by turns, and in submodules."""
    projects = [
        make(name, rh_common=f"VALUE = {name!r}", rh_utils__INIT="", rh_utils__deep=f"VALUE = {name!r}")
        for name in ("shop", "press")
    ]
    statements = (
        "from rh_common import VALUE as it",
        "import rh_common; it = rh_common.VALUE",
        "import importlib; it = importlib.import_module('rh_common').VALUE",
        "import rh_utils.deep; it = rh_utils.deep.VALUE",
        "from rh_utils import deep; it = deep.VALUE",
        "import rh_utils.deep as deep; it = deep.VALUE",
        "__import__('rh_utils.deep'); import sys; it = sys.modules['rh_utils.deep'].VALUE",
        "__package__ = 'rh_utils'\nfrom .deep import VALUE as it",
        "__package__ = 'rh_utils'\nfrom . import deep\nit = deep.VALUE",
        "import importlib; it = importlib.import_module('.deep', 'rh_utils').VALUE",
    )
    for statement in statements * 2:
        assert [told(project, statement) for project in projects] == ["shop", "press"], statement
    once = [told(project, "import rh_common as it") for project in projects]
    assert once == [told(project, "import rh_common as it") for project in projects], "each is imported once"


def test_names_without_a_namesake_cost_nothing(make: Make) -> None:
    """Python's own import stays in place until two projects share a name."""
    make("shop", rh_a="")
    assert importlib.import_module.__code__.co_name == "import_module"
    assert __builtins__["__import__"].__name__ == "__import__"  # type: ignore[index]
    make("press", rh_a="")
    assert __builtins__["__import__"] == MODULES._import  # type: ignore[index]


def test_a_project_loaded_before_its_namesake_came(make: Make) -> None:
    """What it has imported stays its own."""
    shop = make("shop", rh_common="VALUE = 1")
    module = told(shop, "import rh_common as it")
    press = make("press", rh_common="VALUE = 2")
    assert told(press, "import rh_common as it").VALUE == 2
    assert told(shop, "import rh_common as it") is module


def test_a_stray_script_stands_in_front_of_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library and the environment come first, for the project itself, too."""
    shop = make("shop", statistics="1 / 0", colorsys="1 / 0", cssselect="1 / 0")
    for name in ("colorsys", "statistics", "cssselect"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        assert "lib/python" in told(shop, f"import {name} as it").__file__
    assert sys.path[-1] == str(shop.folder)


def test_a_package_of_the_environment_does_not_hide_the_project_s_own(make: Make, tmp_path: Path) -> None:
    """What a project's settings name is looked for in its folder first; others have the environment's."""
    (tmp_path / "site" / "rh_spiders").mkdir(parents=True)
    (tmp_path / "site" / "rh_spiders" / "__init__.py").write_text("VALUE = 'environment'")
    sys.path.insert(0, str(tmp_path / "site"))
    MODULES.reset()
    shop = make("shop", "rh_spiders", rh_spiders__INIT="VALUE = 'shop'")
    press = make("press", "rh_spiders")
    statement = "from rh_spiders import VALUE as it"
    assert [told(shop, statement), told(press, statement), told(shop, statement)] == [
        "shop",
        "environment",
        "shop",
    ]
    assert importlib.import_module("rh_spiders").VALUE == "environment"


def test_nobody_gets_another_project_s_module(make: Make) -> None:
    """A name that only another project has is not found; the hub itself finds it at the end of its path."""
    shop, press = make("shop", rh_only="it = 1"), make("press")
    asked = "from importlib.util import find_spec; it = find_spec('rh_only')"
    assert told(press, asked) is None
    with pytest.raises(ModuleNotFoundError, match="No module named 'rh_only'"):
        told(press, "from rh_only import it")
    assert told(shop, "from rh_only import it") == 1
    assert shop.folder is not None and str(shop.folder) in sys.path


def test_a_folder_without_init(make: Make) -> None:
    """A package without ``__init__.py`` is the project's own folder alone, not all of that name together."""
    shop, press = make("shop", rh_plain__a="it = 1"), make("press", rh_plain__b="it = 2")
    assert told(shop, "from rh_plain.a import it") == 1
    assert told(press, "from rh_plain.b import it") == 2
    with pytest.raises(ModuleNotFoundError):
        told(press, "from rh_plain.a import it")


def test_threads_and_pickles_keep_to_their_project(make: Make) -> None:
    """Pickle looks classes up by name, in whatever thread."""
    projects = [make(name, rh_items=f"class Item:\n    of = {name!r}\n") for name in ("shop", "press")]
    pickled = [told(each, "import pickle, rh_items; it = pickle.dumps(rh_items.Item())") for each in projects]
    read: dict[str, str] = {}

    def read_back(project: ProjectContext, data: bytes) -> None:
        for _ in range(50):
            read[project.name] = project.enter(pickle.loads, data).of

    threads = [Thread(target=read_back, args=pair) for pair in zip(projects, pickled, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == {"shop": "shop", "press": "press"}


def test_a_dropped_project_is_imported_anew(make: Make, tmp_path: Path) -> None:
    """Its modules leave ``sys.modules``; those of its namesake stay."""
    shop, press = make("shop", rh_common="VALUE = 1"), make("press", rh_common="VALUE = 2")
    kept = told(press, "import rh_common as it")
    told(shop, "import rh_common as it")
    MODULES.drop(shop)
    (tmp_path / "shop" / "rh_common.py").write_text("VALUE = 1000")
    again = make("shop", rh_common="VALUE = 1000")
    assert told(again, "import rh_common as it").VALUE == 1000
    assert told(press, "import rh_common as it") is kept


def test_what_an_import_puts_on_the_path_is_its_project_s_own(make: Make) -> None:
    """Two projects may put folders with the same names in front of all others; each finds its own."""
    projects, path = [], list(sys.path)
    for name in ("shop", "press"):
        project = make(
            name, lib__rh_common=f"VALUE = {name!r}", lib__rh_late=f"VALUE = {name!r}", lib__colorsys="1 / 0"
        )
        projects.append(project)
        before, project.importing = list(sys.path), True
        text = "import sys; sys.path.insert(0, {!r})\nfrom rh_common import VALUE as it\nimport colorsys"
        assert told(project, text.format(str(project.folder / "lib"))) == name  # type: ignore[operator]
        MODULES.settle(project, before)
        project.importing = False
    assert sys.path == [*path, *(str(each.folder) for each in projects)]
    for statement in ("from rh_common import VALUE as it", "from rh_late import VALUE as it") * 2:
        assert [told(project, statement) for project in projects] == ["shop", "press"]


def test_the_hub_s_own_modules_are_nobody_else_s(make: Make) -> None:
    """A project whose folder has the hub in it leaves the hub's modules where they are."""
    root = Path(sys.modules["reactorhub"].__path__[0]).parent
    projects = [ProjectContext(name, root) for name in ("one", "two")]
    for project in projects:
        MODULES.add(project, place_of(root, set()))
    hub = sys.modules["reactorhub.containment.modules"]
    assert told(projects[0], "import reactorhub.containment.modules as it") is hub
    MODULES.drop(projects[0])
    assert sys.modules["reactorhub.containment.modules"] is hub


def test_two_projects_in_one_folder(make: Make) -> None:
    """As with two sections of one scrapy.cfg: each has modules of its own."""
    first, second = make("shop", rh_common="VALUE = []"), make("shop")
    assert told(first, "import rh_common as it") is not told(second, "import rh_common as it")
