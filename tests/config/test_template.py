"""The text of a new schedule file is one that the hub reads, whatever the spiders are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.config import MAX_BYTES, HubConfig, parse
from reactorhub.config.template import MAX_HINTS, Isolated, comment, project_name, quoted, schedule_file
from reactorhub.config.values import name
from reactorhub.config.yaml_source import Kind, Scalar, read_yaml
from reactorhub.model.isolation import Isolate
from reactorhub.model.spider import BrokenModule, Catalog, SpiderInfo

HINT = re.compile(r"^( *)# ( *\w+:.*)$", re.MULTILINE)
FOLDER = Path("/srv/shop")


def spider(spider_name: str, docstring: str | None = None, arguments: Sequence[str] = ()) -> SpiderInfo:
    """A spider of the project ``shop``."""
    return SpiderInfo(name=spider_name, project="shop", docstring=docstring, arguments=tuple(arguments))


def written(
    *spiders: SpiderInfo, broken: Sequence[tuple[str, str]] = (), warnings: Sequence[str] = ()
) -> str:
    """The text for these spiders."""
    modules = [BrokenModule(project="shop", module=m, error=e, traceback="…") for m, e in broken]
    return schedule_file("shop", ".", Catalog(tuple(spiders), tuple(modules), tuple(warnings)))


def read(text: str) -> HubConfig:
    """Read a text as the hub would; there are no variables to be had."""
    return parse(text, "schedule.yaml", {}, FOLDER, "host")


def test_each_spider_has_a_manual_schedule() -> None:
    """A schedule has the name of its spider and no trigger; the project is the folder that was named."""
    config = read(written(spider("books"), spider("news.front")))
    assert [(each.name, each.spec.spider, each.trigger) for each in config.schedules.values()] == [
        ("books", "books", None),
        ("news.front", "news.front", None),
    ]
    assert {name: project.path for name, project in config.projects.items()} == {"shop": FOLDER}


def test_the_hints_are_right_too() -> None:
    """Every key that is commented out can be taken in, and the cron of each schedule has its own minute."""
    text = written(spider("books", arguments=["shop", "max_pages"]), spider("prices"))
    config = read(HINT.sub(r"\1\2", text))
    assert [each.trigger and each.trigger.text for each in config.schedules.values()] == [
        "0 3 * * *",
        "1 3 * * *",
    ]
    assert (config.timezone, config.http) == ("Europe/Berlin", "tcp:6800:interface=127.0.0.1")
    (timeout,) = {each.spec.timeout for each in config.schedules.values()}
    assert timeout == 7200


def test_what_a_spider_says_of_itself_is_a_comment() -> None:
    """The first line of the docstring and the names of the arguments stand beside the schedule."""
    text = written(spider("books", "Walks the shop: # all of it.\n\nSlowly.", ["shop", "max_pages"]))
    assert "  books:    # Walks the shop: # all of it.\n" in text
    assert "    # args: {}    # the spider takes shop, max_pages\n" in text
    assert "Slowly" not in text


def test_what_is_missing_is_named() -> None:
    """Modules that could not be imported, warnings, and spiders that no file can name are comments."""
    text = written(
        spider("two\nlines"),
        spider(" "),
        broken=[("shop.spiders.bad", "SyntaxError: a\n  b\x1b[31m")],
        warnings=["spider 'x' is defined 2 times: a.X, b.X; the last one runs"],
    )
    assert "# Module shop.spiders.bad cannot be imported, its spiders are missing here:\n" in text
    assert "#   SyntaxError: a b?[31m\n" in text
    assert "# spider 'x' is defined 2 times: a.X, b.X; the last one runs\n" in text
    assert r"# No schedule can name the spider 'two\nlines'; rename the spider." in text
    assert not read(text).schedules


def test_without_spiders_there_is_an_example() -> None:
    """A project without spiders gets a file without schedules, which shows how one is written."""
    text = written()
    assert not read(text).schedules
    config = read(HINT.sub(r"\1\2", text))
    assert [each.spec.spider for each in config.schedules.values()] == ["NAME"]


def test_thousands_of_spiders_fit() -> None:
    """Many spiders have a line each, so that the file stays below its limit."""
    spiders = [spider(f"{'s' * 40}{number}", "d" * 200, ["a" * 20] * 5) for number in range(5_000)]
    text = written(*spiders)
    assert len(text.encode()) < MAX_BYTES
    assert len(read(text).schedules) == 5_000 > MAX_HINTS


NAMES = st.one_of(
    st.text(max_size=20),
    st.text("ab.-_ #:'\"\\{}[]${}*&!%@`,\t", max_size=12),
    st.sampled_from(
        ["on", "yes", "null", "~", "12:30", "010", "1_000", "1e3", "2026-01-01", "${HOME}", "$${X}", "<<"]
    ),
    st.text(max_size=250),
)


@given(st.lists(NAMES, max_size=8, unique=True))
def test_any_names(names: list[str]) -> None:
    """Whatever the spiders are called, the text is read, and each spider has a schedule or a comment."""
    text = written(*(spider(each, each, [each]) for each in names))
    config = read(text)
    found = [schedule.spec.spider for schedule in config.schedules.values()]
    assert found == [each for each in names if each in found]
    assert text.count("# No schedule can name") == len(names) - len(found)
    assert all(each in found for each in names if each.isprintable() and each.strip())


@given(st.text())
def test_quoted_text_is_read_as_it_was(text: str) -> None:
    """A quoted value stands for the text itself, not for a number, a truth value or a variable."""
    if any("\ud800" <= each <= "\udfff" for each in text):
        return
    source = read_yaml(f"key: {quoted(text)}\nlist: [{quoted(text)}]\n", "f", {})
    source.report.conclude()
    for scalar in (source.tree["key"], source.tree["list"][0]):
        assert isinstance(scalar, Scalar) and (scalar.kind, scalar.text) == (Kind.TEXT, text)


@given(st.text())
def test_comments_stay_comments(text: str) -> None:
    """A comment is one short line of characters that YAML can hold."""
    shown = comment(text)
    assert len(shown) <= 90 and len(shown.splitlines()) <= 1
    assert read_yaml(f"key: value # {shown}\n", "f", {}).tree["key"].text == "value"


@given(st.text())
def test_any_text_makes_a_project_name(text: str) -> None:
    """A project's name is one that the hub takes."""
    assert name(project_name(text)) == project_name(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("shop", "shop"), ("my shop (old)", "my-shop-old"), ("läden", "l-den"), ("店", "default")],
)
def test_project_names(text: str, expected: str) -> None:
    """The project's name is that of its package or folder, as far as that can be a name."""
    assert project_name(text) == expected


def test_what_the_doctor_isolates() -> None:
    """A spider that needs it gets ``isolate: process`` with the reason, or the project as a whole does."""
    catalog = Catalog((spider("books"), spider("prices")), ())
    because = {"prices": "prices.py:7: time.sleep() blocks\nall"}
    text = schedule_file("shop", ".", catalog, Isolated(spiders=because))
    assert "    isolate: process    # prices.py:7: time.sleep() blocks all\n" in text
    found = {name: each.spec.isolate for name, each in read(text).schedules.items()}
    assert found == {"books": Isolate.NONE, "prices": Isolate.PROCESS}
    whole = read(
        schedule_file("shop", ".", catalog, Isolated(project="x.py:1: signal.signal()", spiders=because))
    )
    assert whole.projects["shop"].isolated
    many = Catalog(tuple(spider(f"s{number}") for number in range(MAX_HINTS + 1)), ())
    short = read(schedule_file("shop", ".", many, Isolated(spiders={"s7": "blocks"})))
    assert [name for name, each in short.schedules.items() if each.spec.isolate is Isolate.PROCESS] == ["s7"]
