"""The data folder of a hub, looked at from outside: who has it, and what its ledger says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from reactorhub.config import HubConfig
from reactorhub.diagnosis.findings import DataFolderState
from reactorhub.policies.limits import OVERRIDE, Limits
from reactorhub.storage.layout import LEDGER, READY
from reactorhub.storage.lock import DataLock
from reactorhub.storage.sqlite.reading import LedgerSnapshot, open_snapshot


def data_folder_state(data_dir: Path) -> DataFolderState:
    """Return how the folder is found.

    :raises StartError: if it cannot be looked at.
    """
    holder = DataLock(data_dir).holder()
    facts = {}
    if holder is not None:
        try:
            facts = json.loads((data_dir / READY).read_text("utf-8"))
        except (OSError, ValueError):  # it has not been there for long enough, or is about to end
            facts = {}
    return DataFolderState(
        folder=str(data_dir),
        running=holder is not None,
        pid=int(holder) if holder and holder.isdecimal() else None,
        http=facts.get("http"),
        written_at=_written_at(data_dir),
    )


def _written_at(data_dir: Path) -> datetime | None:
    files = (data_dir / LEDGER, data_dir / f"{LEDGER}-wal")
    times = [file.stat().st_mtime for file in files if file.exists()]
    return datetime.fromtimestamp(max(times), UTC) if times else None


@contextmanager
def ledger(data_dir: Path) -> Iterator[LedgerSnapshot | None]:
    """Open the ledger of a data folder; None if there is none yet, since no hub has begun one.

    :raises LedgerError: if it cannot be read.
    """
    if not (data_dir / LEDGER).exists():
        yield None
        return
    with open_snapshot(data_dir / LEDGER) as found:
        yield found


def limits_of(config: HubConfig, found: LedgerSnapshot | None) -> Limits:
    """Return the limits of the file, with what an operator has set at run time above them."""
    override = None if found is None else found.overrides().get(OVERRIDE)
    return Limits(config.max_concurrent_runs, config.queues).overridden(override)
