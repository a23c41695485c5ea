"""Old files go and nothing else does: not what is new, wanted, a link, or outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reactorhub.storage.old_files import OldFiles, Swept

NOW = 1_800_000_000.0
DAY = 86_400.0


class Folder:
    """A folder of logs in which everything is as old as it is said to be."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir()
        self.old = OldFiles(root)

    def file(self, name: str, days: float) -> Path:
        """Make a file that was last written so many days ago; its folders are as old."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a record\n")
        self.age(path, days)
        return path

    def age(self, path: Path, days: float) -> None:
        """Make a path and the folders it lies in so old."""
        for each in (path, *path.parents):
            if each.is_relative_to(self.root):
                os.utime(each, (NOW - days * DAY,) * 2, follow_symlinks=False)

    def sweep(self, *keep: str, limit: int = 1000, days: float = 14) -> Swept:
        """Take one step that removes what is older than so many days."""
        return self.old.sweep(NOW - days * DAY, keep, limit)

    def left(self) -> list[str]:
        """What is still there."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder."""
    return Folder(tmp_path / "logs")


def test_old_files_go_and_new_ones_stay(folder: Folder) -> None:
    """The last modification decides, to the second."""
    folder.file("shop/prices/a.log", 15)
    folder.file("shop/prices/b.log", 14)
    folder.file("shop/prices/c.log", 1)
    assert folder.sweep() == Swept(removed=1, done=True)
    assert folder.left() == ["shop", "shop/prices", "shop/prices/b.log", "shop/prices/c.log"]


def test_files_of_runs_that_are_not_final_stay(folder: Folder) -> None:
    """A crawl that has said nothing for weeks keeps what it said before."""
    folder.file("shop/prices/run-1.log", 99)
    folder.file("shop/prices/run-2.log", 99)
    assert folder.sweep("run-1").removed == 1
    assert folder.left() == ["shop", "shop/prices", "shop/prices/run-1.log"]


def test_empty_folders_go(folder: Folder) -> None:
    """A folder goes with its last file, and the one around it with its last folder."""
    folder.file("shop/prices/a.log", 99)
    folder.file("blog/posts/b.log", 99)
    folder.file("blog/posts/c.log", 1)
    assert folder.sweep().removed == 2
    assert folder.left() == ["blog", "blog/posts", "blog/posts/c.log"]


def test_a_folder_that_was_just_made_stays(folder: Folder) -> None:
    """A run makes its folder before its file: no folder goes in which something has just happened."""
    (folder.root / "shop" / "prices").mkdir(parents=True)
    folder.age(folder.root / "shop" / "prices", 1)
    folder.sweep()
    assert folder.left() == ["shop", "shop/prices"]


def test_links_are_neither_followed_nor_removed(folder: Folder, tmp_path: Path) -> None:
    """A link to a file or a folder stays, and so does what it leads to."""
    outside = tmp_path / "outside" / "inner"
    outside.mkdir(parents=True)
    (outside / "precious.log").write_bytes(b"x")
    os.utime(outside / "precious.log", (0, 0))
    folder.file("shop/prices/a.log", 99)
    (folder.root / "shop" / "prices" / "b.log").symlink_to(outside / "precious.log")
    (folder.root / "shop" / "linked").symlink_to(outside)
    (folder.root / "linked").symlink_to(outside.parent)
    assert folder.sweep() == Swept(removed=1, done=True)
    assert folder.left() == ["linked", "shop", "shop/linked", "shop/prices", "shop/prices/b.log"]
    assert (outside / "precious.log").exists()


def test_a_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    """Where the folder itself is a link nothing is removed, and the trouble says so."""
    real = Folder(tmp_path / "elsewhere")
    real.file("shop/prices/a.log", 99)
    (tmp_path / "logs").symlink_to(real.root)
    swept = OldFiles(tmp_path / "logs").sweep(NOW, (), 100)
    assert (swept.removed, swept.done) == (0, True)
    assert str(swept.trouble).startswith(f"{tmp_path / 'logs'}: ")
    assert "shop/prices/a.log" in real.left()


def test_a_folder_swapped_for_a_link_leads_nowhere(folder: Folder, tmp_path: Path) -> None:
    """Between two steps a folder may become a link: the walk stays in the folder that it has opened."""
    for number in range(4):
        folder.file(f"shop/prices/{number}.log", 99)
    outside = Folder(tmp_path / "outside")
    kept = outside.file("0.log", 99)
    folder.sweep(limit=1)
    (folder.root / "shop" / "prices").rename(tmp_path / "moved")
    (folder.root / "shop" / "prices").symlink_to(outside.root)
    while not folder.sweep(limit=1).done:
        pass
    assert kept.exists()
    assert list((tmp_path / "moved").iterdir()) == []


def test_only_files_where_the_hub_puts_them(folder: Folder) -> None:
    """What lies higher or deeper than a run's files is not the hub's."""
    names = ["top.log", "shop/a.log", "shop/prices/deep/b.log"]
    for name in names:
        folder.file(name, 99)
    folder.file("shop/prices/c.log", 99)
    assert folder.sweep().removed == 1
    assert {name for name in folder.left() if name.endswith(".log")} == set(names)


def test_no_step_looks_at_more_than_it_may(folder: Folder) -> None:
    """Steps go on where the last one stopped, until all was seen; then they begin anew."""
    for number in range(30):
        folder.file(f"shop/prices/{number}.log", 99 if number % 2 else 1)
    steps = []
    while not (swept := folder.sweep(limit=4)).done:
        steps.append(swept.removed)
    steps.append(swept.removed)
    assert sum(steps) == 15
    assert max(steps) <= 4
    assert len(steps) == 9  # 32 entries: 30 files, two folders
    folder.age(folder.root / "shop/prices/0.log", 99)
    assert folder.sweep().removed == 1


def test_no_folder_no_trouble(tmp_path: Path) -> None:
    """A hub that has not run anything yet has no folder to look at."""
    assert OldFiles(tmp_path / "logs").sweep(NOW, (), 100) == Swept(removed=0, done=True)


def test_what_cannot_be_removed_hinders_nothing_else(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the disk does not let go is named, and all others go."""
    for number in range(3):
        folder.file(f"shop/prices/{number}.log", 99)
    unlink = os.unlink

    def refusing(name: str, **more: int) -> None:
        if name == "1.log":
            raise PermissionError(1, "Operation not permitted")
        unlink(name, **more)

    monkeypatch.setattr(os, "unlink", refusing)
    swept = folder.sweep()
    assert (swept.removed, swept.trouble) == (2, "1.log: Operation not permitted")
    assert folder.left() == ["shop", "shop/prices", "shop/prices/1.log"]
