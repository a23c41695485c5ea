"""Batches under way, and what is wanted once all of their runs are final."""

from __future__ import annotations

from collections.abc import Sequence

from reactorhub.model.batch import Batch
from reactorhub.model.run import Run, RunSpec
from reactorhub.storage.ledger import Ledger
from reactorhub.wire.batch_orders import completion_order


class Batches:
    """Knows the batches that are not done. When one is, the ledger says so as it writes a run's end down."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: dict[str, Batch] = {}

    async def open(self) -> None:
        """Take up the batches that were under way when the hub last ended."""
        self._open = {batch.id: batch for batch in await self._ledger.open_batches()}

    async def add(self, batch: Batch, runs: Sequence[Run]) -> None:
        """Keep a new batch and its runs.

        :raises LedgerError: if that could not be written down.
        """
        await self._ledger.add_batch(batch, runs)
        self._open[batch.id] = batch

    def completion(self, run: Run) -> RunSpec | None:
        """Return what a run's batch wants to have run once it is done; None for nothing."""
        batch = self._open.get(run.spec.batch or "")
        return None if batch is None else completion_order(batch)

    def close(self, batch_id: str) -> None:
        """Note that a batch is done."""
        self._open.pop(batch_id, None)
