"""A run's log and items over HTTP: whole, in ranges, the last lines, some lines, and none."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from reactorhub.web import files
from reactorhub.web.files import last_lines, some_lines
from tests.support.hubs import HubHarness, config
from tests.support.web_client import Web

LOG = b"".join(b"2026-11-21 12:00:00 [prices] INFO: record %d\n" % n for n in range(50))
ITEMS = b"".join(b'{"n": %d}\n' % n for n in range(20))


class Folder(Web):
    """A web over a data folder that holds one run's log and items."""

    def __init__(self, data_dir: Path, harness: HubHarness | None = None) -> None:
        super().__init__(data_dir=data_dir, harness=harness or HubHarness())
        self.run = self.submitted()
        for path, data in (
            (self.paths.log("shop", "prices", self.run), LOG),
            (self.paths.items("shop", "prices", self.run), ITEMS),
        ):
            path.parent.mkdir(parents=True)
            path.write_bytes(data)


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    """A web with one run that has files."""
    return Folder(tmp_path)


class WholeFileTests(TestCase):
    """Files are sent block by block, as the reactor turns."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Folder(Path(folder.name))
        self.earlier = {*reactor.getDelayedCalls()}
        self.log, self.items = (f"/api/runs/{self.store.run}/{name}" for name in ("log", "items"))

    def tearDown(self) -> None:
        assert [
            call for call in reactor.getDelayedCalls() if call.active() and call not in self.earlier
        ] == []

    async def test_the_whole_log(self) -> None:
        """A log is plain text under the run's own name."""
        reply = await self.store.whole(self.log)
        assert (reply.status, reply.body) == (200, LOG)
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert reply.headers["content-disposition"] == f'inline; filename="{self.store.run}.log"'

    async def test_all_items(self) -> None:
        """Items are JSON Lines."""
        reply = await self.store.whole(self.items)
        assert (reply.status, reply.body) == (200, ITEMS)
        assert reply.headers["content-type"] == "application/jsonl"

    async def test_a_range(self) -> None:
        """A range request gets that part and is told which; the last bytes and the rest likewise."""
        for asked, said, part in (
            ("bytes=0-9", f"bytes 0-9/{len(LOG)}", LOG[:10]),
            ("bytes=10-", f"bytes 10-{len(LOG) - 1}/{len(LOG)}", LOG[10:]),
            ("bytes=-5", f"bytes {len(LOG) - 5}-{len(LOG) - 1}/{len(LOG)}", LOG[-5:]),
        ):
            reply = await self.store.whole(self.log, Range=asked)
            assert (reply.status, reply.headers["content-range"]) == (206, said)
            assert reply.body == part

    async def test_a_range_beyond_the_end(self) -> None:
        """A range that the file does not have is refused with its size."""
        reply = await self.store.whole(self.items, Range="bytes=100000-")
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(ITEMS)}")

    async def test_an_empty_file(self) -> None:
        """A crawl that scraped nothing has no items to show, and that is an ordinary answer."""
        self.store.paths.items("shop", "prices", self.store.run).write_bytes(b"")
        reply = await self.store.whole(self.items)
        assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(("tail", "lines"), [(1, 1), (7, 7), (50, 50), (100, 50)])
def test_the_last_lines_of_a_log(store: Folder, tail: int, lines: int) -> None:
    """``tail`` gives so many lines from the end, or as many as there are."""
    reply = store.get(f"/api/runs/{store.run}/log?tail={tail}")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert reply.body.splitlines() == LOG.splitlines()[-lines:]


@pytest.mark.parametrize(
    ("query", "first", "end"),
    [("offset=3&limit=2", 3, 5), ("limit=4", 0, 4), ("offset=18", 18, 20), ("offset=99", 20, 20)],
)
def test_some_items(store: Folder, query: str, first: int, end: int) -> None:
    """``offset`` and ``limit`` pick whole lines."""
    reply = store.get(f"/api/runs/{store.run}/items?{query}")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/jsonl")
    assert reply.body.splitlines() == ITEMS.splitlines()[first:end]


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ("log?tail=0", "tail"),
        ("log?tail=-1", "tail"),
        ("log?tail=all", "tail"),
        ("log?lines=3", "lines"),
        ("items?limit=0", "limit"),
        ("items?offset=-1", "offset"),
        ("items?offset=1.5", "offset"),
        ("items?offset=" + "9" * 5000, "offset"),
        ("items?page=2", "page"),
    ],
)
def test_wrong_parameters_are_named(store: Folder, what: str, field: str) -> None:
    """What cannot be picked is refused by the parameter's name."""
    reply = store.get(f"/api/runs/{store.run}/{what}")
    assert (reply.status, reply.fields) == (422, {field})


