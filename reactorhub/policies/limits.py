"""The limits of concurrent runs: from the schedule file, and as others have overridden them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reactorhub.errors import InvalidRequest

OVERRIDE = "limits"  # the name under which the ledger keeps the limits that override the file
MAX_LIMIT = 10_000
MOST = "max_concurrent_runs"
OF_QUEUE = "queues."  # a limit of a queue is called queues.NAME
_NO_LIMIT = f"must be a whole number from 1 to {MAX_LIMIT}, or null to use the schedule file's limit"
_NO_TEXT = f"must be a whole number from 1 to {MAX_LIMIT}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limit for all runs together, and for each queue. ``max_concurrent_runs`` is at least 1."""

    max_concurrent_runs: int
    queues: Mapping[str, int] = field(default_factory=dict)

    def overridden(self, chosen: Mapping[str, int]) -> Limits:
        """Return these limits with others in their place, by name. Limits of removed queues are ignored.

        If the file gives a queue as much as the whole hub, the queue grows with the hub.
        """
        if not chosen:
            return self
        most = chosen.get(MOST, self.max_concurrent_runs)
        queues = {
            name: max(limit, most) if limit >= self.max_concurrent_runs else limit
            for name, limit in self.queues.items()
        }
        return Limits(most, {name: chosen.get(OF_QUEUE + name, limit) for name, limit in queues.items()})

    def check(self, wanted: Mapping[str, Any]) -> None:
        """Check a change of limits. None removes an override, so it is always valid.

        :raises InvalidRequest: with each field that is wrong.
        """
        mistakes = {name: "there is no such limit" for name in wanted if name not in (MOST, "queues")}
        if not _is_limit(wanted.get(MOST)):
            mistakes[MOST] = _NO_LIMIT
        queues = wanted.get("queues") or {}
        if not isinstance(wanted.get("queues", {}), Mapping | None):
            mistakes["queues"] = "must map names of queues to limits"
            queues = {}
        for name, limit in queues.items():
            if limit is not None and name not in self.queues:
                mistakes[f"{OF_QUEUE}{name}"] = self._no_queue(name)
            elif not _is_limit(limit):
                mistakes[f"{OF_QUEUE}{name}"] = _NO_LIMIT
        if mistakes:
            raise InvalidRequest(mistakes)

    def read(self, name: str, text: str) -> int:
        """Return a limit that is given as a text.

        :raises ValueError: if there is no limit of this name, or the text is not a limit.
        """
        queue = name.removeprefix(OF_QUEUE)
        if name != MOST and queue == name:
            raise ValueError(f"there is no such limit; there are: {MOST} and {OF_QUEUE}NAME")
        if name != MOST and queue not in self.queues:
            raise ValueError(self._no_queue(queue))
        number = text.strip()
        if not (number.isascii() and number.isdigit() and len(number) < 10 and _is_limit(int(number))):
            raise ValueError(_NO_TEXT)
        return int(number)

    def _no_queue(self, name: str) -> str:
        return f"there is no queue {name!r}; there are: {', '.join(self.queues)}"


def _is_limit(value: object) -> bool:
    """Whether this value can set a limit or remove an override."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value is None
    return 1 <= value <= MAX_LIMIT
