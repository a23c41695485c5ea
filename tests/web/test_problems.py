"""Mistakes over HTTP: each error of the hub has its status, and says what it has to say in one shape."""

from __future__ import annotations

import inspect
from http import HTTPStatus

import pytest

from reactorhub import errors
from reactorhub.engine.scripted import MemoryEngine
from reactorhub.errors import (
    ConfigError,
    IllegalTransition,
    InvalidRequest,
    LedgerError,
    Mistake,
    NotFound,
    QueueFull,
    ReactorHubError,
    ShuttingDown,
    UnknownRun,
    UnknownSchedule,
    UnknownSpider,
    UnreadableBody,
)
from reactorhub.web.problems import fields_of, status_of
from tests.support.hubs import hub_log
from tests.support.web_client import Web

MISTAKE = Mistake("schedule.yaml", 12, 7, "schedules.prices.cron", "is not a cron expression")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnreadableBody("is not JSON"), 400),
        (InvalidRequest({"spider": "is required"}), 422),
        (UnknownSpider("no project has this spider"), 422),
        (ConfigError([MISTAKE]), 422),
        (NotFound("gone"), 404),
        (UnknownRun("0190"), 404),
        (UnknownSchedule("hourly"), 404),
        (IllegalTransition("no"), 409),
        (QueueFull("full"), 429),
        (ShuttingDown("stopping"), 503),
        (LedgerError("the disk is full"), 503),
        (ReactorHubError("something else"), 500),
    ],
)
def test_statuses(error: ReactorHubError, status: int) -> None:
    """Each error has the status that tells a client what to do."""
    assert status_of(error) == HTTPStatus(status)


def test_every_error_has_a_status() -> None:
    """No error of the tree that an order can meet is left without a decision."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, NotFound)]
    assert {status_of(kind.__new__(kind)) for kind in kinds} == {HTTPStatus(404), HTTPStatus(422)}


def test_mistakes_of_a_file_have_their_places() -> None:
    """Each mistake of a schedule file is told with file, line and column."""
    (told,) = fields_of(ConfigError([MISTAKE]))
    assert told == {
        "field": "schedules.prices.cron",
        "message": "is not a cron expression",
        "file": "schedule.yaml",
        "line": 12,
        "column": 7,
    }


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api/", "/api/runs/", "/api//runs", "/api/runs/x/y", "/api/../etc"]
)
def test_an_unknown_path(path: str) -> None:
    """A path that there is not is a 404 that says where to look."""
    reply = Web().get(path)
    assert reply.status == 404
    assert reply.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is nothing at this path; GET /api lists all paths",
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/runs", "GET, HEAD, POST"),
        ("OPTIONS", "/api/runs", "GET, HEAD, POST"),
        ("POST", "/api/status", "GET, HEAD"),
        ("PUT", "/api/limits", "GET, HEAD, PATCH"),
        ("GET", "/api/runs/x/cancel", "POST"),
        ("GET", "/api/schedules/hourly/trigger", "POST"),
        ("GET", "/api/reload", "POST"),
        ("BREW", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method(method: str, path: str, allowed: str) -> None:
    """A method that a path does not take is refused with those it takes."""
    reply = Web().ask(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert reply.json["detail"] == f"this path takes {allowed} only"


class BrokenEngine(MemoryEngine):
    """An engine with a mistake in it."""

    def catalog(self) -> None:  # type: ignore[override]
        raise ZeroDivisionError("a secret of the hub's own")


def test_a_mistake_of_the_hub_itself() -> None:
    """An error nobody foresaw is a 500 that tells the client nothing, while the log has the traceback."""
    web = Web()
    web.harness.engine.__class__ = BrokenEngine
    with hub_log() as logged:
        reply = web.get("/api/spiders")
    assert (reply.status, reply.json["detail"]) == (
        500,
        "this is a bug in the hub; its log has the traceback",
    )
    assert b"secret" not in reply.body and b"Traceback" not in reply.body
    (failure,) = [event["log_failure"] for event in logged if "log_failure" in event]
    assert failure.check(ZeroDivisionError)
    assert web.get("/healthz").status == 200
