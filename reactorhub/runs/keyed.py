"""Orders with a key: two orders with one key are one run. And runs that are held until a sender confirms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred

from reactorhub.errors import QueueFull
from reactorhub.model.run import Run, RunSpec
from reactorhub.runs.admission import Admission
from reactorhub.runs.registry import RunRegistry
from reactorhub.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class KeyedOrder:
    """An order with its key, which begins with who uses it: ``api:``, ``inbox:`` or ``celery:``."""

    key: str
    spec: RunSpec


class KeyedOrders:
    """Accepts orders with keys. A key is taken for 7 days, and as long as its run is kept."""

    def __init__(
        self, ledger: Ledger, admission: Admission, registry: RunRegistry, begin: Callable[[Run], None]
    ) -> None:
        """:param begin: starts the life-cycle of a new run that is on disk."""
        self._ledger = ledger
        self._admission = admission
        self._registry = registry
        self._begin = begin

    async def accept(self, orders: Sequence[KeyedOrder], held: bool) -> list[Run | None]:
        """Return the run of each order's key, new or not; None if that run has been deleted.

        All new runs are on disk when this returns, in the order of the call, or none of them.

        :param held: whether the new runs may not start before they are released.
        :raises QueueFull: if the new runs would exceed the limit of waiting runs now.
        :raises LedgerError: if the ledger could not write. No run is new.
        """
        found = await self._ledger.keyed_runs([order.key for order in orders])
        fresh: dict[str, RunSpec] = {}
        for order in orders:
            if order.key not in found:
                fresh.setdefault(order.key, order.spec)
        if fresh:
            found.update(zip(fresh, await self._add(fresh.items(), held), strict=True))
        return [found[order.key] for order in orders]

    async def _add(self, fresh: Iterable[tuple[str, RunSpec]], held: bool) -> list[Run | None]:
        keys, specs = zip(*fresh, strict=True)
        if len(specs) > self._admission.places:
            raise QueueFull(f"{len(specs)} more runs would exceed the limit of waiting runs; try again later")
        reserved = self._admission.order(*specs)
        runs = [replace(run, key=key, held=held) for key, run in zip(keys, reserved, strict=True)]
        begun: set[str] = set()
        try:
            there = await self._ledger.add_keyed_runs(runs)
            begun = {run.id for run in there if run is not None} & {run.id for run in runs}
        finally:
            for run in runs:
                if run.id not in begun:
                    self._registry.withdraw(run)
        for run in runs:
            if run.id in begun:
                self._begin(run)
        return there


class Holds:
    """The runs that may not start yet."""

    def __init__(self) -> None:
        self._waits: dict[str, Deferred[None]] = {}

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._waits

    def __iter__(self) -> Iterator[str]:
        return iter(self._waits)

    def wait(self, run_id: str) -> Deferred[None]:
        """Hold a run. The Deferred fires when it is released."""
        self._waits[run_id] = Deferred()
        return self._waits[run_id]

    def release(self, run_id: str) -> None:
        """Let a run start. Does nothing if the run is not held."""
        wait = self._waits.pop(run_id, None)
        if wait is not None and not wait.called:
            wait.callback(None)

    def forget(self, run_id: str) -> None:
        """Forget a run that has ended."""
        self._waits.pop(run_id, None)
