"""The limits of concurrent runs: from the schedule file, and as an operator has overridden them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reactorhub.errors import InvalidRequest

OVERRIDE = "limits"  # the name under which the ledger keeps an operator's limits
MAX_LIMIT = 10_000
_NO_LIMIT = f"must be a whole number from 1 to {MAX_LIMIT}, or null to use the schedule file's limit"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limit for all runs together, and for each queue. ``max_concurrent_runs`` is at least 1."""

    max_concurrent_runs: int
    queues: Mapping[str, int] = field(default_factory=dict)

    def overridden(self, override: Mapping[str, Any] | None) -> Limits:
        """Return these limits with an operator's overrides applied. Overrides of removed queues are ignored.

        If the file gives a queue as much as the whole hub, the queue grows with the hub.
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
        """Check a change of limits. None removes an override, so it is always valid.

        :raises InvalidRequest: with each field that is wrong.
        """
        mistakes = {
            name: "there is no such limit" for name in wanted if name not in ("max_concurrent_runs", "queues")
        }
        if not _is_limit(wanted.get("max_concurrent_runs")):
            mistakes["max_concurrent_runs"] = _NO_LIMIT
        queues = wanted.get("queues") or {}
        if not isinstance(wanted.get("queues", {}), Mapping | None):
            mistakes["queues"] = "must map names of queues to limits"
            queues = {}
        for name, limit in queues.items():
            if limit is not None and name not in self.queues:
                mistakes[f"queues.{name}"] = f"there is no such queue; there are: {', '.join(self.queues)}"
            elif not _is_limit(limit):
                mistakes[f"queues.{name}"] = _NO_LIMIT
        if mistakes:
            raise InvalidRequest(mistakes)


def merged(override: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operator's limits updated with ``wanted``. A None in ``wanted`` removes an override."""
    old = override or {}
    queues = {} if wanted.get("queues", {}) is None else {**old.get("queues", {}), **wanted.get("queues", {})}
    queues = _given(queues)
    limits = _given({**old, **wanted, "queues": queues})
    return limits if queues or len(limits) > 1 else {}


def _given(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {name: limit for name, limit in limits.items() if limit is not None}


def _is_limit(value: object) -> bool:
    """Whether this value can set a limit or remove an override."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value is None
    return 1 <= value <= MAX_LIMIT
