"""Batches over HTTP, on a hub of doubles: taken whole, done when all their runs are, and what comes then."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run
from reactorhub.storage.ledger import RunFilter
from tests.support.deferreds import done
from tests.support.hubs import HubHarness
from tests.support.web_client import Web

ORDER = {
    "runs": [{"spider": "prices", "args": {"n": str(number)}} for number in range(3)],
    "on_complete": {"run": {"spider": "report", "args": {"of": "{batch.id}"}}},
}


def posted(web: Web, order: dict[str, Any] = ORDER) -> str:
    """Take a batch on; return its path."""
    reply = web.post("/api/batches", order)
    assert (reply.status, reply.json["done"]) == (201, False)
    assert reply.headers["location"] == f"/api/batches/{reply.json['id']}"
    return str(reply.headers["location"])


def end_one(web: Web, reason: str = "finished") -> None:
    """Let the oldest crawl that is going on end."""
    web.harness.turn()
    next(crawl for crawl in web.harness.engine.crawls if not crawl.done.called).finish(reason)
    web.harness.turn()


def runs(web: Web, **which: Any) -> list[Run]:
    """The runs that a filter lets through, oldest first."""
    return list(reversed(done(web.harness.hub.runs(RunFilter(**which), 1000, None)).rows))


def test_a_batch_is_done_when_its_last_run_is() -> None:
    """It counts its runs by state; the wish for the end is run once, whatever the others came to."""
    web = Web()
    path = posted(web)
    web.harness.turn()
    batch = web.get(path).json
    assert (batch["total"], batch["runs"], batch["done"]) == (3, {"queued": 1, "starting": 2}, False)
    for reason in ("finished", "shutdown"):
        end_one(web, reason)
    assert web.get(path).json["completion"] is None
    end_one(web)
    batch = web.get(path).json
    assert (batch["runs"], batch["done"]) == ({"succeeded": 2, "failed": 1}, True)
    (last,) = runs(web, spider="report")
    assert (batch["completion"], last.spec.args, last.spec.batch) == (last.id, {"of": batch["id"]}, None)
    assert batch["finished_at"] is not None
    assert web.harness.begun(last.id).spec.spider == "report"
    assert web.harness.events().count("batch.finished") == 1


def test_the_runs_of_a_batch_can_be_listed() -> None:
    """The batch's link lists its runs, and each run names its batch."""
    web = Web()
    batch = web.get(posted(web)).json
    web.submitted()
    listed = web.get(batch["links"]["runs"]).json["runs"]
    assert [run["args"]["n"] for run in listed] == ["2", "1", "0"]
    assert {run["batch"] for run in listed} == {batch["id"]}


def test_a_batch_that_never_fits() -> None:
    """One larger than all that may wait is a mistake, since it would not be taken later either; one that does
    not fit now is."""
    web = Web()
    web.harness.dispatcher.limit_waiting(2)
    reply = web.post("/api/batches", ORDER)
    assert (reply.status, reply.fields) == (422, {"runs"})
    web.harness.dispatcher.limit_waiting(3)
    web.submitted()
    reply = web.post("/api/batches", ORDER)
    assert (reply.status, reply.headers["retry-after"], len(runs(web))) == (429, "5", 1)
    web.harness.turn()
    posted(web)


def test_a_cancelled_run_counts_as_an_end() -> None:
    """A batch whose runs are all cancelled while they wait is done too."""
    web = Web()
    batch = web.get(posted(web, {"runs": ORDER["runs"]})).json
    for run in runs(web, batch=batch["id"]):
        web.post(f"/api/runs/{run.id}/cancel")
        web.harness.turn()
    batch = web.get(f"/api/batches/{batch['id']}").json
    assert (batch["runs"], batch["done"], batch["on_complete"]) == ({"cancelled": 3}, True, {})
    assert len(runs(web)) == 3


def test_a_batch_is_taken_whole_or_not_at_all() -> None:
    """Unknown spiders and queues are all named, and nothing is run; likewise where too many would wait."""
    web = Web()
    order = {
        "runs": [{"spider": "prices"}, {"spider": "nope"}, {"spider": "prices", "queue": "none"}],
        "on_complete": {"run": {"spider": "neither"}},
    }
    reply = web.post("/api/batches", order)
    fields = [each["field"] for each in reply.json["errors"]]
    assert (reply.status, fields) == (422, ["runs[1].spider", "runs[2].queue", "on_complete.run.spider"])
    web.harness.dispatcher.limit_waiting(2)
    assert web.post("/api/batches", ORDER).status == 422
    assert (runs(web), web.harness.events()) == ([], [])


def test_a_batch_that_cannot_be_kept() -> None:
    """With a disk that is full nothing is taken on, and nothing counts."""
    web = Web()
    web.harness.ledger.fail_writes = LedgerError("the disk is full")
    assert web.post("/api/batches", ORDER).status == 503
    web.harness.ledger.fail_writes = None
    web.harness.dispatcher.limit_waiting(3)
    posted(web)


def test_no_such_batch() -> None:
    """An unknown id is a 404 that says so."""
    reply = Web().get("/api/batches/x")
    assert (reply.status, reply.json["detail"]) == (404, "there is no batch 'x'")


def test_a_batch_outlives_the_hub() -> None:
    """A hub killed in the middle goes on at its next start, and starts the wish for the end once."""
    web = Web()
    path = posted(web, {**ORDER, "runs": [{"spider": "prices"}] * 4})
    end_one(web)
    clock = Clock()
    clock.advance(60)
    again = Web(HubHarness(clock=clock, ledger=web.harness.ledger))
    done(again.harness.hub.adopt())
    assert again.get(path).json["runs"] == {"queued": 1, "succeeded": 1, "interrupted": 2}
    end_one(again)
    batch = again.get(path).json
    assert (batch["done"], batch["completion"]) == (True, runs(again, spider="report")[0].id)
    end_one(again)
    assert len(runs(again)) == 5 and not again.harness.dispatcher.live_runs


def test_a_batch_whose_last_run_died_with_the_hub() -> None:
    """The end is found at the next start, and what was wanted then runs."""
    web = Web()
    path = posted(web, {**ORDER, "runs": ORDER["runs"][:1]})
    web.harness.turn()
    again = Web(HubHarness(ledger=web.harness.ledger))
    done(again.harness.hub.adopt())
    again.harness.turn()
    assert again.get(path).json["runs"] == {"interrupted": 1}
    assert [crawl.spec.spider for crawl in again.harness.engine.crawls] == ["report"]


def test_a_completion_that_was_not_written_takes_no_place() -> None:
    """Each run of a batch that died might have completed it. Only the completion that the ledger kept counts
    as a waiting run at the next start."""
    web = Web()
    posted(web)
    web.harness.turn()
    again = Web(HubHarness(ledger=web.harness.ledger))
    done(again.harness.hub.adopt())
    again.harness.dispatcher.limit_waiting(2)
    assert again.post("/api/runs", {"spider": "prices"}).status == 201
    assert again.post("/api/runs", {"spider": "prices"}).status == 429
