"""The items file of a run: which items it holds, how they are written, and what takes its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import scrapy
from hypothesis import given
from hypothesis import strategies as st
from scrapy.exporters import JsonLinesItemExporter
from scrapy.settings import Settings
from scrapy.signalmanager import SignalManager

from reactorhub.engine.isolated.child.feed import ItemLines, ItemsFile, _Lines


class Crawl:
    """As much of a crawler as an items file needs."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = Settings(dict(settings or {}))
        self.signals = SignalManager(self)

    def scrape(self, *items: object) -> list[Any]:
        """Say that these items were scraped; return what the handlers made of it."""
        return [result for item in items for _, result in self.send(item)]

    def send(self, item: object) -> list[tuple[Any, Any]]:
        """Say that this item was scraped."""
        return self.signals.send_catch_log(scrapy.signals.item_scraped, item=item)


def begin(items: ItemsFile, crawl: Crawl) -> None:
    """Do what a crawl does until its spider opens."""
    items.watch(crawl)  # type: ignore[arg-type]
    items.begin(crawl)  # type: ignore[arg-type]


def written(*items: object) -> bytes:
    """What the file holds after these items."""
    out = BytesIO()
    lines = ItemLines(out, encoding="utf-8")
    for item in items:
        lines.export_item(item)
    return out.getvalue()


def by_scrapy(*items: object) -> bytes:
    """What Scrapy's own feed would hold."""
    out = BytesIO()
    lines = JsonLinesItemExporter(out, encoding="utf-8")
    for item in items:
        lines.export_item(item)
    return out.getvalue()


@pytest.mark.parametrize("name", ["a.jsonl", "my shop/100%/%(x)s é {y}.jsonl", "\udc80/#?&.jsonl"])
def test_a_path_of_any_characters(tmp_path: Path, name: str) -> None:
    """The file has the name it was given, and there is no other."""
    path = tmp_path / name
    items, crawl = ItemsFile(str(path)), Crawl()
    begin(items, crawl)
    assert path.read_bytes() == b""
    crawl.scrape({"a": 1})
    assert path.read_bytes() == b'{"a": 1}\n', "a line is in the file as soon as its item is scraped"
    items.close()
    crawl.scrape({"a": 2})
    items.close()
    assert path.read_bytes() == b'{"a": 1}\n'
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


@pytest.mark.parametrize(
    "settings",
    [
        {"FEEDS": {"own.json": {"format": "json"}}},
        {"FEEDS": '{"own.json": {"format": "json"}}'},
        {"FEED_URI": "own.json"},
    ],
)
def test_any_feed_takes_its_place(tmp_path: Path, settings: Mapping[str, Any]) -> None:
    """A crawl with feeds of its own has no items file."""
    items, crawl = ItemsFile(str(tmp_path / "a.jsonl")), Crawl(settings)
    begin(items, crawl)
    crawl.scrape({"a": 1})
    items.close()
    assert items.replaced
    assert not list(tmp_path.iterdir())


def test_nothing_else_that_a_project_says_of_feeds_reaches_it(tmp_path: Path) -> None:
    """Its options, storage and exporter are its own, whatever FEED_* a project sets."""
    settings = {
        "FEEDS": {},
        "FEED_EXPORTERS": {"jsonlines": None},
        "FEED_EXPORT_BATCH_ITEM_COUNT": 1,
        "FEED_EXPORT_ENCODING": "latin-1",
        "FEED_EXPORT_FIELDS": ["none"],
        "FEED_EXPORT_INDENT": 4,
        "FEED_STORAGES": {"": None, "file": None},
        "FEED_STORE_EMPTY": False,
    }
    path = tmp_path / "a.jsonl"
    items, crawl = ItemsFile(str(path)), Crawl(settings)
    begin(items, crawl)
    crawl.scrape({"a": "é"}, {"b": {"c": 1}})
    items.close()
    assert not items.replaced
    assert path.read_text("utf-8") == '{"a": "é"}\n{"b": {"c": 1}}\n'


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=3))
def test_ordinary_items_are_written_as_scrapy_writes_them(item: dict[str, Any]) -> None:
    """The lines equal those of Scrapy's own feed, byte for byte."""
    assert written(item) == by_scrapy(item)


def test_other_types_are_written_as_scrapy_writes_them() -> None:
    """So are dates, decimals, sets, requests and items in items."""
    item = {
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "price": Decimal("1.50"),
        "tags": {1},
        "request": scrapy.Request("http://x.example/"),
    }
    assert written(item) == by_scrapy(item)


class Priced(scrapy.Item):
    """An item whose field says how it is written."""

    price = scrapy.Field(serializer=lambda value: f"{value} EUR")


def test_serializers_of_fields_are_heeded() -> None:
    """A field of an item may say how it is written."""
    assert written(Priced(price=3)) == b'{"price": "3 EUR"}\n'


HALVES = st.text(st.characters(), max_size=5)  # with half characters among others


@given(st.dictionaries(HALVES, HALVES, max_size=3))
def test_no_text_is_lost(item: dict[str, str]) -> None:
    """Half characters, in names and values, are escaped, and read back as they were."""
    line = written(item)
    assert json.loads(line.decode("utf-8")) == json.loads(json.dumps(item))  # two halves make a character


def test_half_a_character_is_escaped() -> None:
    """It is written as ``scrapy crawl -o`` to an ASCII file would write it."""
    assert written({"a": "cut \ud83d é"}) == '{"a": "cut \\ud83d é"}\n'.encode()


def test_numbers_that_json_lacks_become_null() -> None:
    """NaN and Infinity, at any depth and in any type of number, leave a line that is JSON."""
    nan, infinity = float("nan"), float("inf")
    assert written({"a": nan, "b": [infinity, {"c": -infinity, "d": "NaN"}], "e": 1.5, "f": "é\udc80"}) == (
        '{"a": null, "b": [null, {"c": null, "d": "NaN"}], "e": 1.5, "f": "é\\udc80"}\n'.encode()
    )


@pytest.mark.parametrize("item", [{"a": object()}, {"a": {(1, 2): 3}}, {"a": b"x"}])
def test_what_scrapy_cannot_write_either_is_an_error(tmp_path: Path, item: dict[str, Any]) -> None:
    """The handler's exception reaches the log, and the lines before and after it are whole."""
    path = tmp_path / "a.jsonl"
    items, crawl = ItemsFile(str(path)), Crawl()
    begin(items, crawl)
    results = crawl.scrape({"n": 1}, item, {"n": 2})
    assert [getattr(result, "type", None) for result in results] == [None, TypeError, None]
    assert path.read_bytes() == b'{"n": 1}\n{"n": 2}\n'


class Full:
    """A disk that takes so many more bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: memoryview) -> int:
        """Write what there is room for, as the system does."""
        if not self.room:
            raise OSError(28, "No space left on device")
        count: int = self.file.write(data[: self.room])
        self.room -= count
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """A line that does not fit is taken back, so that what comes later is read right."""
    path = tmp_path / "a.jsonl"
    lines = _Lines(path)
    lines.write(b"first\n")
    file = lines._file
    lines._file = Full(file, 3)  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"):
        lines.write(b"second\n")
    lines._file = file
    lines.write(b"third\n")
    lines.close()
    assert path.read_bytes() == b"first\nthird\n"
