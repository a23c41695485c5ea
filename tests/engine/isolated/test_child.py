"""The child side, piece by piece: reports, records and settings."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.settings import Settings
from scrapy.utils import log as scrapy_log

from reactorhub.engine.isolated.child.preload import preload
from reactorhub.engine.isolated.child.private import keep_to_log_enabled, own_settings
from reactorhub.engine.isolated.child.private.haste import remember_versions
from reactorhub.engine.isolated.child.records import Records
from reactorhub.engine.isolated.child.reports import Reports, plain
from reactorhub.engine.isolated.connections import read_moment
from reactorhub.model.values import stats_view


class Unruly:
    """A value whose text cannot be had."""

    def __repr__(self) -> str:
        raise SystemError("no")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.datetimes(timezones=st.just(UTC))
    | st.sets(st.integers(), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=3))
def test_stats_read_the_same_whichever_way_they_came(stats: dict[str, Any]) -> None:
    """What a stat looks like in a run's view does not hang on the process that it came from."""
    sent = json.loads(json.dumps(plain(stats)), object_hook=read_moment)
    assert stats_view(sent) == stats_view(stats)


@pytest.mark.parametrize(
    "value",
    [Unruly(), [Unruly()], {"a": Unruly()}, {10**5000: 1}, {10**5000}, [10**5000], object(), b"x"],
    ids=lambda v: type(v).__name__,
)
def test_no_value_keeps_a_report_from_being_sent(value: Any) -> None:
    """A value that JSON has no kind for, or that cannot be shown, becomes a text."""
    assert json.dumps(plain(value))


def test_what_holds_itself() -> None:
    """A value that is nested without end is cut off."""
    value: list[Any] = []
    value.append(value)
    assert "nested too deeply" in json.dumps(plain(value))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Reports]]:
    """The hub's end of a socket, and the reports on the other."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, Reports(theirs)


def test_orders_come_in_pieces(pair: tuple[socket.socket, Reports]) -> None:
    """An order is a line, however the network cuts it."""
    ours, reports = pair
    ours.sendall(b'{"kind": "crawl"}\n{"do": ')
    assert reports.read_order() == {"kind": "crawl"}
    assert reports.read() == []
    ours.sendall(b'"stop"}\n')
    assert reports.read() == [{"do": "stop"}]
    ours.close()
    with pytest.raises(ConnectionError):
        reports.read()


def test_a_hub_that_does_not_read_stops_nobody(pair: tuple[socket.socket, Reports]) -> None:
    """Live figures that the hub does not take are left out, others wait; the last report comes whole."""
    ours, reports = pair
    reports.socket.setblocking(False)
    for number in range(2000):
        reports.send_if_free({"live": "x" * 1000, "number": number})
    reports.send({"opened": True})
    received = b""
    ours.settimeout(5)
    while b"opened" not in received:
        received += ours.recv(1 << 20)
        reports.flush()
    lines = [json.loads(line) for line in received.splitlines()]
    assert lines[-1] == {"opened": True}
    assert [line["number"] for line in lines[:-1]] == list(range(len(lines) - 1))
    assert len(lines) < 2000
    reports.send_last({"closed": {}})
    assert ours.recv(100) == b'{"closed": {}}\n'


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    """Records that are installed for one test."""
    for method in ("error", "critical", "fatal", "log", "handle", "callHandlers"):
        monkeypatch.setattr(logging.Logger, method, getattr(logging.Logger, method))
    records = Records()
    records.install()
    return records


def test_errors_count_where_they_are_made(records: Records) -> None:
    """Records of level ERROR count whatever becomes of handlers, and exceptions are told apart."""
    log = logging.getLogger("nobody.listens")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    log.error("one")
    log.warning("no error")
    try:
        raise ValueError("no price")
    except ValueError:
        log.exception("two")
    assert records.figures() == {"errors": 2, "exceptions": 1, "error": "ValueError: no price"}


def test_exceptions_count_in_records_that_are_muted(records: Records) -> None:
    """An exception counts although its record is never made; muted words alone do not."""
    log = logging.getLogger("nobody.hears")
    log.setLevel(logging.CRITICAL + 1)
    log.error("only words")
    log.log(logging.WARNING, "a warning", exc_info=KeyError("warned"))
    log.log(logging.ERROR, "one", exc_info=ValueError("first"))
    log.critical("two", exc_info=(ValueError, ValueError("second"), None))
    try:
        raise ValueError("third")
    except ValueError:
        log.exception("three")
    assert records.figures() == {"errors": 3, "exceptions": 3, "error": "ValueError: third"}


def test_what_a_filter_drops_is_no_error(records: Records) -> None:
    """A record that the project's filter drops does not count; its exception does."""
    log = logging.getLogger("nobody.sees")
    log.addFilter(lambda record: "drop" not in record.getMessage())
    log.error("drop this")
    log.error("keep this")
    log.error("drop this", exc_info=ValueError("dropped"))
    assert records.figures() == {"errors": 2, "exceptions": 1, "error": "ValueError: dropped"}


