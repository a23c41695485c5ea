"""Runs with a process of their own look like any other, and what harms one harms no other."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LONG
from tests.integration.hubs import Hub, alive, until, write_project
from tests.support.redis_server import free_port

CONFIG = """
    hub:
      demo_site: tcp:SITE_PORT:interface=127.0.0.1
      max_concurrent_runs: 8
      projects: {lab: {path: lab}}
    schedules:
      calm: {spider: plain, isolate: process}
      hasty: {spider: hang, timeout: 1s, stop_grace: 1s, isolate: process}
      picky: {spider: fields, isolate: process, expect: {fields: {price: ">= 90%"}}}
      again: {spider: segfault, isolate: process, retry: {max_retries: 1, delay: 1s}}
"""
SPIDERS = """
    import asyncio, atexit, logging, os, resource, signal, subprocess, sys, time, warnings
    from pathlib import Path
    import scrapy
    from scrapy.exceptions import CloseSpider
    from scrapy.utils.project import get_project_settings

    seen = []

    class Visitor(scrapy.Spider):
        shop = "http://127.0.0.1:SITE_PORT"
        page = "/one/1.html"

        async def start(self):
            yield scrapy.Request(self.shop + self.page)

        def parse(self, response):
            yield {"url": response.url, "pid": os.getpid()}

    class Plain(Visitor):
        name = "plain"

    class Told(Visitor):
        name = "told"
        custom_settings = {"DEPTH_LIMIT": 3}

        def parse(self, response):
            self.logger.info("title is %s", response.css("h1::text").get())
            self.logger.error("one error")
            yield {"who": self.who, "depth": self.settings["DEPTH_LIMIT"],
                "items": self.settings["CONCURRENT_ITEMS"]}

    class Who(Visitor):
        name = "who"
        before = None

        def __init__(self, *args, **kwargs):
            self.before = self._job
            super().__init__(*args, **kwargs)

        def parse(self, response):
            names = ["JOB", "SCRAPY_JOB", "REACTORHUB_RUN_ID", "REACTORHUB_SCHEDULE",
                "REACTORHUB_NOMINAL_TIME", "REACTORHUB_ATTEMPT"]
            told = [self.settings[name] for name in names]
            yield {"job": [self._job, self.before, *told], "me": self.me, "env": os.environ.get("SCRAPY_JOB")}

    class Wrong(Visitor):
        name = "wrong"

        def parse(self, response):
            raise ValueError("no such price")

    class HalfWrong(Visitor):
        name = "half_wrong"

        def parse(self, response):
            yield {"n": 1}
            yield {"n": 2}
            1 / 0

    class Unborn(Visitor):
        name = "unborn"

        def __init__(self, **kwargs):
            raise ValueError("not today")

    class StartWrong(Visitor):
        name = "start_wrong"

        async def start(self):
            raise ValueError("no start")
            yield

    class Refused(Visitor):
        name = "refused"
        custom_settings = {"RETRY_ENABLED": False}

        async def start(self):
            yield scrapy.Request("http://127.0.0.1:1/")

    class OwnReason(Visitor):
        name = "own_reason"

        def parse(self, response):
            raise CloseSpider("caught_up")

    class Limit(Visitor):
        name = "limit"
        custom_settings = {"CLOSESPIDER_ITEMCOUNT": 1}

    class Escape(Visitor):
        name = "escape"

        def parse(self, response):
            sys.exit(3)

    class Panic(BaseException):
        pass

    class Raising(Visitor):
        name = "raising"

        def __init__(self, where, **kwargs):
            super().__init__(**kwargs)
            self.where = where

        @classmethod
        def update_settings(cls, settings):
            super().update_settings(settings)
            parts = {f"{__name__}.Part": 1}
            for name in ("ITEM_PIPELINES", "DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES"):
                settings.set(name, parts, "spider")
            settings.set("DUPEFILTER_CLASS", f"{__name__}.Filter", "spider")

        async def start(self):
            yield scrapy.Request(self.shop)
            hurt(self, "start")

        def parse(self, response):
            yield {"n": 1}
            hurt(self, "callback")

        def closed(self, reason):
            hurt(self, "closed")

    def hurt(spider, where):
        if spider.where == where:
            raise Panic(where)

    class Part:
        def __init__(self, crawler):
            self.crawler = crawler

        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)

        def process_item(self, item):
            hurt(self.crawler.spider, "item")
            return item

        async def close_spider(self):
            hurt(self.crawler.spider, "close")

        def process_response(self, request, response):
            hurt(self.crawler.spider, "response")
            return response

        def process_spider_input(self, response):
            hurt(self.crawler.spider, "input")

        async def process_spider_output(self, response, result):
            async for each in result:
                yield each
            hurt(self.crawler.spider, "output")

    class Filter(scrapy.dupefilters.RFPDupeFilter):
        @classmethod
        def from_crawler(cls, crawler):
            made = super().from_crawler(crawler)
            made.crawler = crawler
            return made

        def request_seen(self, request):
            hurt(self.crawler.spider, "filter")

    class Forking(Visitor):
        name = "forking"

        def parse(self, response):
            for leave in (sys.exit, os._exit, lambda status: None):
                pid = os.fork()
                if not pid:
                    yield {"child": 1}
                    leave(7)
                    return
                yield {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}

    class Fields(Visitor):
        name = "fields"

        def parse(self, response):
            yield {"price": 0}
            yield {"price": ""}

    class Surrogate(Visitor):
        name = "surrogate"

        def parse(self, response):
            yield {"name": "caf\\u00e9 \\udc80"}

    class Feeds(Visitor):
        name = "feeds"

        @classmethod
        def update_settings(cls, settings):
            super().update_settings(settings)
            settings.set("FEEDS", {cls.feed: {"format": "json"}}, priority="spider")
        feed = "FEED_FILE"

    class Hang(Visitor):
        name = "hang"
        page = "/slow/600"

    class Busy(Visitor):
        name = "busy"
        custom_settings = {"DOWNLOAD_DELAY": 60, "CONCURRENT_REQUESTS": 20}

        async def start(self):
            for number in range(20):
                yield scrapy.Request(f"{self.shop}/one/{number}.html")

    class Many(Visitor):
        name = "many"
        custom_settings = {"DOWNLOAD_DELAY": 0.1, "RANDOMIZE_DOWNLOAD_DELAY": False}

        async def start(self):
            for number in range(1, 600):
                yield scrapy.Request(f"{self.shop}/one/{number}.html")

    # -- what only a process of its own can stand

    class State(Visitor):
        name = "state"

        def parse(self, response):
            seen.append(1)
            yield {"seen": len(seen), "cwd": os.getcwd(), "db": get_project_settings()["BOT_NAME"],
                "job": os.environ["SCRAPY_JOB"], "others": "spiders.aside" in sys.modules}

    class Prints(Visitor):
        name = "prints"

        def parse(self, response):
            print("said by print")
            print("said to stderr", file=sys.stderr)
            subprocess.run(["echo", "said by a program"], stdout=sys.stdout)
            logging.disable(logging.CRITICAL)
            atexit.register(print, "said at exit", flush=True)
            yield {"n": 1}

    class Segfault(Visitor):
        name = "segfault"

        def parse(self, response):
            os.kill(os.getpid(), signal.SIGSEGV)

    class Exit(Visitor):
        name = "exit"

        def parse(self, response):
            os._exit(7)

    class Deaf(Visitor):
        name = "deaf"

        def parse(self, response):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(self.mark).touch()
            while True:
                time.sleep(60)

    class Greedy(Visitor):
        name = "greedy"

        def parse(self, response):
            yield {"n": 1}
            kept = []
            while True:
                kept.append(bytearray(os.urandom(1000) * 1000))
                time.sleep(0.005)

    class Leak(Visitor):
        name = "leak"

        async def parse(self, response):
            kept = []
            while True:
                kept.append(os.urandom(1_000_000))
                yield {"n": len(kept)}
                await asyncio.sleep(0.1)

    class Spacious(Visitor):
        name = "spacious"

        def parse(self, response):
            yield {"limit": resource.getrlimit(resource.RLIMIT_AS)[0]}

    class Family(Visitor):
        name = "family"

        def parse(self, response):
            near = subprocess.Popen(["sleep", "600"])
            far = subprocess.Popen(["sleep", "600"], start_new_session=True)
            forked = os.fork()
            if not forked:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            Path(self.mark).write_text(f"{near.pid} {far.pid} {forked}")
            if self.then == "wait":
                while True:
                    time.sleep(60)
            if self.then == "die":
                os.kill(os.getpid(), signal.SIGKILL)

    class HangsUp(Visitor):
        name = "hangs_up"

        def parse(self, response):
            os.closerange(3, 100)
            while True:
                time.sleep(60)

    class Garbage(Visitor):
        name = "garbage"

        def parse(self, response):
            for fd in range(3, 100):
                try:
                    os.write(fd, b"{nonsense\\n")
                except OSError:
                    pass
            yield {"n": 1}

    class Memusage(Visitor):
        name = "memusage"
        page = "/slow/600"
        custom_settings = {"MEMUSAGE_LIMIT_MB": 1, "MEMUSAGE_CHECK_INTERVAL_SECONDS": 0.2}

    class Polite(Visitor):
        name = "polite"
        custom_settings = {"CONCURRENT_REQUESTS_PER_DOMAIN": 1, "CONCURRENT_REQUESTS": 16}

        async def start(self):
            for number in range(6):
                yield scrapy.Request(f"{self.shop}/slow/0.2?{number}", dont_filter=True)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub whose spiders do what harms a process."""
    port = str(free_port())
    hub = Hub(tmp_path_factory.mktemp("isolated"), CONFIG.replace("SITE_PORT", port))
    spiders = SPIDERS.replace("SITE_PORT", port).replace("FEED_FILE", str(hub.folder / "own.json"))
    write_project(hub.folder / "lab", lab=spiders, aside="")
    with hub:
        yield hub


def isolated(hub: Hub, spider: str, **order: Any) -> str:
    """Order an isolated run; return its id."""
    return hub.order(spider, isolate="process", **order)


def ran(hub: Hub, spider: str, isolate: str = "process", **order: Any) -> dict[str, Any]:
    """Order a run and wait for its end; return its view."""
    return hub.wait_final(hub.order(spider, isolate=isolate, **order))


def force(hub: Hub, run_id: str) -> None:
    """Cancel a run by force."""
    assert hub.post(f"/api/runs/{run_id}/cancel", {"force": True})[0] == 200


BOTH = pytest.mark.parametrize("isolate", ["none", "process"])


@BOTH
@pytest.mark.parametrize(
    ("spider", "state", "reason", "errors"),
    [
        ("plain", "succeeded", "the crawl finished", 0),
        ("told", "succeeded", "the crawl finished with 1 items and 1 errors", 1),
        ("wrong", "failed", "1 exception and no item; the last exception: ValueError: no such price", 1),
        ("half_wrong", "succeeded", "the crawl finished with 2 items and 1 errors", 1),
        ("unborn", "failed", "the crawl raised an exception: ValueError: not today", 1),
        ("start_wrong", "failed", "start() raised an exception: ValueError: no start", 1),
        ("own_reason", "failed", "the crawl ended with finish_reason 'caught_up'", 0),
        ("limit", "succeeded", "the crawl reached a limit that its project set: closespider_itemcount", 0),
    ],
)
def test_an_end_is_judged_alike(
    hub: Hub, spider: str, state: str, reason: str, errors: int, isolate: str
) -> None:
    """How a run ends, and why, does not hang on where it crawled."""
    run = ran(hub, spider, isolate, args={"who": "me"})
    assert (run["state"], run["reason"], run["errors"]) == (state, reason, errors)
    assert run["isolated"] is (isolate == "process")
    assert (run["pid"] is not None) is (isolate == "process")


@BOTH
def test_arguments_settings_and_log_are_alike(hub: Hub, isolate: str) -> None:
    """Arguments, settings of the order above the spider's above the hub's own, and the log's lines."""
    run_id = hub.order("told", {"who": "me"}, isolate=isolate, settings={"DEPTH_LIMIT": 9})
    run = hub.wait_final(run_id)
    assert hub.items(run_id) == [{"who": "me", "depth": 9, "items": 8}]
    log = hub.log(run_id)
    assert "[told] INFO: title is" in log
    assert "[told] ERROR: one error" in log
    assert "Spider closed (finished)" in log
    assert run["stats"]["log_count/ERROR"] == 1
    assert run["stats"]["start_time"].endswith("Z")


