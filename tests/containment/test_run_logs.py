"""Whose record is it: real crawls side by side, each with a file that holds all of its own and none other."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from reactorhub.containment.contexts import RUN, RunContext
from reactorhub.containment.root_handler import RootHandler
from reactorhub.containment.run_logs import FileRunLog, routing
from tests.support.shop_project import EngineCase, spider

CHATTY = """
async def start(self):
    self.say("start")
    yield scrapy.Request(self.shop + "/book/1.html", errback=self.failed)
    yield scrapy.Request("http://127.0.0.1:1/", errback=self.failed, dont_filter=True)

def say(self, what):
    logging.getLogger("third.party").info("MARK %s %s", self.mark, what)

def failed(self, failure):
    self.say("errback")

async def parse(self, response):
    self.say("callback")
    await asyncio.sleep(0.01)
    self.say("after sleep")
    await asyncio.to_thread(self.say, "to_thread")
    await asyncio.get_running_loop().run_in_executor(None, self.say, "executor")
    for wait in (self.in_pool, self.later, self.looping):
        await wait().asFuture(asyncio.get_running_loop())
    asyncio.get_running_loop().call_later(0, self.say, "call_later")
    asyncio.ensure_future(self.own_task())
    await asyncio.sleep(0.02)
    yield {"mark": self.mark}

async def own_task(self):
    self.say("task")

def in_pool(self):
    waiting = threads.deferToThread(self.say, "deferToThread")
    waiting.addCallback(lambda _: self.say("after deferToThread"))
    return waiting

def later(self):
    waiting = task.deferLater(reactor, 0.01)
    waiting.addCallback(lambda _: self.say("callLater"))
    return waiting

def looping(self):
    loop = task.LoopingCall(self.beat)
    self.beats, self.loop = 0, loop
    return loop.start(0.005)

def beat(self):
    self.beats += 1
    self.say("looping")
    if self.beats == 3:
        self.loop.stop()

def closed(self, reason):
    self.say("closed")
"""
MARKS = [
    *("start", "errback", "callback", "after sleep", "to_thread", "executor", "deferToThread"),
    *("after deferToThread", "callLater", "looping", "looping", "looping", "call_later", "task", "closed"),
]


class AttributionTests(EngineCase):
    """Records find their run through every hop that Twisted and asyncio offer."""

    async def test_twenty_four_at_once(self) -> None:
        """Of 24 concurrent runs each file holds all marks of its own run and no other's."""
        self.load({"it": spider(CHATTY)})
        names = [f"run{number}" for number in range(24)]
        crawls = [self.launch(name, args={"mark": name}) for name in names]
        for crawl in crawls:
            end = await crawl.done
            assert (end.items, end.failure) == (1, None)
        for name in names:
            progress = [line.split("MARK ")[1] for line in self.log(name).splitlines() if "MARK" in line]
            assert sorted(progress) == sorted(f"{name} {mark}" for mark in MARKS)
        assert [record for record in self.hub_records if "MARK" in record.getMessage()] == []

    async def test_counts_are_the_run_s_own(self) -> None:
        """A quiet spider beside a noisy one has no errors in its counts."""
        self.load(
            {
                "it": spider(
                    """
                    def parse(self, response):
                        for n in range(20):
                            self.logger.error("noise")
                        yield {}
                    """
                ),
                "quiet": spider("def parse(self, response):\n    yield {}", "quiet"),
            }
        )
        noisy, quiet = self.launch(), self.launch("run2", "quiet")
        assert (await noisy.done).stats["log_count/ERROR"] == 20
        end = await quiet.done
        assert (end.errors, end.stats.get("log_count/ERROR")) == (0, None)


def record(level: int = logging.INFO, text: str = "hello", **extra: Any) -> logging.LogRecord:
    """Return a log record."""
    made = logging.LogRecord("some.name", level, "file.py", 1, text, None, extra.pop("exc_info", None))
    made.__dict__.update(extra)
    return made


def raised(error: BaseException) -> Any:
    """Return the exc_info of an exception that was raised."""
    try:
        raise error
    except type(error) as caught:
        return (type(caught), caught, caught.__traceback__)


