"""Orders about runs over HTTP: cancelled, run again, refused; and a disk that is slow or full."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.hubs import SCHEDULES, HubHarness, config
from tests.support.web_client import Reply, Web

ORDERS = ["submit", "trigger", "rerun"]


class SlowLedger(MemoryLedger):
    """A ledger whose new runs are on disk only when ``written`` fires."""

    def __init__(self) -> None:
        super().__init__()
        self.written: Deferred[None] = Deferred()

    def add_run(self, run: Run) -> Deferred[None]:
        """Keep a new run, in time."""
        self.written.addCallback(lambda _: super(SlowLedger, self).add_run(run))
        return self.written


def state(web: Web, run: str) -> str:
    """The state that the API tells of a run."""
    return str(web.get(f"/api/runs/{run}").json["state"])


def ordered(web: Web, order: str, run: str = "") -> Reply:
    """Start a run in one of the ways there are."""
    if order == "submit":
        return web.post("/api/runs", {"spider": "prices"})
    return web.post("/api/schedules/hourly/trigger" if order == "trigger" else f"/api/runs/{run}/rerun")


def test_cancelling_a_run_that_waits() -> None:
    """A run that waits is cancelled when the answer comes, and never crawls."""
    web = Web()
    run = web.submitted()
    reply = web.post(f"/api/runs/{run}/cancel")
    assert (reply.status, reply.json["state"]) == (200, "cancelled")
    assert reply.json["reason"] == "cancelled by an operator"
    web.harness.turn()
    assert web.harness.engine.crawls == [] and web.harness.clock.getDelayedCalls() == []


@pytest.mark.parametrize("opened", [False, True])
def test_cancelling_a_run_that_crawls(opened: bool) -> None:
    """A crawl is asked to end, opened or not; the run is stopping until it has, and then cancelled."""
    web = Web()
    web.harness.engine.yields_to = "abort"
    run = web.submitted()
    crawl = web.harness.begun(run)
    if opened:
        crawl.open()
    assert web.post(f"/api/runs/{run}/cancel").json["state"] == "stopping"
    assert web.post(f"/api/runs/{run}/cancel").status == 200
    assert set(crawl.steps) == {"stop"}
    web.harness.clock.advance(30)
    assert (state(web, run), crawl.steps[-1]) == ("cancelled", "abort")
    assert web.harness.slots.used == 0 and web.harness.clock.getDelayedCalls() == []


@pytest.mark.parametrize("body", [b'{"force": true}', b"force=true"])
def test_forcing_a_crawl_to_end(body: bytes) -> None:
    """With ``force`` downloads are cut off at once, also where a graceful cancel was under way."""
    web = Web()
    web.harness.engine.yields_to = "abort"
    run = web.submitted()
    web.harness.begun(run)
    assert web.post(f"/api/runs/{run}/cancel", {"force": False}).json["state"] == "stopping"
    assert web.raw(f"/api/runs/{run}/cancel", body).status == 200
    web.harness.turn()
    assert state(web, run) == "cancelled"


def test_cancelling_what_is_final() -> None:
    """A run that is final stays as it is."""
    web = Web()
    run = web.submitted()
    web.harness.begun(run).finish()
    for order in (None, {"force": True}):
        assert web.post(f"/api/runs/{run}/cancel", order).json["state"] == "succeeded"
    assert web.harness.events().count("run.finished") == 1


@pytest.mark.parametrize("order", [{"force": 1.5}, {"force": "yes"}, {"force": None}, {"hard": True}])
def test_a_cancel_that_says_more(order: dict[str, Any]) -> None:
    """A cancel takes ``force``, which is true or false, and nothing else."""
    web = Web()
    reply = web.post(f"/api/runs/{web.submitted()}/cancel", order)
    assert (reply.status, len(reply.fields)) == (422, 1)


def test_running_again() -> None:
    """A rerun is a new run with the same inputs."""
    web = Web()
    inputs = {"args": {"a": "1"}, "tags": ["x"], "queue": "heavy", "priority": 2}
    first = web.submitted(**inputs)
    reply = web.post(f"/api/runs/{first}/rerun")
    assert (reply.status, reply.headers["location"]) == (201, f"/api/runs/{reply.json['id']}")
    assert reply.json["id"] != first and {key: reply.json[key] for key in inputs} == inputs


@pytest.mark.parametrize("order", ORDERS)
def test_a_full_queue(order: str) -> None:
    """When as many runs wait as the hub takes, more are refused with a time to try again."""
    web = Web(HubHarness(config(SCHEDULES.replace("name: test", "name: test\n  max_queued_runs: 1"))))
    run = web.submitted()
    reply = ordered(web, order, run)
    assert (reply.status, reply.headers["retry-after"]) == (429, "5")
    assert reply.json["detail"] == "the limit of 1 waiting runs is reached; try again later"
    web.harness.begun(run)
    assert ordered(web, order, run).status == 201


@pytest.mark.parametrize("order", ORDERS)
def test_a_hub_that_stops(order: str) -> None:
    """A hub that is shutting down takes no orders, and answers questions still."""
    web = Web()
    run = web.submitted()
    web.harness.begun(run).finish()
    Deferred.fromCoroutine(web.harness.dispatcher.stop(60, Deferred()))
    reply = ordered(web, order, run)
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert web.get("/api/status").status == 200


@pytest.mark.parametrize("order", ORDERS)
def test_a_ledger_that_cannot_write(order: str) -> None:
    """What cannot be kept is refused with 503, and nothing of it runs."""
    web = Web()
    run = web.submitted()
    web.harness.begun(run).finish()
    web.harness.ledger.fail_writes = LedgerError("the disk is full; make room")
    reply = ordered(web, order, run)
    assert (reply.status, reply.json["detail"]) == (503, "the disk is full; make room")
    web.harness.turn()
    assert len(web.harness.engine.crawls) == 1 and not web.harness.dispatcher.live_runs


@pytest.mark.parametrize("order", ORDERS)
def test_a_client_that_orders_and_goes_away(order: str) -> None:
    """An order is carried out to its end, even if its client left while the disk was busy."""
    web = Web(HubHarness(ledger=SlowLedger()))
    assert isinstance(web.harness.ledger, SlowLedger)
    web.harness.ledger.written.callback(None)
    run = web.submitted()
    web.harness.ledger.written = Deferred()
    connection = web.connect()
    paths = {"submit": "runs", "trigger": "schedules/hourly/trigger", "rerun": f"runs/{run}/rerun"}
    connection.ask("POST", f"/api/{paths[order]}", b'{"spider": "prices"}')
    connection.leave()
    web.harness.ledger.written.callback(None)
    web.harness.turn()
    assert len(web.harness.engine.crawls) == 2