@BOTH
def test_a_spider_is_told_its_run(hub: Hub, isolate: str) -> None:
    """By attribute, settings and arguments; the view shows the arguments as the spider gets them."""
    run_id = hub.order("who", {"me": "{run.id} {schedule.name}{{run.id}}"}, isolate=isolate)
    run = hub.wait_final(run_id)
    told = [run_id] * 5 + ["", run["created_at"], 1]
    env = run_id if isolate == "process" else None
    assert hub.items(run_id) == [{"job": told, "me": f"{run_id} {{run.id}}", "env": env}]
    assert run["args"]["me"] == f"{run_id} {{run.id}}"
    status, reply = hub.post("/api/runs", {"spider": "who", "args": {"me": "{run.idd}"}})
    assert (status, [each["field"] for each in reply["errors"]]) == (422, ["args"])


@BOTH
def test_a_level_of_the_log_holds(hub: Hub, isolate: str) -> None:
    """LOG_LEVEL of an order decides what stands in the log."""
    run_id = hub.order("plain", isolate=isolate, settings={"LOG_LEVEL": "WARNING"})
    hub.wait_final(run_id)
    assert hub.log(run_id) == ""


@BOTH
def test_a_refused_connection_stands_in_the_log(hub: Hub, isolate: str) -> None:
    """A site that is not there is told by the log."""
    run_id = hub.order("refused", isolate=isolate)
    hub.wait_final(run_id)
    assert "ERROR: Error downloading <GET http://127.0.0.1:1/>" in hub.log(run_id)


