"""The hub, its spiders, schedules and limits over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from reactorhub.engine.scripted import MemoryDoctor, MemoryEngine
from reactorhub.errors import ConfigError, LedgerError, Mistake
from reactorhub.model.doctor import ProjectReport
from reactorhub.model.run import RunState
from reactorhub.model.spider import BrokenModule
from reactorhub.model.values import time_text
from tests.support.hubs import SCHEDULES, START, HubHarness, config
from tests.support.web_client import Web
from tests.wire.test_views import RUN_FIELDS, SCHEDULE_FIELDS, TICK_FIELDS

BROKEN = BrokenModule(project="shop", module="shop.spiders.bad", error="SyntaxError: x", traceback="…")


def ticked(web: Web, name: str, minutes: int) -> None:
    """Let a tick of a schedule come due, so many minutes after the start."""
    schedule = web.harness.book.get(name)
    moment = START.replace(minute=minutes)
    done = Deferred.fromCoroutine(web.harness.hub.tick(schedule, moment))
    assert done.called and done.result is None


def test_what_there_is() -> None:
    """The root and ``/api`` list the routes; ``/healthz`` says that the reactor turns."""
    web = Web()
    assert web.get("/").json == web.get("/api").json
    assert {"/api/status", "/api/runs/<run_id>/cancel"} <= set(web.get("/").json["reactorhub"])
    assert web.get("/healthz").json == {"status": "ok"}


def test_head_has_no_body() -> None:
    """HEAD is GET without the body."""
    reply = Web().ask("HEAD", "/api/status")
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "application/json", b"")


def test_status_has_the_shape_of_the_contract() -> None:
    """Status counts runs by state, slots by queue, and says how reactor, sink, config and ledger fare."""
    web = Web()
    web.harness.begun(web.submitted(queue="heavy"))
    web.submitted(not_before="2026-11-22T00:00:00Z")
    ticked(web, "every", 1)
    web.harness.clock.advance(2)
    status = web.get("/api/status").json
    assert {"version": "0.0", "name": "test", "uptime_seconds": 2.0}.items() <= status.items()
    assert status["started_at"] == "2026-11-21T12:00:00.000000Z"
    assert status["runs"] == {**{state.value: 0 for state in RunState}, "queued": 2, "starting": 1}
    assert status["slots"] == {
        "limit": 2,
        "used": 1,
        "queues": {"default": {"limit": 2, "used": 0}, "heavy": {"limit": 1, "used": 1}},
    }
    assert status["reactor"].keys() >= {"lag_ms_p50", "lag_ms_p99", "worst_stall"}
    assert {"state": "off", "since": None}.items() <= status["redis"].items()
    assert status["config"] == {
        "file": "schedule.yaml",
        "loaded_at": "2026-11-21T12:00:00.000000Z",
        "errors": [],
        "needs_restart": [],
    }
    assert status["ledger"] == {"runs": 3, "ticks": 1}


def test_spiders_that_can_run_and_modules_that_cannot() -> None:
    """Every spider is listed with its project, docstring and arguments; broken modules with the traceback."""
    web = Web(HubHarness(engine=MemoryEngine({"shop": ["prices"], "news": ["front"]}, [BROKEN])))
    listed = web.get("/api/spiders").json
    assert [(spider["name"], spider["project"]) for spider in listed["spiders"]] == [
        ("prices", "shop"),
        ("front", "news"),
    ]
    assert all(spider.keys() >= {"docstring", "arguments"} for spider in listed["spiders"])
    assert listed["broken"] == [
        {
            "project": "shop",
            "module": "shop.spiders.bad",
            "spider_class": None,
            "error": "SyntaxError: x",
            "traceback": "…",
        }
    ]
    assert listed["next_cursor"] is None


def test_spiders_carry_what_the_doctor_says() -> None:
    """The verdict and the findings stand beside each spider; what concerns all of a project stands apart."""
    finding = {"file": "shop/prices.py", "line": 7, "what": "x blocks", "remedy": "y", "kind": "blocks"}
    said = {"name": "prices", "verdict": "isolate", "because": finding, "findings": [finding]}
    report = ProjectReport(spiders={"prices": said}, findings=[finding])
    web = Web(HubHarness(doctor=MemoryDoctor({"shop": report})))
    listed = web.get("/api/spiders").json
    prices, other = listed["spiders"]
    assert {key: prices[key] for key in said} == said
    assert (other["verdict"], other["because"], other["findings"]) == (None, None, None)
    assert listed["project"] == [{"project": "shop", **finding}]


def test_spiders_are_listed_without_a_slow_doctor() -> None:
    """After five seconds the list comes without findings; they come once it has read the code."""
    web = Web()
    web.harness.doctor.at_once = False
    client = web.connect()
    client.ask("GET", "/api/spiders")
    web.harness.advance(4.9)
    assert client.replies() == []
    web.harness.advance(0.2)
    (reply,) = client.replies()
    assert [each["verdict"] for each in reply.json["spiders"]] == [None, None]


def test_schedules() -> None:
    """Schedules are listed in the file's order, each with its definition, next times and last run."""
    web = Web()
    run = web.post("/api/schedules/by_hand/trigger").json
    listed = web.get("/api/schedules").json
    assert [each["name"] for each in listed["schedules"]] == ["hourly", "buffered", "every", "by_hand"]
    assert listed["next_cursor"] is None
    hourly = web.get("/api/schedules/hourly").json
    assert hourly == listed["schedules"][0] and hourly.keys() >= SCHEDULE_FIELDS
    assert hourly["trigger"] == {"kind": "interval", "text": "1h", "timezone": None}
    assert hourly["next"][0] == "2026-11-21T13:00:00.000000Z" and hourly["last_run"] is None
    by_hand = listed["schedules"][3]
    assert (by_hand["trigger"], by_hand["next"], by_hand["last_run"]["id"]) == (None, [], run["id"])
    assert by_hand["last_run"].keys() >= RUN_FIELDS


