"""Runs over HTTP: taken on, listed, waited for, cancelled, run again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.web_client import Web
from tests.wire.test_views import RUN_FIELDS


def test_a_run_is_created() -> None:
    """An order is answered with 201, the run, and where it is; all fields of the contract are there."""
    web = Web()
    order = {"spider": "report", "args": {"day": "7"}, "queue": "heavy", "priority": 3, "tags": ["x"]}
    reply = web.post("/api/runs", {**order, "timeout": 60, "settings": {"LOG_LEVEL": "INFO"}})
    assert (reply.status, reply.json["state"]) == (201, "queued")
    assert reply.json.keys() >= RUN_FIELDS
    assert {key: reply.json[key] for key in order} == order
    assert reply.headers["location"] == f"/api/runs/{reply.json['id']}"
    assert web.get(reply.headers["location"]).json == reply.json


@pytest.mark.parametrize(
    ("order", "fields"),
    [
        ({"spider": "nobody"}, set()),
        ({"spider": "prices", "project": "other"}, set()),
        ({"spider": "prices", "queue": "fast"}, {"queue"}),
        ({"spider": 7, "args": [], "sipder": "prices"}, {"spider", "args", "sipder"}),
        ({}, {"spider"}),
    ],
)
def test_an_order_that_cannot_be_taken(order: dict[str, Any], fields: set[str]) -> None:
    """An unknown spider, project or queue, or wrong fields, are a 422 that says which; nothing runs."""
    web = Web()
    reply = web.post("/api/runs", order)
    assert (reply.status, reply.fields) == (422, fields)
    assert web.harness.events() == [] and web.get("/api/runs").json["runs"] == []


def test_live_stats() -> None:
    """While a crawl goes on its stats are live; when it has ended they are the last ones."""
    web = Web()
    run = web.submitted()
    crawl = web.harness.begun(run)
    crawl.open()
    crawl.scrape(3, errors=1)
    live = web.get(f"/api/runs/{run}").json
    assert (live["state"], live["errors"], live["stats"]) == ("running", 1, {"item_scraped_count": 3})
    assert web.get(f"/api/runs/{run}/stats").json == {"item_scraped_count": 3}
    crawl.scrape(5, errors=2)
    crawl.finish()
    ended = web.get(f"/api/runs/{run}").json
    assert (ended["state"], ended["errors"], ended["finish_reason"]) == ("succeeded", 2, "finished")
    assert web.get(f"/api/runs/{run}/stats").json == ended["stats"] == {"item_scraped_count": 5}


@pytest.mark.parametrize("path", ["", "/stats", "/log", "/items", "?wait=1"])
def test_a_run_there_is_not(path: str) -> None:
    """Any question about an unknown run is a 404 that names it."""
    reply = Web().get(f"/api/runs/0190{path}")
    assert (reply.status, reply.json["detail"]) == (404, "there is no run '0190'")


@pytest.mark.parametrize("order", ["cancel", "rerun"])
def test_an_order_about_a_run_there_is_not(order: str) -> None:
    """So is any order about one."""
    assert Web().post(f"/api/runs/0190/{order}").status == 404


def test_waiting_until_the_run_is_final() -> None:
    """``wait`` answers the moment the run is final, on however silent a connection, and leaves no timer."""
    web = Web()
    run = web.submitted()
    crawl = web.harness.begun(run)
    connection = web.connect()
    connection.ask("GET", f"/api/runs/{run}?wait=120")
    web.harness.clock.advance(100)
    assert connection.replies() == []
    crawl.finish()
    assert [reply.json["state"] for reply in connection.replies()] == ["succeeded"]
    connection.leave()
    assert web.harness.clock.getDelayedCalls() == []


def test_waiting_until_the_time_is_over() -> None:
    """``wait`` answers with the run as it stands when the seconds are over."""
    web = Web()
    run = web.submitted()
    web.harness.begun(run)
    connection = web.connect()
    connection.ask("GET", f"/api/runs/{run}?wait=2.5")
    web.harness.clock.advance(2.4)
    assert connection.replies() == []
    web.harness.clock.advance(0.1)
    assert [reply.json["state"] for reply in connection.replies()] == ["starting"]


def test_waiting_for_what_is_final_already() -> None:
    """There is nothing to wait for once a run is final."""
    web = Web()
    run = web.submitted()
    web.harness.begun(run).finish()
    assert web.get(f"/api/runs/{run}?wait=120").json["state"] == "succeeded"
    assert web.harness.clock.getDelayedCalls() == []


def test_a_client_that_waits_and_goes_away() -> None:
    """Who no longer waits leaves no timer, and disturbs neither the run nor others who wait."""
    web = Web()
    run = web.submitted()
    crawl = web.harness.begun(run)
    leaving, staying = web.connect(), web.connect()
    for connection in (leaving, staying):
        connection.ask("GET", f"/api/runs/{run}?wait=60")
    leaving.leave()
    crawl.finish()
    assert [reply.json["state"] for reply in staying.replies()] == ["succeeded"]
    staying.leave()
    assert web.harness.clock.getDelayedCalls() == [] and leaving.replies() == []


@pytest.mark.parametrize("wait", ["-1", "121", "nan", "inf", "soon", ""])
def test_how_long_to_wait(wait: str) -> None:
    """The seconds are a number from 0 to 120."""
    web = Web()
    reply = web.get(f"/api/runs/{web.submitted()}?wait={wait}")
    assert (reply.status, reply.fields) == (422, {"wait"})


def populated() -> tuple[Web, list[str]]:
    """A hub with three ended runs and two that are on, and their ids, newest first."""
    web, runs = Web(), []
    for n in range(3):
        runs.append(web.submitted(tags=["odd" if n % 2 else "even"]))
        web.harness.begun(runs[-1]).finish("finished" if n else "shutdown")
        web.harness.clock.advance(60)
    runs.append(str(web.post("/api/schedules/hourly/trigger").json["id"]))
    runs.append(web.submitted(spider="report", queue="heavy"))
    web.harness.turn()
    return web, runs[::-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("limit=2", [0, 1]),
        ("state=succeeded", [2, 3]),
        ("state=failed&state=starting", [0, 1, 4]),
        ("state=failed,starting", [0, 1, 4]),
        ("state=running", []),
        ("spider=report", [0]),
        ("spider=nobody", []),
        ("project=shop&schedule=hourly", [1]),
        ("tag=odd", [3]),
        ("tag=even&state=failed", [4]),
        ("since=2026-11-21T12:01:00Z&until=2026-11-21T12:03:00Z", [2, 3]),
        ("since=2026-11-21T13:02:00%2B01:00&limit=1000", [0, 1, 2]),
        ("since=2026-11-21T13:02:00+01:00", [0, 1, 2]),
    ],
)
def test_runs_are_listed(query: str, found: list[int]) -> None:
    """Filters narrow the list together, newest first; a state may be given several times."""
    web, runs = populated()
    listed = web.get(f"/api/runs?{query}").json["runs"]
    assert [runs.index(run["id"]) for run in listed] == found


def test_filters_may_be_in_any_script() -> None:
    """A filter that is percent-encoded as UTF-8 finds what is so called."""
    web = Web()
    for tag in ("café", "本", "plain"):
        web.submitted(tags=[tag])
    listed = web.get("/api/runs?tag=caf%C3%A9").json["runs"]
    assert [run["tags"] for run in listed] == [["café"]]
    assert web.get("/api/runs?spider=%FF").json["runs"] == []


def test_pages_of_runs() -> None:
    """A cursor leads from page to page, each run once, also when new ones come meanwhile."""
    web, runs = populated()
    seen, cursor = [], ""
    while cursor is not None:
        page = web.get(f"/api/runs?limit=2{cursor and f'&cursor={cursor}'}").json
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        web.submitted()
    assert seen == runs


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("state=done&limit=0&since=today&spdier=x", {"state", "limit", "since", "spdier"}),
        ("state=failed&state=", {"state"}),
        ("limit=1001", {"limit"}),
        ("limit=two", {"limit"}),
        ("until=2026-11-21T12:00:00", {"until"}),
        ("cursor=xyz", {"cursor"}),
        ("cursor=", {"cursor"}),
        ("limit=%FF", {"limit"}),
        ("limit=%D9%A3", {"limit"}),
        ("limit=" + "9" * 5000, {"limit"}),
        ("caf%C3%A9=1", {"café"}),
    ],
)
def test_wrong_filters_are_named(query: str, fields: set[str]) -> None:
    """All that is wrong with a query is named at once."""
    reply = Web().get(f"/api/runs?{query}")
    assert (reply.status, reply.fields) == (422, fields)