@pytest.mark.parametrize("what", ["log", "log?tail=3", "items", "items?limit=3"])
def test_a_run_without_files(tmp_path: Path, what: str) -> None:
    """A run that has not started has neither log nor items, and the answer says why."""
    web = Web(data_dir=tmp_path)
    reply = web.get(f"/api/runs/{web.submitted()}/{what}")
    assert reply.status == 404
    assert "it has not started yet" in reply.json["detail"]
    assert web.get(f"/api/runs/nothing/{what}").status == 404


@pytest.mark.parametrize("kept", ["", "hub: {retention: {logs: 2d, items: 2d}}\n"])
@pytest.mark.parametrize("what", ["log", "log?tail=3", "items", "items?limit=3"])
def test_files_that_were_removed(tmp_path: Path, what: str, kept: str) -> None:
    """The answer for a run whose files are gone says what has removed them."""
    store = Folder(tmp_path, HubHarness(config=config(kept + "schedules: {}")))
    crawl = store.harness.begun(store.run)
    crawl.scrape(3)
    crawl.finish()
    store.harness.turn()
    is_log = what.startswith("log")
    name, called, rule = ("log", "log", "logs") if is_log else ("items", "items file", "items")
    getattr(store.paths, name)("shop", "prices", store.run).unlink()
    said = f"run {store.run} has no {called}: it was removed "
    by_hand = f"{said}by hand, or when hub.retention.{rule} was shorter"
    reply = store.get(f"/api/runs/{store.run}/{what}")
    assert (reply.status, reply.json["detail"]) == (404, by_hand)
    store.harness.step = timedelta(days=2)
    by_rule = f"{said}after 2d, as hub.retention.{rule} says" if kept else by_hand
    assert store.get(f"/api/runs/{store.run}/{what}").json["detail"] == by_rule


@pytest.mark.parametrize(
    ("feeds", "why"),
    [
        (True, "its project sets FEEDS, so its items are where these say"),
        (False, "it scraped no items"),
    ],
)
def test_a_run_whose_items_are_elsewhere_or_nowhere(tmp_path: Path, feeds: bool, why: str) -> None:
    """The answer does not blame a project that sets no FEEDS, nor retention where there was nothing."""
    web = Web(data_dir=tmp_path)
    run = web.submitted()
    crawl = web.harness.begun(run)
    crawl.feeds = feeds
    crawl.finish()
    web.harness.turn()
    assert web.get(f"/api/runs/{run}/items").json["detail"] == f"run {run} has no items file: {why}"


def test_a_run_that_died_with_the_hub(tmp_path: Path) -> None:
    """Nobody knows whether it had items, and the answer does not claim to."""
    web = Web(data_dir=tmp_path)
    run = web.submitted()
    web.harness.begun(run)
    harness = HubHarness(ledger=web.harness.ledger)
    after = Web(harness=harness, data_dir=tmp_path)
    reply = after.get(f"/api/runs/{run}/items")
    why = "the hub ended before there was one, or it was removed"
    assert (reply.status, reply.json["detail"]) == (404, f"run {run} has no items file: {why}")


def test_a_crawl_without_items_so_far(tmp_path: Path) -> None:
    """Of a crawl that goes on nobody says that its items were removed."""
    web = Web(data_dir=tmp_path)
    run = web.submitted()
    web.harness.begun(run)
    assert web.get(f"/api/runs/{run}/items").json["detail"].endswith("there is none yet")


def test_a_run_that_never_started(tmp_path: Path) -> None:
    """A run that was cancelled while it waited has no log and never will."""
    web = Web(data_dir=tmp_path)
    run = web.submitted(not_before="2999-01-01T00:00:00Z")
    web.post(f"/api/runs/{run}/cancel")
    assert web.get(f"/api/runs/{run}/log").json["detail"].endswith("it ended before it started")


def test_a_file_that_goes_while_it_is_read(store: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is removed between the look and the reading is not found: no mistake of the hub."""
    path = store.paths.log("shop", "prices", store.run)
    monkeypatch.setattr(files.RunFiles, "log", lambda *_: path)
    path.unlink()
    assert store.get(f"/api/runs/{store.run}/log?tail=3").status == 404


lines = st.lists(st.binary(max_size=9) | st.just(b"a\rb"), max_size=30)


@given(lines, st.booleans(), st.integers(1, 40), st.integers(1, 16))
def test_last_lines_of_any_file(lines: list[bytes], ended: bool, wanted: int, block: int) -> None:
    """The last lines are right however the file's blocks fall, with or without a newline at its end."""
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_BLOCK", block)
        (path := Path(folder, "log")).write_bytes(data)
        assert last_lines(path, wanted) == b"".join(BytesIO(data).readlines()[-wanted:])
        assert some_lines(path, 2, wanted) == b"".join(BytesIO(data).readlines()[2 : 2 + wanted])


def test_the_last_line_of_one_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than what is looked at is given from there on, not searched to its beginning."""
    monkeypatch.setattr(files, "_BLOCK", 8)
    monkeypatch.setattr(files, "_MAX_TAIL", 32)
    (path := tmp_path / "log").write_bytes(b"x" * 1000)
    assert last_lines(path, 1) == b"x" * 32