@BOTH
def test_live_stats_and_a_graceful_stop(hub: Hub, isolate: str) -> None:
    """Stats are there while a run crawls; a graceful cancel lets it close in order."""
    run_id = hub.order("many", isolate=isolate)
    until(lambda: hub.run(run_id)["stats"].get("item_scraped_count", 0) >= 5, 10, "live stats")
    assert hub.run(run_id)["state"] == "running"
    hub.post(f"/api/runs/{run_id}/cancel")
    run = hub.wait_final(run_id, 10)
    assert (run["state"], run["finish_reason"]) == ("cancelled", "shutdown")
    assert run["stats"]["item_scraped_count"] < 599
    assert len(hub.items(run_id)) == run["stats"]["item_scraped_count"]


@BOTH
@pytest.mark.parametrize("spider", ["hang", "busy"])
def test_a_forced_cancel_drops_downloads_at_once(hub: Hub, spider: str, isolate: str) -> None:
    """A forced cancel ends hung downloads and those that wait for their turn, and the spider closes."""
    run_id = hub.order(spider, isolate=isolate)
    hub.wait_state(run_id, "running")
    force(hub, run_id)
    run = hub.wait_final(run_id, 3)
    assert run["state"] == "cancelled"
    assert run["finish_reason"] in ("shutdown", "finished")  # with nothing in flight a crawl may finish first


