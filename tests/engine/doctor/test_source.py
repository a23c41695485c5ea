"""Reading a project's files, and importing it in a child process that may do as it likes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reactorhub.engine.doctor.importing import import_project
from reactorhub.engine.doctor.source import Target, read_source, target_at
from reactorhub.engine.projects import ProjectConfig
from reactorhub.errors import UnreadableProject
from reactorhub.model.doctor import ImportReport

GOOD = 'import scrapy\n\n\nclass {0}(scrapy.Spider):\n    name = "{0}"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(files: dict[str, str], settings: str | None = "") -> ProjectConfig:
    """Write a project ``shop`` with these spider modules; without settings it is a plain one."""
    package = Path("shop/shop/spiders" if settings is not None else "shop/spiders")
    package.mkdir(parents=True)
    if settings is not None:
        Path("shop/scrapy.cfg").write_text("[settings]\ndefault = shop.settings\n")
        Path("shop/shop/__init__.py").write_text("")
        Path("shop/shop/settings.py").write_text(f'SPIDER_MODULES = ["shop.spiders"]\n{settings}')
    (package / "__init__.py").write_text("")
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return ProjectConfig(name="shop", path=Path("shop").resolve())


def imported(files: dict[str, str], settings: str | None = "", patience: float = 30) -> ImportReport:
    """What importing such a project finds."""
    return import_project(write(files, settings), patience=patience)


def test_the_files_of_a_project() -> None:
    """Each Python file with its module's name; folders of other things are left out."""
    config = write({"good": GOOD.format("good")})
    for other in (".git", "env", "node_modules", "not-a-package"):
        Path("shop", other).mkdir()
        Path("shop", other, "x.py").write_text("")
    Path("shop/env/pyvenv.cfg").write_text("")
    source = read_source(config)
    assert source.settings_module == "shop.settings"
    assert {each.module: (each.file, each.is_package) for each in source.files} == {
        "shop": ("shop/shop/__init__.py", True),
        "shop.settings": ("shop/shop/settings.py", False),
        "shop.spiders": ("shop/shop/spiders/__init__.py", True),
        "shop.spiders.good": ("shop/shop/spiders/good.py", False),
    }


def test_a_digest_changes_with_the_file() -> None:
    """What was found out about a file can be kept under its digest."""
    config = write({"good": GOOD.format("good")})
    before = {each.module: each.digest for each in read_source(config).files}
    Path("shop/shop/spiders/good.py").write_text(GOOD.format("better"))
    after = {each.module: each.digest for each in read_source(config).files}
    assert [name for name in before if before[name] != after[name]] == ["shop.spiders.good"]


@pytest.mark.parametrize("path", ["shop", "shop/shop/spiders", "shop/shop/spiders/good.py", "shop/shop"])
def test_a_path_within_a_project_leads_to_it(path: str) -> None:
    """Whatever part of a project is named, its scrapy.cfg is found."""
    write({"good": GOOD.format("good")})
    target = target_at(Path(path))
    assert target.config.path == Path("shop").resolve() and target.config.spider_modules == ()
    assert target.only == (None if path == "shop" else Path(path).resolve())


def test_a_plain_folder() -> None:
    """A folder with a folder ``spiders`` is a project, and so is a folder of modules."""
    config = write({"good": GOOD.format("good")}, settings=None)
    assert target_at(Path("shop")) == Target(config)
    spiders = target_at(Path("shop/spiders"))
    assert (spiders.config.path, spiders.config.spider_modules) == (config.path, ("spiders",))
    Path("loose").mkdir()
    Path("loose/one.py").write_text(GOOD.format("one"))
    assert target_at(Path("loose")).config.spider_modules == ("one",)
    assert [each.name for each in import_project(target_at(Path("loose")).config).spiders] == ["one"]


def test_a_path_without_anything() -> None:
    """A path that is not there, or holds nothing, is said to."""
    Path("empty").mkdir()
    with pytest.raises(UnreadableProject, match="neither a project nor a path: 'nowhere'"):
        target_at(Path("nowhere"))
    with pytest.raises(UnreadableProject, match=r"neither a scrapy\.cfg nor a folder spiders"):
        target_at(Path("empty"))


