"""Reading a module's text: nothing that is written in one keeps the doctor from going on."""

from __future__ import annotations

from pathlib import Path

import pytest
import scrapy
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.diagnosis.doctor.extract import facts_of
from reactorhub.diagnosis.doctor.facts import Module
from reactorhub.model.doctor import SourceFile
from tests.support.doctor_project import found, kinds, spider


def facts(code: bytes | str) -> Module:
    """The facts of a module with this text."""
    return facts_of(SourceFile("shop.x", "shop/x.py", code if isinstance(code, bytes) else code.encode()))


@pytest.mark.parametrize(
    ("code", "line", "error"),
    [
        ("x = 1\ndef (:\n", 2, "SyntaxError: invalid syntax"),
        ("print 'x'\n", 1, "SyntaxError: Missing parentheses"),
        (b"x = '\xff'\n", 1, "SyntaxError: (unicode error)"),
        ("x = 1\0\n", 1, "SyntaxError: source code string cannot contain null"),
        ("if x:\n\ty\n        z\n", 3, "TabError: "),
    ],
)
def test_what_cannot_be_parsed_says_why(code: bytes | str, line: int, error: str) -> None:
    """A module with a mistake has no facts but the mistake and its line."""
    said = facts(code)
    assert (said.line_of_error, said.error[: len(error)], said.scopes) == (line, error, {})


def test_an_encoding_of_its_own_is_heeded() -> None:
    """The first lines of a file may name its encoding."""
    said = facts("# -*- coding: latin-1 -*-\nNAME = 'é'\n".encode("latin-1"))
    assert (said.error, said.values["NAME"].literal) == ("", "é")


def test_what_is_nested_too_deeply_is_passed_over() -> None:
    """An expression that the reader cannot follow hides the module, without an error: Python imports it."""
    said = facts(f"x = {' + '.join(['1'] * 20_000)}\n")
    assert (said.error, said.scopes) == ("", {})


@given(st.text(alphabet="abx =.()[]{}:,\n\t'\"#@*lambdefiforclassimport0", max_size=60))
def test_any_text_is_read(text: str) -> None:
    """Whatever a file holds, the reader gives facts or an error."""
    assert facts(text).name == "shop.x"


def test_all_of_scrapy_is_read() -> None:
    """A large library of real code gives facts for each of its modules."""
    folder = Path(scrapy.__file__).parent
    for path in folder.rglob("*.py"):
        said = facts_of(SourceFile(path.stem, str(path), path.read_bytes()))
        assert not said.error and said.scopes


@pytest.mark.parametrize(
    "line",
    [
        "import time as t, requests; t.sleep(1)",
        "async def inner():\n        async with a as b, c: time.sleep(1)\n    inner()",
        "async def inner():\n        async for x in y: time.sleep(1)\n    inner()",
        "with a as (b, c): time.sleep(1)",
        "for a, *b in c: time.sleep(1)",
        "while time.sleep(1): pass",
        "if (x := time.sleep(1)): pass",
        "try: pass\n    except* ValueError: time.sleep(1)",
        "try: pass\n    finally: time.sleep(1)",
        "assert time.sleep(1)",
        "raise time.sleep(1) from None",
        "x = y[time.sleep(1):]",
        "x.y = z[1] = time.sleep(1)",
        "x: int = time.sleep(1)",
        "return f'{time.sleep(1)!r:>{1}}'",
        "yield from time.sleep(1)",
        "x = {**a, time.sleep(1): 1}",
        "x = not -time.sleep(1) < 2",
        "print(*a, **{'x': time.sleep(1)})",
        "match x:\n        case [a, *b] if time.sleep(1): pass",
        "del x[time.sleep(1)]",
        "x = [a for a in b if time.sleep(1)]",
        "x = a if b else time.sleep(1)",
        "x = (await time.sleep(1),)",
        "x().y()[time.sleep(1)].z()",
        "x += time.sleep(1)",
    ],
)
def test_a_call_is_seen_wherever_it_stands(line: str) -> None:
    """No statement and no expression hides what it does."""
    keyword = "def" if line.startswith("yield from") else "async def"
    assert kinds(spider(f"{keyword} parse(self, response):\n    {line}", "import time")) == ["blocks"]


def test_a_name_is_what_it_was_last_made() -> None:
    """A local name that is given another value is that value from then on."""
    text = spider(
        """
        def parse(self, response):
            client = requests.Session()
            client.get("http://x")
            client = response
            client.get("http://x")
        """,
        "import requests",
    )
    assert [each.line for each in found(text)] == [8]