def test_a_cancel_at_any_moment(hub: Hub) -> None:
    """An isolated run that is cancelled a little earlier or later in its opening ends as told."""
    runs = []
    for number in range(160 if LONG else 16):
        runs.append(isolated(hub, "hang"))
        time.sleep(number % 16 * 0.01)
        force(hub, runs[-1])
    assert {hub.wait_final(run_id, 20)["state"] for run_id in runs} == {"cancelled"}
    until(lambda: hub.get("/api/status")[1]["slots"]["used"] == 0, 20, "the return of all slots")


def test_a_schedule_s_timeout_expectation_and_retry_hold(hub: Hub) -> None:
    """A schedule's rules are the same for isolated runs."""
    hasty, picky, again = (
        hub.post(f"/api/schedules/{name}/trigger")[1]["id"] for name in ("hasty", "picky", "again")
    )
    assert hub.wait_final(hasty, 10)["state"] == "timed_out"
    run = hub.wait_final(picky)
    assert run["state"] == "failed"
    assert "price" in run["reason"]
    first = hub.wait_final(again)
    assert "killed by SIGSEGV" in first["reason"]

    def attempts() -> list[dict[str, Any]]:
        runs = [run for run in hub.get("/api/runs?schedule=again")[1]["runs"] if run["state"] == "failed"]
        return runs if len(runs) == 2 else []

    assert [run["attempt"] for run in until(attempts, 15, "the second attempt")] == [2, 1]
    assert all(run["isolated"] for run in attempts())


