"""A hub from its start to its end, as somebody who has just cloned it sees it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.integration.hubs import CHECKOUT, Hub, alive, until
from tests.support.redis_server import ask

CONFIG = f"""
    hub:
      name: shop
      demo_site: tcp:0:interface=127.0.0.1
      redis: embedded
      projects: {{bookshop: {{path: {CHECKOUT / "spiders"}}}}}
    schedules:
      categories: {{spider: categories, interval: 1h}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub on the example project, with a Redis of its own."""
    with Hub(tmp_path_factory.mktemp("start"), CONFIG, fresh=True) as hub:
        yield hub


@pytest.fixture(scope="module")
def first(hub: Hub) -> dict[str, Any]:
    """The first run: the whole bookshop."""
    return hub.wait_final(hub.order("books"))


def redis_pid(hub: Hub) -> int:
    """Return the process id of the hub's own Redis."""
    children = Path(f"/proc/{hub.pid}/task/{hub.pid}/children").read_text().split()
    (server,) = [int(child) for child in children if alive(int(child))]
    return server


def redis(hub: Hub, *command: str) -> Any:
    """Ask the hub's own Redis."""
    (socket,) = (hub.data / "redis").glob("*.sock")
    return ask(socket, list(command))[0]


def test_first_crawl_finishes(hub: Hub, first: dict[str, Any]) -> None:
    """The first crawl of the example project succeeds within 15 seconds, with every book as an item."""
    assert first["state"] == "succeeded", first["reason"]
    assert first["finish_reason"] == "finished"
    assert first["errors"] == 0
    items = hub.items(first["id"])
    assert len(items) == first["stats"]["item_scraped_count"] > 200
    assert {"id", "title", "price"} <= items[0].keys()


def test_log_of_the_run_is_on_disk(hub: Hub, first: dict[str, Any]) -> None:
    """The run's log holds Scrapy's own records, and the API hands out the same text."""
    log = hub.log(first["id"])
    assert "Spider opened" in log and "Spider closed (finished)" in log
    assert hub.get(f"/api/runs/{first['id']}/log") == (200, log)
    assert hub.get(f"/api/runs/{first['id']}/log?tail=1")[1] == log.splitlines(keepends=True)[-1]


def test_ledger_holds_the_run(hub: Hub, first: dict[str, Any]) -> None:
    """The ledger's row says what the API says."""
    (row,) = hub.ledger("SELECT * FROM runs WHERE id = ?", first["id"])
    assert (row["state"], row["spider"], row["project"]) == ("succeeded", "books", "bookshop")
    assert row["created_at"] <= row["started_at"] <= row["finished_at"]
    assert json.loads(row["stats"])["item_scraped_count"] == first["stats"]["item_scraped_count"]


def test_stats_are_in_redis(hub: Hub, first: dict[str, Any]) -> None:
    """The embedded Redis has the spider's latest stats, the run, the hub's heartbeat and the events."""
    key = "reactorhub:stats:bookshop:books"
    until(lambda: redis(hub, "HGET", key, "state") == "succeeded", 30, "the final stats")
    assert redis(hub, "HGET", key, "run_id") == first["id"]
    assert int(redis(hub, "HGET", key, "item_scraped_count")) == first["stats"]["item_scraped_count"]
    assert redis(hub, "EXISTS", f"reactorhub:run:{first['id']}", "reactorhub:hub:shop") == 2
    entries = redis(hub, "XRANGE", "reactorhub:events", "-", "+")
    assert "run.finished" in str(entries)


def test_data_folder_is_private(hub: Hub) -> None:
    """Nobody but the hub's user may look into the data folder."""
    assert hub.data.stat().st_mode & 0o777 == 0o700


def test_the_example_spiders_follow_the_port_of_the_demo_site(hub: Hub) -> None:
    """Without an argument the example's spiders find the bookshop that their hub serves, on whatever port."""
    assert not hub.shop.endswith(":6801")
    status, run = hub.post("/api/runs", {"spider": "books", "args": {"max_pages": "1"}})
    assert status == 201
    end = hub.wait_final(run["id"])
    assert (end["state"], end["errors"]) == ("succeeded", 0)
    assert all(item["url"].startswith(f"{hub.shop}/book/") for item in hub.items(run["id"]))
    assert end["stats"]["item_scraped_count"] == len(hub.items(run["id"])) > 0


def test_console_says_what_to_do_next(hub: Hub) -> None:
    """The console shows three curl lines, and each of them works as it stands."""
    lines = [shlex.split(line) for line in hub.output.splitlines() if line.strip().startswith("curl ")]
    assert len(lines) == 3
    for _, url, *options in lines:
        assert options[::2] in ([], ["-d"])
        body = options[1].encode() if options else None
        with urlopen(url, body, timeout=10) as reply:
            assert reply.status == (200 if body is None else 201)


def test_redis_ends_with_the_hub(make_hub: Any) -> None:
    """The embedded Redis is gone after SIGTERM, and after kill -9 of the hub."""
    hub = make_hub(CONFIG).start()
    server = redis_pid(hub)
    assert hub.terminate() in (0, -15, 143)
    assert not alive(server)
    assert not (hub.data / "ready.json").exists()
    hub.start()
    server = redis_pid(hub)
    hub.kill9()
    until(lambda: not alive(server), 30, "the end of the embedded Redis")


def test_redis_ends_though_it_cannot_save(make_hub: Any) -> None:
    """The embedded Redis is gone with a hub that was killed, even where its data has no place on the disk."""
    hub = make_hub(CONFIG).start()
    hub.wait_final(hub.order("books", {"max_pages": "1"}))
    server = redis_pid(hub)
    shutil.rmtree(hub.data / "redis")
    hub.kill9()
    try:
        until(lambda: not alive(server), 30, "the end of the embedded Redis")
    finally:
        if alive(server):
            os.kill(server, signal.SIGKILL)