@pytest.mark.parametrize("path", ["", "/next", "/ticks"])
def test_a_schedule_there_is_not(path: str) -> None:
    """Any question about an unknown schedule is a 404 that names it."""
    reply = Web().get(f"/api/schedules/weekly{path}")
    assert (reply.status, reply.json["detail"]) == (404, "there is no schedule 'weekly'")


@pytest.mark.parametrize("order", ["trigger", "pause", "resume"])
def test_an_order_about_a_schedule_there_is_not(order: str) -> None:
    """So is any order about one."""
    assert Web().post(f"/api/schedules/weekly/{order}").status == 404


def test_a_preview() -> None:
    """``next`` gives nominal times with the local time and how daylight saving touched them."""
    text = SCHEDULES + '  daily: {spider: prices, cron: "30 2 * * *", timezone: Europe/Berlin}\n'
    web = Web(HubHarness(config(text)))
    path = "/api/schedules/daily/next?n=2&after="
    assert web.get(path + "2026-03-28T12:00:00Z").json["next"] == [
        {
            "nominal_time": "2026-03-29T01:00:00.000000Z",
            "local_time": "2026-03-29T03:00:00+02:00",
            "dst": "gap",
        },
        {
            "nominal_time": "2026-03-30T00:30:00.000000Z",
            "local_time": "2026-03-30T02:30:00+02:00",
            "dst": None,
        },
    ]
    assert web.get(path + "2026-10-24T12:00:00Z").json["next"][0]["dst"] == "overlap"
    assert len(web.get("/api/schedules/daily/next").json["next"]) == 10
    assert web.get("/api/schedules/by_hand/next").json == {"next": []}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("n=0", {"n"}),
        ("n=1001", {"n"}),
        ("n=ten&after=now&count=3", {"n", "after", "count"}),
        ("after=2026-11-21T12:00:00", {"after"}),
    ],
)
def test_a_preview_of_nothing_sensible(query: str, fields: set[str]) -> None:
    """All that is wrong with a preview's parameters is named at once."""
    reply = Web().get(f"/api/schedules/hourly/next?{query}")
    assert (reply.status, reply.fields) == (422, fields)


