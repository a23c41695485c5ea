"""Reads orders for batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reactorhub.errors import InvalidRequest
from reactorhub.model.batch import Batch
from reactorhub.model.isolation import Isolate, Isolation
from reactorhub.model.run import RunSpec
from reactorhub.wire.orders import Order, order_view, read_order

MAX_RUNS = 1000
PLACEHOLDER = "{batch.id}"
"""Replaced by the id of the batch in the arguments of the completion run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrder:
    """A checked order for many runs, and for a completion run once all of them are final."""

    runs: tuple[Order, ...]
    completion: Order | None = None

    def on_complete(self, spec: RunSpec | None) -> Mapping[str, Any]:
        """Return the order of the completion run as JSON values.

        :param spec: the run's spec, for its project and its isolation.
        """
        if self.completion is None or spec is None:
            return {}
        order = replace(
            self.completion, project=spec.project, isolate=spec.isolate, memory_limit=spec.memory_limit
        )
        return {"run": order_view(order)}


def read_batch_order(data: Mapping[str, Any]) -> BatchOrder:
    """Check an order for a batch: ``{"runs": [{...}, ...], "on_complete": {"run": {...}}}``.

    :raises InvalidRequest: naming every field that is wrong or unknown, such as ``runs[2].spider``.
    """
    known = ("runs", "on_complete")
    mistakes = {
        name: f"there is no such field; there are: {', '.join(known)}" for name in data if name not in known
    }
    runs = data.get("runs")
    if not isinstance(runs, list) or not 1 <= len(runs) <= MAX_RUNS:
        mistakes["runs"] = f"must be a list of 1 to {MAX_RUNS} orders, each as POST /api/runs takes it"
        runs = []
    orders = [_order(order, f"runs[{number}]", mistakes) for number, order in enumerate(runs)]
    completion = _completion(data.get("on_complete"), mistakes)
    if mistakes:
        raise InvalidRequest(mistakes)
    return BatchOrder(runs=tuple(order for order in orders if order), completion=completion)


def completion_order(batch: Batch) -> RunSpec | None:
    """Return the completion run of a batch, with the id of the batch in its arguments; None without one."""
    wanted = batch.on_complete.get("run")
    if wanted is None:
        return None
    order = read_order(wanted)
    isolation = Isolation(isolate=order.isolate or Isolate.NONE, memory_limit=order.memory_limit)
    spec = order.spec(order.project or "", isolation)
    return replace(spec, args={name: text.replace(PLACEHOLDER, batch.id) for name, text in spec.args.items()})


def _completion(wanted: Any, mistakes: dict[str, str]) -> Order | None:
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or set(wanted) != {"run"}:
        mistakes["on_complete"] = 'must be {"run": {...}}, with an order as POST /api/runs takes it'
        return None
    return _order(wanted["run"], "on_complete.run", mistakes)


def _order(order: Any, field: str, mistakes: dict[str, str]) -> Order | None:
    if not isinstance(order, dict):
        mistakes[field] = "must be an order, as POST /api/runs takes it"
        return None
    try:
        return read_order(order)
    except InvalidRequest as error:
        mistakes.update({f"{field}.{name}": message for name, message in error.fields.items()})
        return None
