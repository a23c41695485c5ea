"""The way down for a crawl: each rung in its time, and none once it has ended."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from reactorhub.engine.scripted import MemoryEngine
from reactorhub.model.run import RunSpec
from reactorhub.runs.escalation import FORCED, SHUTDOWN, Escalation

RUNGS = ["stop", "abort", "cancel_tasks", "abandon"]


@pytest.mark.parametrize(
    ("escalation", "seconds"),
    [(Escalation.graceful(30), [0, 30, 35, 40]), (FORCED, [0, 0, 5, 10]), (SHUTDOWN, [0, 1, 2, 2.5])],
)
def test_each_rung_in_its_time(escalation: Escalation, seconds: list[float]) -> None:
    """A crawl that yields to nothing is asked, cut off, its tasks cancelled and left, in this order."""
    clock = Clock()
    engine = MemoryEngine({"shop": ["prices"]})
    engine.yields_to = "nothing"
    engine.launch("run", RunSpec(spider="prices", project="shop"))
    (crawl,) = engine.crawls
    escalation.timers(clock, crawl)
    crawl.stop()
    seen: list[float] = []
    for _ in range(100):
        clock.advance(0)
        seen.extend([clock.seconds()] * (len(crawl.steps) - len(seen)))
        clock.advance(0.5)
    assert (crawl.steps, seen, clock.getDelayedCalls()) == (RUNGS, seconds, [])
