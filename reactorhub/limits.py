"""How many runs may go on at once: what the schedule file says, and what an operator has set instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reactorhub.errors import InvalidRequest

OVERRIDE = "limits"  # the name under which the ledger keeps an operator's limits


@dataclass(frozen=True, slots=True)
class Limits:
    """The limit of all runs together, and of each queue. ``max_concurrent_runs`` is at least 1."""

    max_concurrent_runs: int
    queues: Mapping[str, int] = field(default_factory=dict)

    def overridden(self, override: Mapping[str, Any] | None) -> Limits:
        """Return these limits with an operator's in their place; queues that are gone are passed over.

        A queue that the file leaves as wide as the whole hub grows with it.
        """
        if not override:
            return self
        most = override.get("max_concurrent_runs", self.max_concurrent_runs)
        queues = {
            name: max(limit, most) if limit >= self.max_concurrent_runs else limit
            for name, limit in self.queues.items()
        }
        chosen = override.get("queues", {})
        return Limits(most, {name: chosen.get(name, limit) for name, limit in queues.items()})

    def check(self, wanted: Mapping[str, Any]) -> None:
        """Refuse a change of limits that makes no sense.

        :raises InvalidRequest: naming each field that is wrong.
        """
        mistakes = {
            name: "there is no such limit" for name in wanted if name not in ("max_concurrent_runs", "queues")
        }
        if not _is_limit(wanted.get("max_concurrent_runs", 1)):
            mistakes["max_concurrent_runs"] = "must be a whole number of at least 1"
        queues = wanted.get("queues", {})
        if not isinstance(queues, Mapping):
            mistakes["queues"] = "must map names of queues to limits"
            queues = {}
        for name, limit in queues.items():
            if name not in self.queues:
                mistakes[f"queues.{name}"] = f"there is no such queue; there are: {', '.join(self.queues)}"
            elif not _is_limit(limit):
                mistakes[f"queues.{name}"] = "must be a whole number of at least 1"
        if mistakes:
            raise InvalidRequest(mistakes)


def merged(override: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operator's limits with ``wanted`` put above them."""
    old = override or {}
    return {**old, **wanted, "queues": {**old.get("queues", {}), **wanted.get("queues", {})}}


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