def test_ticks() -> None:
    """Ticks are listed newest first, in pages, each with what became of it and why."""
    web = Web()
    for minute in range(1, 6):
        ticked(web, "buffered", minute)
    page = web.get("/api/schedules/buffered/ticks?limit=3").json
    assert [tick["nominal_time"][14:16] for tick in page["ticks"]] == ["05", "04", "03"]
    rest = web.get(f"/api/schedules/buffered/ticks?cursor={page['next_cursor']}").json
    assert [tick["outcome"] for tick in rest["ticks"]] == ["skipped", "run"]
    assert rest["ticks"][1].keys() >= TICK_FIELDS and rest["next_cursor"] is None
    assert web.get(f"/api/runs/{rest['ticks'][1]['run_id']}").json["schedule"] == "buffered"
    assert "already waits" in rest["ticks"][0]["reason"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=bnVsbA"])
def test_pages_of_ticks_there_are_not(query: str) -> None:
    """A wrong limit or cursor is named."""
    reply = Web().get(f"/api/schedules/hourly/ticks?{query}")
    assert (reply.status, reply.fields) == (422, {query.partition("=")[0]})


def test_a_trigger_runs_a_schedule_now() -> None:
    """A trigger answers with the run, whatever the schedule's pause and overlap say."""
    web = Web()
    web.post("/api/schedules/by_hand/pause")
    for _ in range(2):
        reply = web.post("/api/schedules/by_hand/trigger")
        assert (reply.status, reply.headers["location"]) == (201, f"/api/runs/{reply.json['id']}")
        run = reply.json
        assert (run["spider"], run["args"], run["tags"]) == ("report", {"day": "7"}, ["daily"])
        assert (run["schedule"], run["nominal_time"]) == ("by_hand", None)
    web.harness.turn()
    assert len(web.harness.engine.crawls) == 2


def test_a_pause_outlives_a_restart() -> None:
    """A paused schedule says so and why, in the next life of the hub too, until it is resumed."""
    harness = HubHarness()
    paused = Web(harness).form("/api/schedules/hourly/pause", ("reason", "the shop moves"))
    assert (paused.json["paused"], paused.json["paused_reason"]) == (True, "the shop moves")
    again = Web(HubHarness(ledger=harness.ledger))
    assert again.get("/api/schedules/hourly").json["paused_reason"] == "the shop moves"
    resumed = again.post("/api/schedules/hourly/resume").json
    assert (resumed["paused"], resumed["paused_reason"], resumed["drift"]) == (False, None, {})
    assert Web(HubHarness(ledger=harness.ledger)).get("/api/schedules/hourly").json["paused"] is False


def test_pausing_twice_is_one_event() -> None:
    """What is so already changes nothing and tells nobody."""
    web = Web()
    for order in ("resume", "pause", "pause", "resume", "resume"):
        assert web.post(f"/api/schedules/hourly/{order}").status == 200
    assert web.harness.events() == ["schedule.paused", "schedule.resumed"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"reason": 7}, {"reason"}),
        ({"reason": ["x"], "until": "noon"}, {"reason", "until"}),
        ({"reason": "x" * 201}, {"reason"}),
        ({"until": "noon"}, {"until"}),
    ],
)
def test_a_pause_that_says_more(body: dict[str, Any], fields: set[str]) -> None:
    """A pause takes a reason, which is a text that each skipped tick can hold, and nothing else."""
    web = Web()
    reply = web.post("/api/schedules/hourly/pause", body)
    assert (reply.status, reply.fields) == (422, fields)
    assert web.get("/api/schedules/hourly").json["paused"] is False


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("x" * 200, "x" * 200),
        ("two\r\nlines, \t a tab", "two lines, a tab"),
        ("\x1b[31mred\x00\ud800", "[31mred"),
        ("café 本", "café 本"),
        (" \n ", "by an operator"),
        ("", "by an operator"),
        (None, "by an operator"),
    ],
)
def test_a_reason_is_one_line_that_can_be_shown(given: str | None, kept: str) -> None:
    """Whatever the reason holds, what is kept of it harms no terminal and no table."""
    reply = Web().post("/api/schedules/hourly/pause", {"reason": given})
    assert (reply.status, reply.json["paused_reason"]) == (200, kept)


