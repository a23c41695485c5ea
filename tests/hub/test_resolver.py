"""Orders are checked against the spiders and queues there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.scripted import MemoryEngine
from reactorhub.errors import InvalidRequest, UnknownSpider
from reactorhub.hub.resolver import SpecResolver
from reactorhub.model.isolation import Isolate
from reactorhub.policies.limits import Limits
from reactorhub.wire.batch_orders import read_batch_order
from reactorhub.wire.orders import Order

ADMISSION = SpecResolver(
    MemoryEngine({"shop": ["prices", "both"], "press": ["both"]}),
    lambda: Limits(4, {"default": 4, "heavy": 1}),
)


def test_an_order_finds_its_project() -> None:
    """Where one project has the spider nobody needs to name it."""
    spec = ADMISSION.spec(Order(spider="prices", queue="heavy"))
    assert (spec.project, spec.spider, spec.queue) == ("shop", "prices", "heavy")


@pytest.mark.parametrize("spider", ["none", "both"])
def test_a_spider_that_nobody_or_everybody_has(spider: str) -> None:
    """A spider has to be one, and one only."""
    with pytest.raises(UnknownSpider, match=spider):
        ADMISSION.spec(Order(spider=spider))


def test_a_queue_that_there_is_not() -> None:
    """The mistake names the queues there are."""
    with pytest.raises(InvalidRequest, match="there is no queue 'wide'; there are: default, heavy"):
        ADMISSION.spec(Order(spider="prices", queue="wide"))


def test_both_mistakes_come_together() -> None:
    """An order with neither a spider nor a queue that there is hears of both."""
    with pytest.raises(InvalidRequest) as caught:
        ADMISSION.spec(Order(spider="none", queue="wide"))
    assert list(caught.value.fields) == ["spider", "queue"]


def test_a_batch_is_refused_with_all_its_mistakes() -> None:
    """Each order that cannot run is named, the one for the end as well."""
    order = read_batch_order(
        {
            "runs": [
                {"spider": "prices"},
                {"spider": "none"},
                {"spider": "prices", "queue": "wide"},
                {"spider": "none", "queue": "wide"},
            ],
            "on_complete": {"run": {"spider": "both"}},
        }
    )
    with pytest.raises(InvalidRequest) as caught:
        ADMISSION.specs(order)
    assert list(caught.value.fields) == [
        "runs[1].spider",
        "runs[2].queue",
        "runs[3].spider",
        "runs[3].queue",
        "on_complete.run.spider",
    ]


def test_a_batch_in_order() -> None:
    """The specs keep the order of the runs; the one for the end is apart."""
    runs = [{"spider": "prices", "args": {"n": str(number)}} for number in range(12)]
    wish = {"run": {"spider": "both", "project": "press"}}
    specs, completion = ADMISSION.specs(read_batch_order({"runs": runs, "on_complete": wish}))
    assert [spec.args["n"] for spec in specs] == [str(number) for number in range(12)]
    assert completion is not None and completion.project == "press"
    assert ADMISSION.specs(read_batch_order({"runs": runs}))[1] is None


ISOLATION = SpecResolver(
    MemoryEngine({"shop": ["prices"], "press": ["news"], "old": ["ages"]}),
    lambda: Limits(4, {"default": 4}),
    lambda: {
        "shop": ProjectConfig(name="shop", path=Path("/shop")),
        "press": ProjectConfig(
            name="press", path=Path("/press"), isolate=Isolate.PROCESS, memory_limit=128 << 20
        ),
        "old": ProjectConfig(name="old", path=Path("/old"), python="/old/bin/python"),
    },
)


@pytest.mark.parametrize(
    ("spider", "wish", "isolate", "limit"),
    [
        ("prices", {}, Isolate.NONE, None),
        ("prices", {"isolate": Isolate.PROCESS}, Isolate.PROCESS, None),
        ("prices", {"isolate": Isolate.PROCESS, "memory_limit": 64 << 20}, Isolate.PROCESS, 64 << 20),
        ("news", {}, Isolate.PROCESS, 128 << 20),
        ("news", {"memory_limit": 256 << 20}, Isolate.PROCESS, 256 << 20),
        ("news", {"isolate": Isolate.NONE}, Isolate.NONE, None),
        ("ages", {}, Isolate.PROCESS, None),
    ],
)
def test_an_order_goes_before_its_project(
    spider: str, wish: dict[str, Any], isolate: Isolate, limit: int | None
) -> None:
    """What an order says of isolation wins; what it leaves open, its project says."""
    spec = ISOLATION.spec(Order(spider=spider, **wish))
    assert (spec.isolate, spec.memory_limit) == (isolate, limit)


@pytest.mark.parametrize(
    ("spider", "wish", "field", "message"),
    [
        ("ages", {"isolate": Isolate.NONE}, "isolate", "has its own Python, /old/bin/python"),
        ("prices", {"memory_limit": 64 << 20}, "memory_limit", "write isolate: process"),
        ("news", {"isolate": Isolate.NONE, "memory_limit": 64 << 20}, "memory_limit", "isolate: process"),
    ],
)
def test_an_isolation_that_cannot_be(spider: str, wish: dict[str, Any], field: str, message: str) -> None:
    """An order that asks for what its run cannot have is refused, with what to do."""
    with pytest.raises(InvalidRequest, match=message) as caught:
        ISOLATION.spec(Order(spider=spider, **wish))
    assert list(caught.value.fields) == [field]