@pytest.fixture
def log(tmp_path: Path) -> FileRunLog:
    """A run's log in a folder that is not there yet."""
    return FileRunLog(tmp_path / "logs" / "shop" / "it" / "1.log")


def text(tmp_path: Path) -> str:
    """What the log's file holds."""
    return (tmp_path / "logs" / "shop" / "it" / "1.log").read_text()


def test_records_are_counted_and_written_at_once(log: FileRunLog, tmp_path: Path) -> None:
    """A record is in the file as soon as it was taken."""
    log.take(record())
    assert text(tmp_path).endswith(" [some.name] INFO: hello\n")
    assert log.counts == {"INFO": 1}


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({}, ["hello", "oh no"]),
        ({"LOG_LEVEL": "ERROR"}, ["oh no"]),
        ({"LOG_LEVEL": 40}, ["oh no"]),
        ({"LOG_LEVEL": "NOISY"}, ["hello", "oh no"]),
        ({"LOG_ENABLED": False}, []),
        ({"LOG_FORMAT": "%(name)s %(message)s"}, ["some.name hello", "some.name oh no"]),
    ],
)
def test_the_run_s_own_settings(
    log: FileRunLog, tmp_path: Path, settings: dict[str, Any], written: list[str]
) -> None:
    """LOG_* settings decide what is written; errors are counted whatever they say."""
    log.configure({"LOG_FORMAT": "%(message)s", **settings})
    log.take(record())
    log.take(record(logging.ERROR, "oh no", exc_info=raised(ValueError("deep"))))
    lines = [line for line in text(tmp_path).splitlines() if "hello" in line or "oh no" in line]
    assert lines == written
    assert log.counts["ERROR"] == 1


def test_a_format_may_ask_for_more_than_a_record_has(log: FileRunLog, tmp_path: Path) -> None:
    """LOG_FORMAT may name fields that a project adds to its records; records without them are kept."""
    log.configure({"LOG_FORMAT": "%(shop)s %(message)s"})
    rich = record()
    rich.shop = "books"
    for each in (rich, record()):
        log.take(each)
    log.write("stdout", "printed")
    lines = text(tmp_path).splitlines()
    assert lines[0] == "books hello"
    assert [line.partition("] ")[2] for line in lines[1:]] == ["INFO: hello", "INFO: printed"]


def raising(record: logging.LogRecord) -> bool:
    """A filter that raises."""
    raise SystemExit(record.msg)


def test_what_the_run_sets_on_its_handler(log: FileRunLog, tmp_path: Path) -> None:
    """Level, filters and formatter decide what is written and how, and change no count."""
    log.configure({"LOG_FORMAT": "%(message)s", "LOG_LEVEL": "INFO"})
    handler = RootHandler()
    log.take(record(text="untouched"), handler)
    handler.setFormatter(logging.Formatter("SHOP %(message)s"))
    handler.addFilter(lambda each: "secret" not in each.getMessage())
    for said in ("plain", "a secret"):
        log.take(record(text=said), handler)
    handler.setLevel(logging.DEBUG)
    log.take(record(logging.DEBUG, "fine"), handler)
    handler.setLevel(logging.WARNING)
    log.take(record(text="hidden"), handler)
    handler.reset()
    handler.addFilter(raising)
    log.take(record(text="kept"), handler)
    assert text(tmp_path).splitlines() == ["untouched", "SHOP plain", "SHOP fine", "kept"]
    assert log.counts == {"INFO": 5}


def test_a_handler_writes_nothing_where_the_log_is_off(log: FileRunLog, tmp_path: Path) -> None:
    """LOG_ENABLED decides, whatever level the run's code sets."""
    log.configure({"LOG_ENABLED": False})
    handler = RootHandler()
    handler.setLevel(logging.DEBUG)
    log.take(record(), handler)
    assert text(tmp_path) == ""


def test_short_names(log: FileRunLog, tmp_path: Path) -> None:
    """LOG_SHORT_NAMES shortens Scrapy's loggers and nobody else's."""
    log.configure({"LOG_FORMAT": "%(name)s", "LOG_SHORT_NAMES": True})
    for name in ("scrapy.core.engine", "some.name"):
        log.take(record(name=name))
    assert text(tmp_path) == "scrapy\nsome.name\n"


