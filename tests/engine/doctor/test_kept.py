"""What the doctor has found is kept under the hashes of what it has read."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from reactorhub.diagnosis.doctor.facts import Module
from reactorhub.engine.doctor import kept
from reactorhub.engine.doctor.kept import KeptDiagnoses
from reactorhub.model.doctor import ProjectSource, SourceFile

SPIDER = """\
import time, scrapy


class {0}(scrapy.Spider):
    name = "{0}"
    limits = {{"a": 1, "b": {{1, 2}}, "c": ...}}

    def parse(self, response):
        {1}
"""


def source(**calls: str) -> ProjectSource:
    """A project with a spider for each name, which makes the call."""
    files = (SourceFile(f"spiders.{n}", f"{n}.py", SPIDER.format(n, c).encode()) for n, c in calls.items())
    return ProjectSource(name="shop/1", files=tuple(files), spider_modules=("spiders",), scrapy=(2, 19))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read, in their order."""
    read: list[str] = []
    facts_of = kept.facts_of

    def noting(file: SourceFile) -> Module:
        read.append(file.file)
        return facts_of(file)

    monkeypatch.setattr(kept, "facts_of", noting)
    return read


def verdicts(folder: Path, project: ProjectSource) -> dict[str, str]:
    """The verdict of each spider."""
    return {each.name: each.verdict for each in KeptDiagnoses(folder).diagnosis(project).spiders}


def test_only_changed_files_are_read(tmp_path: Path, read: list[str]) -> None:
    """An unchanged project costs nothing, a changed one the files that have changed."""
    folder = tmp_path / "doctor"
    assert verdicts(folder, source(a="time.sleep(1)", b="pass")) == {"a": "isolate", "b": "shared"}
    assert verdicts(folder, source(a="time.sleep(1)", b="pass")) == {"a": "isolate", "b": "shared"}
    assert sorted(read) == ["a.py", "b.py"]
    assert verdicts(folder, source(a="time.sleep(1)", b="time.sleep(2)")) == {"a": "isolate", "b": "isolate"}
    assert sorted(read) == ["a.py", "b.py", "b.py"]
    assert [each.name for each in folder.iterdir()] == ["shop%2F1"]


def test_another_scrapy_is_another_diagnosis(tmp_path: Path) -> None:
    """The verdict hangs on more than the files."""
    old = replace(source(a="pass"), scrapy=(2, 11))
    files = (SourceFile("spiders.a", "a.py", SPIDER.format("a", "pass").replace("parse", "start").encode()),)
    found = [
        [each.kind for each in KeptDiagnoses(tmp_path).diagnosis(project).spiders[0].findings]
        for project in (replace(old, files=files), replace(old, files=files, scrapy=(2, 19)))
    ]
    assert found == [["start-requests"], []]


@pytest.mark.parametrize("junk", [b"", b"junk", pickle.dumps(("x", "y")), pickle.dumps(Path("/"))])
def test_a_damaged_file_is_made_anew(tmp_path: Path, read: list[str], junk: bytes) -> None:
    """Whatever stands in the file, the answer is right, and the file is whole afterwards."""
    place = tmp_path / "shop%2F1"
    place.write_bytes(junk)
    for _ in range(2):
        assert verdicts(tmp_path, source(a="time.sleep(1)")) == {"a": "isolate"}
    assert read == ["a.py"]


def test_a_file_that_was_cut_off(tmp_path: Path, read: list[str]) -> None:
    """A diagnosis without facts is used; without it all is read again."""
    verdicts(tmp_path, source(a="pass"))
    place = tmp_path / "shop%2F1"
    whole = place.read_bytes()
    for size in range(0, len(whole), 97):
        place.write_bytes(whole[:size])
        assert verdicts(tmp_path, source(a="pass")) == {"a": "shared"}


def test_a_file_makes_nothing_but_findings(tmp_path: Path) -> None:
    """Somebody else's file in this place runs nothing."""
    (tmp_path / "shop%2F1").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "x").encode() + b"'\ntR.")
    assert verdicts(tmp_path, source(a="pass")) == {"a": "shared"}
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Then nothing is kept, and nothing fails."""
    (tmp_path / "file").touch()
    assert verdicts(tmp_path / "file", source(a="pass")) == {"a": "shared"}
    assert [each.verdict for each in KeptDiagnoses(None).diagnosis(source(a="pass")).spiders] == ["shared"]