def test_a_handler_may_log_and_make_records(records: Records) -> None:
    """``makeLogRecord()`` is no log call; what a handler logs counts beside the record that it handles."""
    logged = logging.getLogger("nobody.minds.handled")
    logged.propagate = False

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.makeLogRecord(record.__dict__)
            logging.getLogger("nobody.minds").error("again", exc_info=ValueError("inner"))

    logged.addHandler(Handler())
    logged.error("one", exc_info=ValueError("outer"))
    assert records.figures() == {"errors": 2, "exceptions": 2, "error": "ValueError: inner"}


@pytest.mark.parametrize(("enabled", "lines"), [(True, "a \\udce9\n"), (False, "")])
def test_the_file_of_a_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, enabled: bool, lines: str
) -> None:
    """It holds what UTF-8 cannot, escaped, and nothing where LOG_ENABLED is off."""
    monkeypatch.setattr(scrapy_log, "_get_handler", scrapy_log._get_handler)
    keep_to_log_enabled()
    file = tmp_path / "run.log"
    settings = Settings({"LOG_FILE": str(file), "LOG_ENABLED": enabled, "LOG_FORMAT": "%(message)s"})
    handler = scrapy_log._get_handler(settings)
    handler.emit(logging.LogRecord("x", logging.ERROR, "", 1, "a \udce9", (), None))
    handler.close()
    assert (file.read_text() if file.exists() else "") == lines


def test_a_record_shows_the_line_of_its_caller(records: Records, caplog: pytest.LogCaptureFixture) -> None:
    """What counts records does not stand between a record and the code that logs."""
    logging.getLogger("who.logs").error("here")
    assert [record.filename for record in caplog.records] == ["test_child.py"]


def test_settings_are_handed_on_while_a_crawl_is_prepared() -> None:
    """They are not copied for the one crawl of a process, and are copied again afterwards."""
    settings = own_settings(Settings({"A": 1}))
    assert settings.copy() is settings.frozencopy() is settings
    settings.handed_on = False
    again = settings.copy()
    again.set("A", 2)
    assert (settings["A"], again["A"]) == (1, 2)
    assert settings.frozencopy().frozen


def test_nothing_is_forked_from_a_process_with_a_reactor() -> None:
    """This process has a reactor: it must not become a zygote."""
    with pytest.raises(RuntimeError, match="has installed a reactor"):
        preload()


@pytest.mark.parametrize("software", [["Scrapy", "lxml"], ["Twisted"], []])
def test_versions_are_looked_up_once(monkeypatch: pytest.MonkeyPatch, software: list[str]) -> None:
    """What Scrapy logs of versions stays as it is; each list of packages is looked up once for all crawls."""
    asked: list[Any] = []
    right = scrapy_log.get_versions

    def get_versions(*names: Any) -> Any:
        asked.append(names)
        return right(*names)

    monkeypatch.setattr(scrapy_log, "get_versions", get_versions)
    remember_versions()
    expected = right(software) if software else right()
    assert [scrapy_log.get_versions(software) for _ in range(2)] == [expected, expected]
    assert len(asked) == 1
