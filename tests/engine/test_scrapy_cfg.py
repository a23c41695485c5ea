"""What a ``scrapy.cfg`` says, and each way in which it cannot be read, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactorhub.engine.scrapy_cfg import ScrapyCfg
from reactorhub.errors import UnreadableProject


def test_each_entry(tmp_path: Path) -> None:
    """All entries of [settings] are read; their names do not depend on case, as in Scrapy."""
    text = "\ufeff[settings]\ndefault = shop.settings\nStaging = shop.staging\nempty =\n"
    (tmp_path / "scrapy.cfg").write_text(text, encoding="utf-8")
    cfg = ScrapyCfg(tmp_path)
    assert cfg.exists and cfg.names == ["default", "staging", "empty"]
    assert [cfg.module(name) for name in ("default", "Staging", "empty", "other")] == [
        "shop.settings",
        "shop.staging",
        None,
        None,
    ]


def test_no_file_has_no_entries(tmp_path: Path) -> None:
    """A folder without the file is an ordinary folder."""
    cfg = ScrapyCfg(tmp_path)
    assert not cfg.exists and cfg.names == [] and cfg.module("default") is None


@pytest.mark.parametrize(
    ("data", "line", "says"),
    [
        (b"default = a\n", 1, "this line is in no section; write [settings] above it"),
        (b"[settings]\ndefault = a\nwhat is this\n", 3, "'what is this' is not a section, and not a key"),
        (b"[settings]\na = b\n[settings]\n", 3, "[settings] is there already"),
        (b"[settings]\na = b\nA = c\n", 3, "'a' is in [settings] already"),
        (b"[settings]\n# \xff\n", 2, "this is not UTF-8; save the file as UTF-8"),
        (b"[settings]\n\ndefault = 100% mine\n", 3, "write %% for a percent sign in 'default'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, data: bytes, line: int, says: str) -> None:
    """Whatever is wrong in the file, the message leads there."""
    (tmp_path / "scrapy.cfg").write_bytes(data)
    with pytest.raises(UnreadableProject) as caught:
        ScrapyCfg(tmp_path).module("default")
    assert str(caught.value).startswith(f"{tmp_path}/scrapy.cfg:{line}: {says}")


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    """What is not a file is named, too."""
    (tmp_path / "scrapy.cfg").mkdir()
    with pytest.raises(UnreadableProject, match=r"scrapy.cfg cannot be read: Is a directory"):
        ScrapyCfg(tmp_path)
