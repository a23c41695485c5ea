"""Keeps the pool of slots at the limits in force: those of the file, with an operator's above them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import DeferredLock

from reactorhub.model.values import View
from reactorhub.policies.limits import OVERRIDE, Limits, merged
from reactorhub.runs.slots import Slots
from reactorhub.storage.ledger import Ledger


class LiveLimits:
    """What an operator sets is in the ledger before it holds, outlives a restart, and wins over the file."""

    def __init__(self, ledger: Ledger, slots: Slots, file: Limits) -> None:
        self._ledger = ledger
        self._slots = slots
        self._file = file
        self._override: dict[str, Any] | None = None
        self._one_at_a_time = DeferredLock()

    @property
    def in_force(self) -> Limits:
        """The limits that hold now."""
        return self._file.overridden(self._override)

    def view(self) -> View:
        """Return the limits in force, and what of them an operator has set."""
        limits = self.in_force
        return {
            "max_concurrent_runs": limits.max_concurrent_runs,
            "queues": dict(limits.queues),
            "drift": self._override or {},
        }

    async def recover(self) -> None:
        """Take up what an operator had set before the hub last ended."""
        self._override = (await self._ledger.overrides()).get(OVERRIDE)
        self._apply()

    def use_file(self, file: Limits) -> None:
        """Go on with the limits of another file."""
        self._file = file
        self._apply()

    async def set(self, wanted: Mapping[str, Any]) -> None:
        """Change limits, in force when this returns; None takes back what was set.

        :raises InvalidRequest: naming each limit that makes no sense.
        """
        self.in_force.check(wanted)
        await self._one_at_a_time.acquire()
        try:
            override = merged(self._override, wanted) or None
            await self._ledger.set_override(OVERRIDE, override)
            self._override = override
        finally:
            self._one_at_a_time.release()
        self._apply()

    def _apply(self) -> None:
        limits = self.in_force
        self._slots.resize(limits.max_concurrent_runs, limits.queues)