def test_an_import_lists_spiders_with_their_places() -> None:
    """Each spider has its classes from itself up, its file and its line."""
    (spider,) = imported({"good": GOOD.format("good")}).spiders
    assert (spider.name, spider.file, spider.line) == ("good", "shop/shop/spiders/good.py", 4)
    assert spider.bases[:2] == ("shop.spiders.good:good", "scrapy.spiders:Spider")


def test_spiders_that_no_text_shows_are_listed() -> None:
    """A factory may make classes."""
    text = (
        'import scrapy\nfor n in "ab":\n'
        '    globals()[n] = type(n, (scrapy.Spider,), {"name": n, "__module__": __name__})\n'
    )
    assert sorted(each.name for each in imported({"made": text}).spiders) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("\nimport no_such_module", 2, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("\n\ndef broken(:", 3, "SyntaxError: "),
        ("import sys\nsys.exit(3)", 2, "SystemExit: 3"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        (
            GOOD.format("x").replace('"x"', "7"),
            1,
            "TypeError: the name of spider class x is 7, which is not a text",
        ),
    ],
)
def test_a_module_that_fails(text: str, line: int, error: str) -> None:
    """It is listed with the line of the project that failed, and its neighbours are imported all the same."""
    report = imported({"bad": text, "good": GOOD.format("good")})
    assert [each.name for each in report.spiders] == ["good"]
    (broken,) = report.broken
    assert (broken.module, broken.file, broken.line) == ("shop.spiders.bad", "shop/shop/spiders/bad.py", line)
    assert broken.error.startswith(error)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import os\nos._exit(4)", "the import ended the process with status 4"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "the import ended the process by SIGKILL",
        ),
        ("while True: pass", "the import did not end within 1 s"),
        (
            "import os, time\nif os.fork(): os._exit(0)\ntime.sleep(60)",
            "the import ended the process with status 0",
        ),
    ],
)
def test_a_module_that_ends_or_holds_up_the_process(text: str, error: str) -> None:
    """It is reported, and left out of the next attempt."""
    began = time.monotonic()
    report = imported({"bad": text, "good": GOOD.format("good")}, patience=1)
    assert [each.name for each in report.spiders] == ["good"]
    assert [(each.module, each.error) for each in report.broken] == [("shop.spiders.bad", error)]
    assert time.monotonic() - began < 30


def test_what_an_import_prints_and_leaves_behind_harms_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither output nor threads nor a changed folder gets out of the child, and no child of it lives on."""
    text = (
        "import os, subprocess, sys, threading, time\nprint('x' * 100_000)\nsys.stderr.write('y')\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\nos.chdir('/')\n"
        "open(os.environ['NOTE'], 'w').write(str(subprocess.Popen(['sleep', '60']).pid))\n"
    )
    os.environ["NOTE"] = str(Path("note").resolve())
    try:
        report = imported({"bad": text, "good": GOOD.format("good")})
    finally:
        del os.environ["NOTE"]
    assert (report.broken, capfd.readouterr().out) == ((), "")
    pid = int(Path("note").read_text())
    assert _is_gone(pid)


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; one that was killed but that nobody has waited for counts."""
    for _ in range(200):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_an_import_leaves_no_bytecode() -> None:
    """The doctor looks and changes nothing."""
    imported({"good": GOOD.format("good")})
    assert not list(Path("shop").rglob("__pycache__"))


def test_settings_that_fail() -> None:
    """Without settings no spider is found; the settings module is reported."""
    report = imported({"good": GOOD.format("good")}, settings="1 / 0\n")
    assert report.spiders == ()
    assert [(each.module, each.line) for each in report.broken] == [("shop.settings", 2)]


def test_a_python_without_scrapy_is_named() -> None:
    """A project that cannot be imported at all is an error with the reason."""
    config = write({"good": GOOD.format("good")})
    with pytest.raises(UnreadableProject, match="cannot be imported"):
        import_project(config, python="/bin/false")


def test_settings_of_the_project_are_known_while_it_is_imported() -> None:
    """``get_project_settings()`` and the working folder are those of ``scrapy crawl``."""
    text = (
        "import os, scrapy\nfrom scrapy.utils.project import get_project_settings\n"
        "class A(scrapy.Spider):\n    name = get_project_settings()['SHOP'] + os.path.basename(os.getcwd())\n"
    )
    assert [each.name for each in imported({"a": text}, 'SHOP = "books-"\n').spiders] == ["books-shop"]
