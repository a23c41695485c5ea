"""Applies the limits in force to the pool of slots: those of the file, or what has overridden them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from twisted.internet.defer import DeferredLock

from reactorhub.model.values import View, time_text
from reactorhub.policies.limit_overrides import IgnoredLimit, LimitOverrides, read_overrides
from reactorhub.policies.limits import OVERRIDE, Limits
from reactorhub.runs.slots import Slots
from reactorhub.storage.ledger import Ledger


class LiveLimits:
    """Limits that an operator or Redis sets are written to the ledger first. They survive a restart and
    override the schedule file. Who spoke last wins."""

    def __init__(self, ledger: Ledger, slots: Slots, file: Limits, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._slots = slots
        self._file = file
        self._now = now
        self._overrides = LimitOverrides()
        self._ignored: list[IgnoredLimit] = []
        self._one_at_a_time = DeferredLock()

    @property
    def in_force(self) -> Limits:
        """The limits in force."""
        return self._file.overridden(self._overrides.values)

    @property
    def ignored(self) -> list[View]:
        """The limits in Redis that make no sense: field, value and reason."""
        return [asdict(each) for each in self._ignored]

    def view(self) -> View:
        """Return the limits in force, and under ``drift`` those that override the file: by whom, and since
        when."""
        limits = self.in_force
        return {
            "max_concurrent_runs": limits.max_concurrent_runs,
            "queues": dict(limits.queues),
            "drift": self._overrides.view(),
            "ignored": self.ignored,
        }

    async def recover(self) -> None:
        """Restore the limits that were set before the hub last ended."""
        self._overrides = read_overrides((await self._ledger.overrides()).get(OVERRIDE))
        self._apply()

    def use_file(self, file: Limits) -> None:
        """Replace the limits of the schedule file."""
        self._file = file
        self._apply()

    async def set(self, wanted: Mapping[str, Any]) -> None:
        """Change limits by an order. They are in force when this returns; None removes an override.

        :raises InvalidRequest: naming each invalid limit.
        """
        self.in_force.check(wanted)
        await self._change(lambda: self._overrides.ordered(wanted, self._moment()))

    async def hear(self, words: Mapping[str, str], *, data_lost: bool) -> bool:
        """Change limits to what Redis says. They are in force when this returns.

        :param words: all limits in Redis, by name, as texts.
        :param data_lost: whether Redis has lost its data, so that a limit that is gone means nothing.
        :return: whether anything has changed.
        """

        def heard() -> LimitOverrides:
            overrides, self._ignored = self._overrides.heard(
                words, self._file, self._moment(), data_lost=data_lost
            )
            return overrides

        before = self._overrides.limits
        await self._change(heard)
        return before != self._overrides.limits

    async def _change(self, change: Callable[[], LimitOverrides]) -> None:
        await self._one_at_a_time.acquire()
        try:
            overrides = change()
            if overrides != self._overrides:
                await self._ledger.set_override(OVERRIDE, overrides.stored())
                self._overrides = overrides
                self._apply()
        finally:
            self._one_at_a_time.release()

    def _moment(self) -> str:
        return time_text(self._now()) or ""

    def _apply(self) -> None:
        limits = self.in_force
        self._slots.resize(limits.max_concurrent_runs, limits.queues)