def test_nothing_is_taken_after_the_end(log: FileRunLog) -> None:
    """A record that comes late changes no count."""
    log.close()
    log.close()
    log.take(record())
    assert log.counts == {}


def test_a_full_disk_silences_the_file_only(log: FileRunLog) -> None:
    """What cannot be written is counted as lost, and the run goes on."""
    with Path("/dev/full").open("ab", buffering=0) as full:
        log._file = full
        log.take(record())
    assert (log.lost, log.counts) == (1, {"INFO": 1})


def test_strange_text(log: FileRunLog, tmp_path: Path) -> None:
    """Half a character does not lose the record."""
    log.take(record(text="\ud800 end"))
    assert "\\ud800 end" in text(tmp_path)


def test_whose_record(log: FileRunLog, tmp_path: Path) -> None:
    """What the record says goes before the context; without either it is the hub's."""
    hub: list[logging.LogRecord] = []
    deliver = routing(hub.append)
    other = FileRunLog(tmp_path / "other.log")
    mine, others = RunContext("1", log), RunContext("2", other)
    crawler = type("Crawler", (), {"run_context": others})()
    mine.enter(deliver, record())
    mine.enter(deliver, record(crawler=crawler))
    mine.enter(deliver, record(spider=type("Spider", (), {"crawler": crawler})()))
    mine.enter(deliver, record(spider="a name"))
    deliver(record())
    assert (log.counts, other.counts, len(hub)) == ({"INFO": 2}, {"INFO": 2}, 1)
    assert RUN.get() is None


def test_a_record_that_cannot_be_formatted(log: FileRunLog, tmp_path: Path) -> None:
    """A wrong log call is one line with its place, at its own level, and not an error."""
    wrong = record(text="%d books")
    wrong.args = ("many",)
    log.take(wrong)
    assert (
        text(tmp_path)
        .splitlines()[0]
        .endswith("[some.name] INFO: a log call that cannot be formatted, at file.py:1: '%d books'")
    )
    assert (text(tmp_path).count("\n"), log.counts) == (1, {"INFO": 1})


def test_records_after_the_end_of_a_run(log: FileRunLog) -> None:
    """What a run that has ended logs goes to the hub's log."""
    hub: list[logging.LogRecord] = []
    run = RunContext("1", log)
    run.over = True
    run.enter(routing(hub.append), record())
    assert (len(hub), log.counts) == (1, {})


def test_printed_lines_are_not_records(log: FileRunLog, tmp_path: Path) -> None:
    """A printed line is written whatever LOG_LEVEL is, and counts nowhere."""
    log.configure({"LOG_LEVEL": "ERROR", "LOG_FORMAT": "[%(name)s] %(levelname)s: %(message)s"})
    log.write("stderr", "50 %s")
    assert (text(tmp_path), log.counts) == ("[stderr] INFO: 50 %s\n", {})


def test_an_exception_counts_once(log: FileRunLog) -> None:
    """An exception is one, whether it is seen where it happens, in a record, or in several."""
    run, deliver = RunContext("1", log), routing(lambda record: None)
    told, silent, twice = ValueError("told"), ValueError("silent"), ValueError("twice")
    run.raised(told)
    assert run.silent == 1
    run.enter(deliver, record(logging.ERROR, "oh no", exc_info=(ValueError, told, None)))
    run.raised(told)
    assert (run.silent, run.exceptions, run.error) == (0, 1, "ValueError: told")
    run.raised(silent)
    run.raised(silent)
    for _ in range(2):
        run.enter(deliver, record(logging.ERROR, "oh no", exc_info=(ValueError, twice, None)))
    run.enter(deliver, record(logging.INFO, "oh no", exc_info=(ValueError, ValueError("fine"), None)))
    assert (run.silent, run.exceptions, run.error) == (1, 3, "ValueError: twice")
    other = RunContext("2", log)
    other.raised(silent)
    assert other.exceptions == 1