@BOTH
def test_a_project_s_own_feeds(hub: Hub, isolate: str) -> None:
    """A spider that sets FEEDS gets them, and the hub writes no items file."""
    own = hub.folder / "own.json"
    own.unlink(missing_ok=True)
    run_id = hub.order("feeds", isolate=isolate)
    assert hub.wait_final(run_id)["state"] == "succeeded"
    assert len(json.loads(own.read_text())) == 1
    assert not list((hub.data / "items").rglob(f"{run_id}.*"))
    status, reply = hub.get(f"/api/runs/{run_id}/items")
    why = "its project sets FEEDS, so its items are where these say"
    assert (status, reply["detail"]) == (404, f"run {run_id} has no items file: {why}")


@BOTH
def test_an_item_that_utf_8_cannot_hold(hub: Hub, isolate: str) -> None:
    """Half a character is escaped, as JSON escapes it."""
    run_id = hub.order("surrogate", isolate=isolate)
    assert hub.wait_final(run_id)["errors"] == 0
    assert hub.run_file("items", run_id).read_bytes() == '{"name": "café \\udc80"}\n'.encode()


def test_a_fresh_process_in_the_project_s_folder(hub: Hub) -> None:
    """The spider's module, and no other's, is imported anew for each run, in the project's folder; the
    environment tells the run."""
    first, second = isolated(hub, "state"), isolated(hub, "state")
    for run_id in (first, second):
        hub.wait_final(run_id)
        expected = {"seen": 1, "cwd": str(hub.folder / "lab"), "db": "scrapybot", "job": run_id}
        assert hub.items(run_id) == [{**expected, "others": False}]


def test_new_code_is_simply_used(hub: Hub) -> None:
    """An edit of a spider holds for the next isolated run, without a reload; its log has no old line."""
    module = hub.folder / "lab" / "spiders" / "lab.py"
    before = module.read_text()
    module.write_text(before.replace('"seen": len(seen)', '"seen": "new"'))
    try:
        run_id = isolated(hub, "state")
        hub.wait_final(run_id)
    finally:
        module.write_text(before)
    assert hub.items(run_id)[0]["seen"] == "new"


def test_what_is_printed_stands_in_the_log(hub: Hub) -> None:
    """What a run prints, and programs that it starts, stands in its log; it may switch logging off; what it
    registers to run at exit, runs."""
    run_id = isolated(hub, "prints")
    run = hub.wait_final(run_id)
    assert (run["state"], run["errors"], run["finish_reason"]) == ("succeeded", 0, "finished")
    log = hub.log(run_id).splitlines()
    for line in ("said by print", "said to stderr", "said by a program", "said at exit"):
        assert line in log
    assert "said by print" not in hub.said


@pytest.mark.parametrize(
    ("spider", "reason"),
    [
        ("segfault", "killed by SIGSEGV"),
        ("exit", "it ended with exit status 7 before its crawl was over"),
        ("hangs_up", "closed its connection to the hub"),
        ("garbage", "it sent the hub what is not a report"),
    ],
)
def test_a_process_that_is_lost_costs_one_run(hub: Hub, spider: str, reason: str) -> None:
    """The run fails and says how its process was lost; the one beside it goes on."""
    beside = isolated(hub, "many")
    hub.wait_state(beside, "running")
    run = ran(hub, spider)
    assert run["state"] == "failed"
    assert reason in run["reason"]
    assert not alive(run["pid"])
    assert hub.run(beside)["state"] == "running"
    force(hub, beside)
    assert hub.wait_final(beside, 5)["state"] == "cancelled"


def test_sys_exit_is_an_error_of_the_run(hub: Hub) -> None:
    """``sys.exit()`` of a callback is an exception like any other."""
    run = ran(hub, "escape")
    assert run["state"] == "failed"
    assert "SystemExit" in run["error"]


@pytest.mark.parametrize(
    "where", ["start", "callback", "closed", "item", "close", "response", "input", "output", "filter"]
)
def test_what_expects_nobody_to_catch_it(hub: Hub, where: str) -> None:
    """The panic of a library, wherever it is raised, is an error of the run, which ends in order."""
    run_id = isolated(hub, "raising", args={"where": where})
    run = hub.wait_final(run_id)
    assert (run["errors"], run["finish_reason"] in ("finished", "start_error")) == (1, True), hub.log(run_id)
    assert f"the spider raised Panic({where})" in hub.log(run_id)


