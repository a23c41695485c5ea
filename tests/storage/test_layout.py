"""Where a run's files lie: inside the data folder, whatever a spider is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.storage.layout import RunPaths, folder_name

any_text = st.text(st.characters(exclude_categories=()))


@given(any_text)
def test_a_folder_name_is_one_harmless_segment(name: str) -> None:
    """Any text becomes one path segment that leads nowhere else and that every file system takes."""
    folder = folder_name(name)
    assert Path("/data", folder).parent == Path("/data")
    assert folder not in ("", ".", "..") and not set(folder) & set("/\\\0\n")
    assert len(folder.encode()) <= 200


@given(any_text.filter(lambda text: len(text) <= 15), any_text.filter(lambda text: len(text) <= 15))
def test_different_names_have_different_folders(one: str, other: str) -> None:
    """Short names share a folder only if they are the same name."""
    assert (folder_name(one) == folder_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("prices", "prices"),
        ("shop.de", "shop.de"),
        ("two words", "two words"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("%2E", "%252E"),
        ("", "%"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("Zürich", "Z%C3%BCrich"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_folder_names(name: str, folder: str) -> None:
    """What can be read as it is stays; the rest is percent-encoded."""
    assert folder_name(name) == folder


def test_the_layout_is_the_one_promised() -> None:
    """A run's log and items lie where the documentation says."""
    paths = RunPaths(Path("/data"))
    assert paths.log("shop", "prices", "0190") == Path("/data/logs/shop/prices/0190.log")
    assert paths.items("shop", "prices", "0190") == Path("/data/items/shop/prices/0190.jsonl")
