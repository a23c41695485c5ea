"""What a hub reads from Redis, as far as its file says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from reactorhub.config import HubConfig, parse
from reactorhub.daemon.redis_inputs import RedisInputs
from reactorhub.model.run import RunSpec, RunState
from reactorhub.runs.keyed import KeyedOrder
from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.storage.lock import DataLock
from tests.support.deferreds import done
from tests.support.hubs import HubHarness


def config(folder: Path, redis: str) -> HubConfig:
    """The config of a hub with this line for Redis."""
    text = f"hub: {{name: web, data_dir: data, projects: {{shop: {{path: .}}}}{redis}}}"
    return parse(text, "schedule.yaml", {}, folder, "test")


def inputs(folder: Path, redis: str) -> tuple[RedisInputs, HubHarness]:
    """The inputs of a hub with this line for Redis, and a run that waits for the inbox."""
    harness = HubHarness(config(folder, redis))
    order = KeyedOrder("inbox:a", RunSpec(spider="prices", project="shop"))
    done(harness.dispatcher.submit_keyed([order], held=True))
    client = RedisClient(RedisAddress(), Clock()) if redis else None
    return RedisInputs(harness.config, harness.hub, harness.parts, client), harness


@pytest.mark.parametrize("redis", ["", ", redis: {url: 'redis://127.0.0.1', inbox: false}"])
def test_a_hub_that_reads_no_inbox(tmp_path: Path, redis: str) -> None:
    """Runs that wait for the inbox are cancelled with the reason: nobody could confirm them any more."""
    (tmp_path / "data").mkdir()
    (lock := DataLock(tmp_path / "data")).acquire()
    made, harness = inputs(tmp_path, redis)
    [run] = harness.dispatcher.held()
    made.start()
    harness.advance()
    final = done(harness.ledger.run(run.id))
    assert (final.state, made.trouble()) == (RunState.CANCELLED, None)
    assert "the hub no longer reads the inbox" in (final.reason or "")
    assert (made.reader is None) == (not redis)
    done(made.stop())
    lock.release()


def test_a_hub_that_reads_the_inbox(tmp_path: Path) -> None:
    """Runs that wait for the inbox go on waiting while Redis is away; a stop ends the reading at once."""
    (tmp_path / "data").mkdir()
    (lock := DataLock(tmp_path / "data")).acquire()
    made, harness = inputs(tmp_path, ", redis: {url: 'redis://127.0.0.1'}")
    made.start()
    harness.advance(5)
    assert (len(harness.dispatcher.held()), made.trouble()) == (1, None)
    done(made.stop())
    assert not harness.clock.getDelayedCalls()
    lock.release()