def test_children_that_a_crawl_forks(hub: Hub) -> None:
    """They end as they say, or where they would come back to the reactor; the crawl goes on."""
    run_id = isolated(hub, "forking")
    run = hub.wait_final(run_id)
    assert (run["state"], run["errors"]) == ("succeeded", 0), hub.log(run_id)
    said = [item["status"] for item in hub.items(run_id) if "status" in item]
    assert said == [7, 7, os.EX_SOFTWARE]


def test_memory_limit(hub: Hub) -> None:
    """A run that uses more than its limit fails, and says so; its items are kept."""
    run_id = isolated(hub, "greedy", memory_limit="128MiB")
    run = hub.wait_final(run_id)
    assert run["state"] == "failed"
    assert " MiB of 128 MiB" in run["reason"]
    assert run["memory_limit"] == 128 << 20


def test_a_leak_is_closed_in_order(hub: Hub) -> None:
    """A spider that leaks slowly, and lets the reactor go on, is closed in order: its last items are kept."""
    run_id = isolated(hub, "leak", memory_limit="64MiB")
    run = hub.wait_final(run_id)
    assert run["state"] == "failed"
    assert " MiB of 64 MiB" in run["reason"]
    assert run["finish_reason"] == "shutdown"
    assert len(hub.items(run_id)) == run["stats"]["item_scraped_count"]


def test_address_space(hub: Hub) -> None:
    """The address space of a limited run is limited too, as a backstop."""
    run_id = isolated(hub, "spacious", memory_limit="512MiB")
    hub.wait_final(run_id)
    assert hub.items(run_id) == [{"limit": 2048 << 20}]


def test_memusage_works_as_under_scrapy_crawl(hub: Hub) -> None:
    """Scrapy's own extension for a memory limit works in a process of one crawl."""
    assert ran(hub, "memusage")["finish_reason"] == "memusage_exceeded"


def test_a_site_is_asked_for_one_page_at_a_time(hub: Hub) -> None:
    """CONCURRENT_REQUESTS_PER_DOMAIN is kept exactly: six pages of 0.2 s one after the other take 1.2 s."""
    assert ran(hub, "polite")["stats"]["elapsed_time_seconds"] >= 1.2


def test_sigkill_is_the_last_rung(hub: Hub, tmp_path: Path) -> None:
    """A process that hears neither orders nor SIGTERM is killed when its time is over."""
    mark = tmp_path / "mark"
    run_id = isolated(hub, "deaf", args={"mark": str(mark)})
    until(mark.exists, 10, "the spider's deafness")
    pid = hub.run(run_id)["pid"]
    os.kill(pid, signal.SIGTERM)
    force(hub, run_id)
    run = hub.wait_final(run_id, 15)
    assert (run["state"], alive(pid)) == ("cancelled", False)


def test_a_stopped_process_is_killed(hub: Hub) -> None:
    """A process that was stopped by SIGSTOP is killed when its time is over."""
    run_id = isolated(hub, "hang")
    pid = hub.wait_state(run_id, "running")["pid"]
    os.kill(pid, signal.SIGSTOP)
    force(hub, run_id)
    assert hub.wait_final(run_id, 15)["state"] == "cancelled"
    assert not alive(pid)


def test_an_operator_s_sigterm_ends_a_crawl_in_order(hub: Hub) -> None:
    """SIGTERM to the process itself is a graceful stop, as under ``scrapy crawl``."""
    run_id = isolated(hub, "many")
    os.kill(hub.wait_state(run_id, "running")["pid"], signal.SIGTERM)
    run = hub.wait_final(run_id)
    assert (run["state"], run["finish_reason"]) == ("failed", "shutdown")


@pytest.mark.parametrize("then", ["end", "die"])
def test_what_a_run_started_ends_with_it(hub: Hub, tmp_path: Path, then: str) -> None:
    """Programs and forks that a run leaves behind end with it, those in a session of their own too."""
    mark = tmp_path / "mark"
    ran(hub, "family", args={"mark": str(mark), "then": then})
    pids = [int(pid) for pid in mark.read_text().split()]
    assert len(pids) == 3
    until(lambda: not any(map(alive, pids)), 20, "the end of the run's family")


def test_a_project_whose_folder_is_gone(hub: Hub) -> None:
    """A run that cannot enter its project's folder says so."""
    folder = hub.folder / "lab"
    folder.rename(hub.folder / "moved")
    try:
        run = ran(hub, "plain")
    finally:
        (hub.folder / "moved").rename(folder)
    assert run["state"] == "failed"
    assert f"there is no folder {folder}" in run["reason"]