def test_limits_are_in_force_at_once_and_outlive_a_restart() -> None:
    """New limits let waiting runs start at once; the next life of the hub has them too."""
    web = Web()
    assert web.get("/api/limits").json["max_concurrent_runs"] == 2
    for _ in range(4):
        web.submitted()
    web.harness.turn()
    assert web.harness.slots.used == 2
    reply = web.post("/api/limits", {"max_concurrent_runs": 3, "queues": {"heavy": 2}}, "PATCH")
    assert (reply.status, reply.json["max_concurrent_runs"], reply.json["queues"]["heavy"]) == (200, 3, 2)
    web.harness.turn()
    assert web.harness.slots.used == 3
    assert web.get("/api/limits").json == reply.json
    assert web.harness.events()[-1] != "limits.changed" and "limits.changed" in web.harness.events()
    assert Web(HubHarness(ledger=web.harness.ledger)).get("/api/limits").json == reply.json


def test_changes_of_limits_add_up() -> None:
    """A change leaves alone what it does not mention, and the drift says what an operator has set."""
    web = Web()
    web.post("/api/limits", {"queues": {"heavy": 7}}, "PATCH")
    reply = web.post("/api/limits", {"max_concurrent_runs": 1}, "PATCH").json
    assert reply == {
        "max_concurrent_runs": 1,
        "queues": {"default": 2, "heavy": 7},
        "drift": {
            "max_concurrent_runs": {"value": 1, "from": "api", "since": time_text(START)},
            "queues": {"heavy": {"value": 7, "from": "api", "since": time_text(START)}},
        },
        "ignored": [],
    }


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"max_concurrent_runs": 0, "queues": {"fast": 1}}, {"max_concurrent_runs", "queues.fast"}),
        ({"slots": 3}, {"slots"}),
        ({"queues": {"heavy": "many"}}, {"queues.heavy"}),
        ([], {"body"}),
    ],
)
def test_limits_that_make_no_sense(wanted: Any, fields: set[str]) -> None:
    """A change that makes no sense is refused whole, naming each limit."""
    web = Web()
    reply = web.post("/api/limits", wanted, "PATCH")
    assert (reply.status, reply.fields) == (422, fields)
    assert web.get("/api/limits").json["drift"] == {}


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "/api/limits"), ("POST", "/api/schedules/hourly/pause")]
)
def test_orders_that_cannot_be_kept(method: str, path: str) -> None:
    """What the ledger cannot write is refused with 503 and is not in force; status answers still."""
    web = Web()
    web.harness.ledger.fail_writes = LedgerError("the disk is full; make room")
    assert web.post(path, {"max_concurrent_runs": 9} if method == "PATCH" else {}, method).status == 503
    assert web.harness.slots.limit == 2 and web.harness.book.paused("hourly") is None
    assert web.get("/api/status").status == 200 and web.harness.events() == []


def test_a_reload_says_what_changed() -> None:
    """The answer lists what was added, changed and removed, and what needs a restart."""
    web = Web()
    text = SCHEDULES.replace("interval: 1h", "interval: 2h").replace("  by_hand: {", "  new: {")
    text = text.replace("name: test", "name: other").replace("runs: 2", "runs: 5")
    web.file = config(text.replace("projects: {shop:", "projects: {news:"))
    reply = web.post("/api/reload")
    assert reply.status == 200
    assert reply.json == {
        "added": ["new"],
        "changed": ["hourly", "buffered", "every"],
        "removed": ["by_hand"],
        "unchanged": 0,
        "needs_restart": ["name"],
        "added_projects": ["news"],
        "removed_projects": ["shop"],
    }
    assert web.get("/api/limits").json["max_concurrent_runs"] == 5
    assert web.get("/api/schedules/by_hand").status == 404
    assert web.harness.events() == ["config.reloaded"]


def test_a_reload_of_a_bad_file() -> None:
    """A file with mistakes is refused with each mistake's place; the old one stays in force."""
    web = Web()
    web.file = ConfigError([Mistake("schedule.yaml", 12, 7, "schedules.x.cron", "is not a cron expression")])
    reply = web.post("/api/reload")
    assert (reply.status, reply.fields) == (422, {"schedules.x.cron"})
    assert (reply.json["errors"][0]["line"], reply.json["errors"][0]["column"]) == (12, 7)
    assert web.get("/api/schedules/hourly").status == 200
