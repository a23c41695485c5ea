"""What an order for a batch may say, and what becomes of its wish for the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.errors import InvalidRequest
from reactorhub.model.batch import Batch
from reactorhub.model.isolation import Isolate
from reactorhub.model.run import RunSpec
from reactorhub.storage.rows import json_text
from reactorhub.wire.batch_orders import MAX_RUNS, completion_order, read_batch_order
from reactorhub.wire.orders import order_view, read_order

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FULL = {
    "spider": "report",
    "args": {"of": "{batch.id}", "raw": "{batch}"},
    "settings": {"DOWNLOAD_DELAY": 0.5},
    "queue": "heavy",
    "priority": -3,
    "timeout": "90s",
    "not_before": "2026-12-01T08:00:00+01:00",
    "tags": ["a", "b"],
    "memory_limit": "1GiB",
}


def test_orders() -> None:
    """A batch is a list of orders, each with its own inputs, and maybe one for the end."""
    order = read_batch_order({"runs": [{"spider": "a"}, {"spider": "b", "queue": "heavy"}]})
    assert [(each.spider, each.queue) for each in order.runs] == [("a", "default"), ("b", "heavy")]
    assert (order.completion, order.on_complete(None)) == (None, {})


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({}, {"runs"}),
        ({"runs": []}, {"runs"}),
        ({"runs": {"spider": "a"}}, {"runs"}),
        ({"runs": [{"spider": "a"}] * (MAX_RUNS + 1)}, {"runs"}),
        ({"runs": ["a"]}, {"runs[0]"}),
        ({"runs": [{"spider": "a"}, {"spidr": "b"}]}, {"runs[1].spidr", "runs[1].spider"}),
        ({"runs": [{"spider": "a"}], "tags": []}, {"tags"}),
        ({"runs": [{"spider": "a"}], "on_complete": "report"}, {"on_complete"}),
        ({"runs": [{"spider": "a"}], "on_complete": {"url": "http://x"}}, {"on_complete"}),
        ({"runs": [{"spider": "a"}], "on_complete": {"run": {}}}, {"on_complete.run.spider"}),
        ({"runs": [{"spider": "a"}], "on_complete": {"run": 7}}, {"on_complete.run"}),
    ],
)
def test_mistakes(data: dict[str, Any], fields: set[str]) -> None:
    """All mistakes come together, each with the place of its field."""
    with pytest.raises(InvalidRequest) as caught:
        read_batch_order(data)
    assert caught.value.fields.keys() == fields
    assert all(len(message) > 10 for message in caught.value.fields.values())


def test_the_order_for_the_end_comes_back() -> None:
    """What the ledger keeps of it gives the same run, with the batch's id where it was asked for."""
    order = read_batch_order({"runs": [{"spider": "a"}], "on_complete": {"run": FULL}})
    found = RunSpec(spider="report", project="shop", isolate=Isolate.PROCESS, memory_limit=1 << 30)
    kept = order.on_complete(found)
    batch = Batch(id="0190", created_at=NOON, on_complete=kept)
    spec = completion_order(batch)
    assert spec is not None
    assert (spec.spider, spec.project, spec.args) == ("report", "shop", {"of": "0190", "raw": "{batch}"})
    assert (spec.queue, spec.priority, spec.timeout, spec.tags) == ("heavy", -3, 90.0, ("a", "b"))
    assert (spec.isolate, spec.memory_limit) == (Isolate.PROCESS, 1 << 30)
    assert spec.not_before == datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert json_text(kept).count("{batch.id}") == 1


def test_a_batch_may_want_nothing() -> None:
    """Without a wish for the end there is no run."""
    assert completion_order(Batch(id="0190", created_at=NOON)) is None


@given(
    st.fixed_dictionaries(
        {"spider": st.text("ab", min_size=1, max_size=5)},
        optional={
            "project": st.just("shop"),
            "args": st.dictionaries(st.text("xy", min_size=1), st.text(max_size=20), max_size=3),
            "priority": st.integers(-9, 9),
            "timeout": st.floats(1, 1e6),
            "isolate": st.sampled_from(["none", "process"]),
            "memory_limit": st.sampled_from(["64MiB", "1.5GiB", 1 << 30]),
            "tags": st.lists(st.text("tu", min_size=1, max_size=3), max_size=3),
            "not_before": st.timedeltas(timedelta(), timedelta(days=300_000)).map(
                lambda span: (NOON + span).isoformat()
            ),
        },
    )
)
def test_an_order_as_json_is_the_same_order(data: dict[str, Any]) -> None:
    """An order written as JSON values is read as the order it was."""
    order = read_order(data)
    assert read_order(order_view(order)) == order