def test_a_zygote_ends_with_its_hub_only(hub: Hub) -> None:
    """SIGTERM, SIGINT and SIGHUP, which a service manager may send to all, leave it and its runs alone."""
    run_id = isolated(hub, "hang")
    pid = hub.wait_state(run_id, "running")["pid"]
    zygote = zygote_of(pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(zygote, number)
    assert ran(hub, "plain")["state"] == "succeeded"
    assert zygote_of(pid) == zygote
    force(hub, run_id)
    assert hub.wait_final(run_id)["finish_reason"] == "shutdown"


def test_nothing_is_left_of_many_runs(hub: Hub) -> None:
    """Neither descriptors of the hub nor processes, dead or alive, are left of runs that are over."""
    ran(hub, "plain")
    before = len(list(Path(f"/proc/{hub.pid}/fd").iterdir()))
    for run_id in [isolated(hub, "plain") for _ in range(24)]:
        assert hub.wait_final(run_id)["state"] == "succeeded"
    until(lambda: len(list(Path(f"/proc/{hub.pid}/fd").iterdir())) <= before + 2, 20, "the return of files")
    until(lambda: not any(map(children, children(hub.pid))), 20, "the end of the runs' processes")


def children(pid: int) -> list[int]:
    """The processes that a process has started, dead or alive, unless it has waited for their end."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def zygote_of(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_zygote_that_is_killed(hub: Hub) -> None:
    """Its runs fail with that reason and their processes die; the next run gets a new zygote."""
    run_id = isolated(hub, "hang")
    pid = hub.wait_state(run_id, "running")["pid"]
    zygote = zygote_of(pid)
    os.kill(zygote, signal.SIGKILL)
    run = hub.wait_final(run_id, 5)
    assert run["state"] == "failed"
    assert "the process it was forked from is gone: killed by SIGKILL" in run["reason"]
    until(lambda: not alive(pid), 20, "the end of the process")
    again = ran(hub, "plain")
    assert again["state"] == "succeeded"


def test_what_the_runs_of_a_killed_zygote_started(hub: Hub, tmp_path: Path) -> None:
    """Programs and forks of its runs end too, those in a session of their own as well."""
    pids = family(hub, tmp_path)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: not any(map(alive, pids)), 20, f"the end of {pids}")


def family(hub: Hub, tmp_path: Path) -> list[int]:
    """Start a run that starts others, and hears nothing; return the zygote and all its descendants."""
    mark = tmp_path / "mark"
    run_id = isolated(hub, "family", args={"mark": str(mark), "then": "wait"})
    until(lambda: mark.exists() and mark.read_text(), 20, "the family")
    pid = hub.run(run_id)["pid"]
    return [zygote_of(pid), pid, *map(int, mark.read_text().split())]


@pytest.mark.parametrize("stopped", [None, 0, 1], ids=["running", "zygote stopped", "child stopped"])
def test_no_process_outlives_a_hub_that_is_killed(tmp_path: Path, stopped: int | None) -> None:
    """``kill -9`` of the hub ends zygote, child and grandchildren, even those that are stopped or deaf."""
    port = str(free_port())
    hub = Hub(tmp_path, CONFIG.replace("SITE_PORT", port))
    write_project(hub.folder / "lab", lab=SPIDERS.replace("SITE_PORT", port))
    with hub:
        pids = family(hub, tmp_path)
        if stopped is not None:
            os.kill(pids[stopped], signal.SIGSTOP)
        hub.kill9()
        until(lambda: not any(map(alive, pids)), 20, f"the end of {pids}")


def test_a_hub_that_stops_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM ends the hub within its grace, its isolated runs are interrupted, and nothing is left."""
    port = str(free_port())
    hub = Hub(
        tmp_path, CONFIG.replace("SITE_PORT", port).replace("max_conc", "shutdown_grace: 1s\n      max_conc")
    )
    write_project(hub.folder / "lab", lab=SPIDERS.replace("SITE_PORT", port))
    with hub:
        pids = family(hub, tmp_path)
        hub.terminate(within=8)
        until(lambda: not any(map(alive, pids)), 20, f"the end of {pids}")
    assert [run["state"] for run in hub.ledger("SELECT state FROM runs")] == ["interrupted"]
