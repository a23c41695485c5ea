"""Applies the limits in force to the pool of slots: those of the file, overridden by an operator's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import DeferredLock

from reactorhub.model.values import View
from reactorhub.policies.limits import OVERRIDE, Limits, merged
from reactorhub.runs.slots import Slots
from reactorhub.storage.ledger import Ledger


class LiveLimits:
    """Limits that an operator sets are written to the ledger first. They survive a restart and override the
    schedule file."""

    def __init__(self, ledger: Ledger, slots: Slots, file: Limits) -> None:
        self._ledger = ledger
        self._slots = slots
        self._file = file
        self._override: dict[str, Any] | None = None
        self._one_at_a_time = DeferredLock()

    @property
    def in_force(self) -> Limits:
        """The limits in force."""
        return self._file.overridden(self._override)

    def view(self) -> View:
        """Return the limits in force, and under ``drift`` those that an operator has set."""
        limits = self.in_force
        return {
            "max_concurrent_runs": limits.max_concurrent_runs,
            "queues": dict(limits.queues),
            "drift": self._override or {},
        }

    async def recover(self) -> None:
        """Restore the limits that an operator had set before the hub last ended."""
        self._override = (await self._ledger.overrides()).get(OVERRIDE)
        self._apply()

    def use_file(self, file: Limits) -> None:
        """Replace the limits of the schedule file."""
        self._file = file
        self._apply()

    async def set(self, wanted: Mapping[str, Any]) -> None:
        """Change limits. They are in force when this returns; None removes an override.

        :raises InvalidRequest: naming each invalid limit.
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
